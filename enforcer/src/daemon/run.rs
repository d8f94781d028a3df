//! `enforcer run`: the daemon in the foreground.
//!
//! The order of its start: the programs are loaded, the names are asked for, the policy is published, and only then
//! are the programs attached. What runs on the host is thus judged by a policy from the first packet on.

mod reload;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use tracing::{error, info, warn};

use self::reload::Reload;
use super::answers::Answers;
use super::denial::Denial;
use super::ending::Ending;
use super::enforcing::{Enforcing, Update, UpdateError, mode_name};
use super::failure;
use super::names::{History, turns};
use super::policy::Policy;
use super::report::counted;
use super::signals::{self, Signals};
use crate::config::{Existing, Mode, Quic, ServerNames};
use crate::kernel::cgroup::path_of_process;
use crate::kernel::{Cgroup, CgroupError, Counters, Event, Events};
use crate::resolve::Snapshot;

/// How long the first answers, and those for the new names of a reload, are waited for.
const FIRST_ANSWERS: Duration = Duration::from_secs(10);
/// How often it is looked whether the kernel suppressed events, and whether the cgroup is still there.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT; SIGHUP reloads `file`.
///
/// # Errors
/// Everything that keeps the policy from being enforced at the start. Later nothing ends it but a signal.
pub async fn run(file: PathBuf) -> anyhow::Result<()> {
    let mut signals =
        Signals::catch(&[libc::SIGHUP, libc::SIGINT, libc::SIGTERM]).context("signals can not be caught")?;
    let policy = Policy::load(&file)?;
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
                return Ok(());
            },
        }
    };
    let mut daemon = Daemon {
        events: None,
        ending: Ending::start(|words| warn!("{words}")),
        history: History::default(),
        told: Arc::default(),
        counted: Counters::default(),
        reload: None,
        cgroup,
        is_gone: false,
        file,
        policy,
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
    tell_enforcing(&daemon.policy, &daemon.cgroup);
    daemon.serve(&mut signals).await;
    Ok(())
}

/// The state of the run loop.
struct Daemon {
    file: PathBuf,
    policy: Policy,
    answers: Answers,
    enforcing: Enforcing,
    /// What the programs are attached to.
    cgroup: Cgroup,
    /// Whether it was found removed, and that was told.
    is_gone: bool,
    /// `None` once reading them has failed: denials are then only counted.
    events: Option<Events>,
    ending: Ending,
    history: History,
    /// The answers that the log knows about.
    told: Arc<Snapshot>,
    /// The counters that the log knows about.
    counted: Counters,
    /// A new policy whose names are being asked for.
    reload: Option<Reload>,
}

impl Daemon {
    async fn serve(&mut self, signals: &mut Signals) {
        let mut look = tokio::time::interval(LOOK_PERIOD);
        loop {
            tokio::select! {
                number = signals.next() => match number {
                    libc::SIGHUP => self.start_reload().await,
                    _ => {
                        info!("{}: detaching, nothing is judged from here on", signals::name(number));
                        return;
                    }
                },
                event = next_event(&mut self.events) => self.tell_denial(event),
                (snapshot, ends_reload) = next_answers(&mut self.answers, self.reload.as_ref()) => {
                    if ends_reload {
                        self.finish_reload(&snapshot).await;
                    } else {
                        self.follow(&snapshot);
                    }
                }
                _ = look.tick() => {
                    self.tell_suppressed();
                    self.tell_gone();
                }
            }
        }
    }

