//! SIGHUP: from the policy in force to the one in the file, without a moment in between.
//!
//! The new names are asked for first, while the old policy stays in force and its names are asked for and followed as
//! ever. Then everything changes at once, or nothing does. Where the ports or the cgroup change, second programs are
//! attached beside the first, and judge together with them until the first are detached: a packet passes only what both
//! grant, and never goes unjudged.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::words::{banner, tell_enforcing};
use super::{Daemon, FIRST_ANSWERS, target};
use crate::daemon::enforcing::Enforcing;
use crate::daemon::log::kind;
use crate::daemon::memory;
use crate::daemon::policy::{Policy, Told};
use crate::kernel::{Cgroup, Counters, Pins, Was};
use crate::resolve::Snapshot;
use crate::state::configuration::Recorded;

/// A policy whose names are being asked for.
pub(super) struct Reload {
    pub(super) policy: Policy,
    /// What it was made of.
    pub(super) recorded: Recorded,
    /// Its warnings.
    pub(super) problems: Vec<Told>,
    /// When it comes into force with what is known until then.
    pub(super) deadline: Instant,
    pub(super) cause: Cause,
}

/// What a new policy comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// SIGHUP.
    Signal,
    /// A file that the configuration refers to.
    File,
}

impl Daemon {
    /// Reads the file again. A file with problems changes nothing.
    pub(super) async fn start_reload(&mut self) {
        self.notifier.reloading();
        let (problems, policy) = Policy::load_recorded(&self.file);
        let (policy, recorded) = match policy {
            Ok(read) => read,
            Err(failed) => {
                tell_refused(&failed);
                for problem in &problems {
                    error!("{problem}");
                }
                self.note_refused(&failed, &problems);
                self.notifier.ready(&self.status());
                return;
            }
        };
        for problem in &problems {
            warn!("{problem}");
        }
        // The names of the policy in force are kept: it has to follow their answers, and to go on when this fails.
        if let Err(failed) = self.answers.switch(&policy, Some(&self.policy)).await {
            tell_refused(&failed);
            self.note_refused(&failed, &problems);
            self.notifier.ready(&self.status());
            return;
        }
        info!("reloading {}", self.file.display());
        self.reload = Some(Reload {
            policy,
            recorded,
            problems,
            deadline: Instant::now() + FIRST_ANSWERS,
            cause: Cause::Signal,
        });
    }

    /// Brings the new policy into force, or goes back to asking for the names of the old one.
    pub(super) async fn finish_reload(&mut self, snapshot: &Arc<Snapshot>) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        let before = self.before_reload();
        let Reload {
            policy,
            recorded,
            problems,
            cause,
            ..
        } = reload;
        self.learn(snapshot);
        if let Some(kept) = &self.kept {
            kept.keep().await;
        }
        let replaced = self.replace(&policy, snapshot);
        match &replaced {
            Ok(()) => {
                self.policy = Arc::new(policy);
                self.look_after_files(recorded);
                let generation = self.enforcing.generation();
                info!(
                    name: kind::RELOAD,
                    outcome = "applied",
                    generation,
                    "reloaded: generation {generation} is in force"
                );
            }
            Err(failed) => tell_refused(failed),
        }
        self.tell_reloaded(before.as_ref(), replaced.as_ref().err(), &problems);
        if cause == Cause::Signal {
            self.notifier.ready(&self.status());
        } else {
            self.tell_status();
        }
        memory::give_back();
        // Only the names of the policy in force from here on.
        if let Err(failed) = self.answers.switch(&self.policy, None).await {
            error!("{failed:#}");
        }
    }

    fn replace(&mut self, policy: &Policy, snapshot: &Arc<Snapshot>) -> anyhow::Result<()> {
        let cgroup = target(policy)?;
        self.limit(policy.config.mode);
        let (new, old) = (&policy.config.enforce, &self.policy.config.enforce);
        // The same path may lead to another cgroup than before, with no programs on it.
        if new.ports == old.ports && new.capacity == old.capacity && cgroup.id() == self.cgroup.id() {
            let update = self.enforcing.update(policy, snapshot)?;
            banner(policy, &cgroup);
            self.tell_update(update.as_ref());
        } else if let Some(pins) = self.kept.as_ref().map(|kept| Arc::clone(&kept.pins)) {
            self.move_pinned(&pins, policy, &cgroup, snapshot)?;
        } else {
            let mut enforcing = Enforcing::load(policy)?;
            let update = enforcing.update(policy, snapshot)?;
            let events = enforcing.take_events()?;
            enforcing.attach(&cgroup)?;
            banner(policy, &cgroup);
            // What the old ones have counted goes with them.
            self.tell_suppressed();
            // Detaches the old programs.
            self.enforcing = enforcing;
            self.events = Some(events);
            self.counted = Counters::default();
            self.tell_update(update.as_ref());
        }
        tell_enforcing(policy, &cgroup);
        self.cgroup = cgroup;
        self.holds = false;
        self.health.begin_again();
        Ok(())
    }

    /// Lets new programs work with the maps of the old ones, and judge in their place. The maps have one policy at a time,
    /// so that its addresses and the ports of the programs do not change at the same moment: what the new policy no longer
    /// grants is denied first when there are ports more, and last when there are only fewer.
    fn move_pinned(
        &mut self,
        pins: &Arc<Pins>,
        policy: &Policy,
        cgroup: &Cgroup,
        snapshot: &Arc<Snapshot>,
    ) -> anyhow::Result<()> {
        let (new, old) = (&policy.config.enforce, &self.policy.config.enforce);
        let only_fewer = new.ports.iter().all(|port| old.ports.contains(port));
        // What does not fit must fail before anything has changed.
        policy.fits(snapshot)?;
        let (mut enforcing, maps) = Enforcing::load_pinned(policy, pins)?;
        // Without a policy in the maps, which are new where their capacity is, everything would be denied.
        let has_policy = enforcing.adopt()?;
        let update = if only_fewer && has_policy {
            enforcing.attach(cgroup)?;
            enforcing.update(policy, snapshot)?
        } else {
            let update = enforcing.update(policy, snapshot)?;
            if let Err(failed) = enforcing.attach(cgroup) {
                // The old programs go on, with what they were told before.
                self.enforcing.adopt()?;
                self.enforcing.update(&self.policy, snapshot)?;
                return Err(failed.into());
            }
            update
        };
        banner(policy, cgroup);
        // One reader at a time.
        self.events = None;
        // What the old programs have counted goes with their maps, unless the new ones go on with them.
        self.tell_suppressed();
        if maps.policy != Was::Taken {
            self.counted = Counters::default();
        }
        self.enforcing = enforcing;
        // The new policy is in force by now, told of or not.
        match self.enforcing.take_events() {
            Ok(events) => self.events = Some(events),
            Err(failed) => error!(
                "denials can not be read any more ({failed}); they are enforced and counted all the same"
            ),
        }
        self.tell_update(update.as_ref());
        Ok(())
    }
}

/// Logs every cause, a line each.
fn tell_refused(failed: &anyhow::Error) {
    error!(
        name: kind::RELOAD,
        outcome = "refused",
        cause = %format_args!("{failed:#}"),
        "the reload failed, the policy from before stays in force"
    );
    for cause in failed.chain() {
        error!("{cause}");
    }
}
