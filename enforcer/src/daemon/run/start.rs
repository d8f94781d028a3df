//! How a policy comes into force.
//!
//! A service attaches first and asks afterwards: at boot there is no network yet, and whatever runs before the first
//! answer must be judged. What it judges with is, in this order, the policy that the kernel still holds, the answers of
//! the last run, and what the configuration grants without any answer. What took all of that into account is put back as it
//! was, where nothing of it has changed ([`super::early`]). Where the kernel holds nothing, what can be judged
//! without a server name is judged before the programs that read names are loaded. Without an instance the names are asked for
//! first, and nothing is judged until they are known.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};

use super::super::answers::Answers;
use super::super::ending::Ending;
use super::super::enforcing::Enforcing;
use super::super::failure;
use super::super::memory::Tidying;
use super::super::policy::Policy;
use super::super::signals::{self, Signals};
use super::board::{self, Control};
use super::early::Early;
use super::health::Health;
use super::kept::{self, Kept};
use super::watch::Watch;
use super::words::{banner, tell_enforcing, tell_found, tell_kept};
use super::{Daemon, FIRST_ANSWERS, Options, target};
use crate::kernel::{Ahead, Counters};
use crate::resolve::{SavedAnswers, Snapshot};
use crate::state::configuration::Recorded;

/// Enforces for the time of the process, once the names are known or have had their time. `None` when a signal ended it
/// before.
pub(super) async fn temporary(options: Options, signals: &mut Signals) -> anyhow::Result<Option<Daemon>> {
    let (policy, recorded) = Policy::load_shown(&options.file)?;
    let cgroup = target(&policy).map_err(failure::of_cgroup)?;
    let enforcing = Enforcing::load(&policy).map_err(failure::of_kernel)?;
    banner(&policy, &cgroup);

    let mut answers = Answers::start(&policy)?;
    let until = Instant::now() + FIRST_ANSWERS;
    let snapshot = loop {
        tokio::select! {
            snapshot = answers.settled(until) => break snapshot,
            number = signals.next() => if number != libc::SIGHUP {
                info!("{} before anything was enforced", signals::name(number));
                return Ok(None);
            },
        }
    };
    let control = Control::start(None, None);
    let mut daemon = Daemon {
        events: None,
        ending: Ending::start(|words| warn!("{words}")),
        history: control.names(),
        told: Arc::default(),
        counted: Counters::default(),
        reload: None,
        tidying: Tidying::new(Instant::now().into_std()),
        control,
        health: Health::new(options.notifier.watchdog_interval()),
        notifier: options.notifier,
        kept: None,
        confirm: None,
        holds: false,
        cgroup,
        text: recorded.saved.text,
        watch: Watch::new(recorded.stamps),
        file: options.file,
        policy: Arc::new(policy),
        answers,
        enforcing,
    };
    daemon.learn(&snapshot);
    let update = daemon.enforcing.update(&daemon.policy, &snapshot)?;
    daemon.events = Some(daemon.enforcing.take_events().map_err(failure::of_kernel)?);
    daemon
        .enforcing
        .attach(&daemon.cgroup)
        .map_err(failure::of_kernel)?;
    daemon.tell_update(update.as_ref());
    daemon.is_in_force();
    Ok(Some(daemon))
}