    /// Brings new answers into force.
    fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        self.learn(snapshot);
        match self.enforcing.update(&self.policy, snapshot) {
            Ok(update) => self.tell_update(update.as_ref()),
            Err(failed) => tell_kept(&failed),
        }
    }

    fn learn(&mut self, snapshot: &Arc<Snapshot>) {
        self.history.learn(snapshot);
        for turn in turns(&self.told, snapshot, Instant::now().into_std()) {
            if turn.is_bad {
                warn!("{}", turn.text);
            } else {
                info!("{}", turn.text);
            }
        }
        self.told = Arc::clone(snapshot);
    }

    fn tell_update(&self, update: Option<&Update>) {
        let Some(Update { generation, change }) = update else {
            return;
        };
        let spans = counted(self.enforcing.spans() as u64, "span");
        info!(
            generation,
            added = change.additions.len(),
            removed = change.removals.len(),
            "policy generation {generation}: {} added, {} removed, {spans} of addresses granted",
            change.additions.len(),
            change.removals.len(),
        );
    }

    fn tell_denial(&mut self, event: io::Result<Event>) {
        let denial = match event {
            Ok(event) => {
                // First of all: its client waits.
                self.ending.take(&event);
                Denial::new(event, &self.history)
            }
            Err(failed) => {
                error!(
                    "denials can not be read any more ({failed}); they are enforced and counted all the same"
                );
                self.events = None;
                return;
            }
        };
        let cgroup = denial.pid.and_then(path_of_process);
        warn!(
            verdict = denial.verdict(),
            reason = denial.reason.name(),
            hook = denial.hook.name(),
            protocol = %denial.protocol,
            source = denial.source.map(tracing::field::display),
            destination = denial.destination.map(tracing::field::display),
            name = denial.known_as.as_ref().map(|known| known.name.as_str()),
            server_name = denial.server_name,
            rule = denial.rule.map(|rule| rule.0),
            pid = denial.pid,
            process = denial.process,
            cgroup_id = denial.cgroup,
            cgroup,
            "{denial}"
        );
    }

    /// Tells, once, that the cgroup was removed: the kernel has then taken the programs off, and nothing is judged.
    fn tell_gone(&mut self) {
        if !self.is_gone && self.cgroup.is_removed() {
            self.is_gone = true;
            error!(
                "the cgroup {} was removed, and nothing is judged any more; once it is there again, SIGHUP enforces \
                 on it",
                self.cgroup.path().display()
            );
        }
    }

    /// Tells how many denials the log has no line for.
    fn tell_suppressed(&mut self) {
        let counters = match self.enforcing.counters() {
            Ok(counters) => counters,
            Err(failed) => return error!("the kernel's counters can not be read: {failed}"),
        };
        for (reason, count) in counters.iter() {
            let suppressed = count
                .suppressed
                .saturating_sub(self.counted.get(reason).suppressed);
            if suppressed > 0 {
                warn!(
                    reason = reason.name(),
                    suppressed,
                    denied = count.denied,
                    "{} more denials without a line of their own [{}]",
                    suppressed,
                    reason.name()
                );
            }
        }
        self.counted = counters;
    }
}

/// The answers once they have changed, and whether they are all that a reload waits for. Safe to cancel.
async fn next_answers(answers: &mut Answers, reload: Option<&Reload>) -> (Arc<Snapshot>, bool) {
    match reload {
        Some(reload) => answers.settled_or_changed(reload.deadline).await,
        None => (answers.changed().await, false),
    }
}

/// The next event; never, once reading them has failed. Safe to cancel.
async fn next_event(events: &mut Option<Events>) -> io::Result<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// The cgroup that a policy is for.
fn target(policy: &Policy) -> Result<Cgroup, CgroupError> {
    match &policy.config.enforce.cgroup {
        Some(path) => Cgroup::open(path),
        None => Cgroup::root(),
    }
}

fn tell_kept(failed: &UpdateError) {
    let cause = std::error::Error::source(failed).map(|cause| format!(": {cause}"));
    error!(
        "{failed}{}; the policy from before stays in force",
        cause.unwrap_or_default()
    );
}

fn tell_enforcing(policy: &Policy, cgroup: &Cgroup) {
    let cgroup = cgroup.path().display();
    let names = match policy.config.enforce.server_names {
        ServerNames::Require => "",
        ServerNames::Off => ", by addresses alone",
    };
    match policy.config.mode {
        Mode::Enforce => info!("enforcing on {cgroup}{names}"),
        Mode::Audit => info!("auditing on {cgroup}{names}: denials are reported and nothing is dropped"),
    }
}

/// Says what is about to be enforced.
fn banner(policy: &Policy, cgroup: &Cgroup) {
    let config = &policy.config;
    let ports: Vec<_> = config.enforce.ports.iter().map(u16::to_string).collect();
    let udp = match config.enforce.quic {
        Quic::Deny => "UDP to them denied",
        Quic::Allow => "UDP judged by its address",
    };
    let names = match (config.enforce.server_names, config.enforce.existing) {
        (ServerNames::Require, Existing::Deny) => "server names required",
        (ServerNames::Require, Existing::Allow) => "server names required, connections from before let be",
        (ServerNames::Off, _) => "server names not looked at",
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        mode = mode_name(config.mode),
        "enforcer {}: mode {}, cgroup {}, ports {}, {udp}, {names}",
        env!("CARGO_PKG_VERSION"),
        mode_name(config.mode),
        cgroup.path().display(),
        ports.join(" "),
    );
    for rule in &config.rules {
        let title = &rule.kind;
        match &rule.accepted_risk {
            Some(reason) => warn!(
                "rule {}: {title}; exfiltration risk accepted: {reason}",
                rule.id.0
            ),
            None => info!("rule {}: {title}", rule.id.0),
        }
    }
    for caution in policy.cautions() {
        warn!("{caution}");
    }
}