/// Takes over what an instance has pinned, or makes it, and enforces before anything is asked.
pub(super) async fn service(options: Options) -> anyhow::Result<Option<Daemon>> {
    let mut ahead = Some(Ahead::alone());
    let instance = options.instance.clone().unwrap_or_default();
    let mut early = Early::start(&instance, &options, &mut ahead);
    let (policy, recorded, is_new) = kept::policy(&options.file, &instance)?;
    let Recorded {
        saved: recorded,
        stamps,
    } = recorded;
    let cgroup = target(&policy).map_err(failure::of_cgroup)?;
    let (kept, saved) = Kept::open(&instance, early.as_ref().map(|early| Arc::clone(&early.pins)))?;
    let group = policy.config.control.group.as_deref();
    let mut control = Control::start(Some(&instance), group);
    if !is_new {
        control.is_refused(board::replaced_by_saved(&options.file));
    }
    let config = &policy.config;
    let early = match early.take() {
        Some(early) => early
            .finish(config.mode, &config.enforce)
            .map_err(failure::of_kernel)?,
        None => None,
    };
    let (mut enforcing, maps, links) = match early {
        Some(early) => (early.enforcing, early.maps, Some(early.links)),
        None => {
            let ahead = ahead.unwrap_or_else(Ahead::start);
            let (enforcing, maps) =
                Enforcing::load_first(&policy, &kept.pins, ahead).map_err(failure::of_kernel)?;
            (enforcing, maps, None)
        }
    };
    banner(&policy, &cgroup);

    // What was put back counts until it is known what should be in force, and no longer.
    let has_policy = enforcing.adopt().map_err(failure::of_kernel)? && links.is_none();
    control.found(enforcing.generation());
    let counted = enforcing.counters().map_err(failure::of_kernel)?;
    control.count(&counted);
    control.open_usage(counted.granted().suppressed);
    let mut answers = Answers::start_from(&policy, saved.as_ref().unwrap_or(&SavedAnswers::default()))?;
    let snapshot = answers.newest();
    let lacks_answers = saved.is_none() && !has_every_answer(&snapshot);
    // Nothing would be granted for names without an answer: what is in force is the better policy, unless somebody has
    // changed the configuration meanwhile.
    let holds = has_policy && lacks_answers && !(is_new && kept.is_changed(&recorded));
    let mut daemon = Daemon {
        events: None,
        ending: Ending::start(|words| warn!("{words}")),
        history: control.names(),
        told: Arc::default(),
        counted,
        reload: None,
        tidying: Tidying::new(Instant::now().into_std()),
        control,
        health: Health::new(options.notifier.watchdog_interval()),
        notifier: options.notifier,
        kept: Some(kept),
        confirm: options.confirm,
        holds,
        cgroup,
        text: recorded.text.clone(),
        watch: Watch::new(stamps),
        file: options.file,
        policy: Arc::new(policy),
        answers,
        enforcing,
    };
    let update = if daemon.holds {
        warn!(
            "there are no saved answers: the policy that was found in the kernel stays in force until every name has one"
        );
        None
    } else {
        if lacks_answers {
            warn!("there are no saved answers: names are denied until they have been asked for");
        }
        match daemon.enforcing.update(&daemon.policy, &snapshot) {
            Ok(update) => update,
            Err(failed) if has_policy => {
                tell_kept(&failed);
                None
            }
            Err(failed) => return Err(failed.into()),
        }
    };
    daemon.limit(daemon.policy.config.mode);
    let links = match links {
        Some(links) => links,
        None => daemon
            .enforcing
            .attach(&daemon.cgroup)
            .map_err(failure::of_kernel)?,
    };
    daemon.enforcing.load_rest().map_err(failure::of_kernel)?;
    // Only what is told of needs it, and of nothing is told yet; to save the answers again takes a processor of its own.
    daemon.learn(&snapshot);
    daemon.events = Some(daemon.enforcing.take_events().map_err(failure::of_kernel)?);
    if let Some(kept) = daemon.kept.as_ref().filter(|_| is_new) {
        kept.save_configuration(recorded);
    }
    tell_found(&maps, &links);
    daemon.tell_update(update.as_ref());
    daemon.publish();
    daemon.is_in_force();
    Ok(Some(daemon))
}

/// Whether something is known of every name that was asked for: an address, or that it has none.
pub(super) fn has_every_answer(snapshot: &Snapshot) -> bool {
    use crate::resolve::FamilyState::{Empty, Fresh, Restored, Stale};
    snapshot.names.iter().all(|name| {
        let is_known = |state: &_| matches!(state, Fresh | Empty | Stale { .. } | Restored { .. });
        !name.addresses.is_empty() || (is_known(&name.v4) && is_known(&name.v6))
    })
}

impl Daemon {
    /// Says that the policy is in force, to the log and to the service manager.
    pub(super) fn is_in_force(&self) {
        tell_enforcing(&self.policy, &self.cgroup);
        self.notifier.ready(&self.status());
    }
}
