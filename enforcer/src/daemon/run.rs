//! `enforcer run`: the daemon.
//!
//! [`start`] brings a policy into force, in one of two ways: as a service, whose enforcement stays when the process
//! ends, or for the time of the process. Then the run loop follows answers, tells of denials, reloads, and looks after
//! what is attached.

mod board;
pub(crate) mod changes;
mod early;
mod health;
mod kept;
mod reload;
mod start;
mod usage;
mod watch;
mod words;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use self::board::Control;
use self::health::Health;
use self::kept::Kept;
use self::reload::Reload;
use self::watch::Watch;
use self::words::tell_kept;
use super::answers::Answers;
use super::denial::Denial;
use super::ending::Ending;
use super::enforcing::{Enforcing, Update};
use super::granted::{Granted, place};
use super::log::kind;
use super::memory::{self, Tidying};
use super::names::{History, turns};
use super::notify::Notifier;
use super::policy::Policy;
use super::signals::{self, Signals};
use super::ticks::Ticks;
use crate::kernel::{self, Cgroup, CgroupError, Counters, Event, Events, Told};
use crate::resolve::Snapshot;
use crate::state::Instance;

/// How long the first answers, and those for the new names of a reload, are waited for.
const FIRST_ANSWERS: Duration = Duration::from_secs(10);

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// The configuration.
    pub file: PathBuf,
    /// The name under which everything is kept; `None` to keep nothing.
    pub instance: Option<Instance>,
    /// How long a first enforcement lasts that nobody confirms.
    pub confirm: Option<Duration>,
    /// The line to the service manager.
    pub notifier: Notifier,
}

/// Runs until SIGTERM or SIGINT; SIGHUP reloads the file.
///
/// # Errors
/// Everything that keeps the policy from being enforced at the start. Later nothing ends it but a signal.
pub async fn run(options: Options) -> anyhow::Result<()> {
    memory::share();
    let mut signals =
        Signals::catch(&[libc::SIGHUP, libc::SIGINT, libc::SIGTERM]).context("signals can not be caught")?;
    let started = if options.instance.is_some() {
        start::service(options).await?
    } else {
        start::temporary(options, &mut signals).await?
    };
    if let Some(mut daemon) = started {
        daemon.serve(&mut signals).await?;
    }
    Ok(())
}

/// The state of the run loop.
struct Daemon {
    file: PathBuf,
    /// The text of the configuration in force, which may be another one than the file has by now.
    text: String,
    /// The files that it refers to.
    watch: Watch,
    policy: Arc<Policy>,
    answers: Answers,
    enforcing: Enforcing,
    /// What outlives the process; `None` when nothing does.
    kept: Option<Kept>,
    /// How long a first enforcement lasts that nobody confirms.
    confirm: Option<Duration>,
    /// What the programs are attached to.
    cgroup: Cgroup,
    health: Health,
    notifier: Notifier,
    /// Whether the policy of the last run stays in force until every name has an answer.
    holds: bool,
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
    tidying: Tidying,
    /// Those who ask.
    control: Control,
}

impl Daemon {
    /// Until a signal ends it.
    async fn serve(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let look = Ticks::every(self.health.period()).context("the kernel gives no timer")?;
        self.give_back();
        loop {
            tokio::select! {
                number = signals.next() => match number {
                    libc::SIGHUP => self.start_reload().await,
                    _ => {
                        self.end(signals::name(number)).await;
                        return Ok(());
                    }
                },
                event = next_event(&mut self.events) => {
                    self.tell_event(event);
                    continue;
                }
                order = self.control.next_order() => self.obey(order).await,
                (snapshot, ends_reload) = next_answers(&mut self.answers, self.reload.as_ref()) => {
                    if ends_reload {
                        self.finish_reload(&snapshot).await;
                    } else {
                        self.follow(&snapshot).await;
                    }
                }
                () = self.watch.changed() => self.start_change().await,
                () = look.next() => {
                    self.watch.look();
                    self.catch_up().await;
                    self.tell_suppressed();
                    self.control.keep_usage().await;
                    self.look_at_upstreams().await;
                    self.look_after();
                    self.control.look();
                    self.tidy();
                }
            }
            self.publish();
        }
    }

    /// Gives memory back when what changes has come and gone.
    fn tidy(&mut self) {
        if self
            .tidying
            .is_due(self.enforcing.generation(), Instant::now().into_std())
        {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.enforcing.rest();
        memory::give_back();
    }

    /// Tries again what the kernel did not take.
    async fn catch_up(&mut self) {
        if self.enforcing.is_behind() {
            let snapshot = self.answers.newest();
            self.follow(&snapshot).await;
        }
    }

    async fn end(&mut self, signal: &str) {
        self.tell_suppressed();
        self.control.keep_last_usage().await;
        let Some(kept) = &self.kept else {
            self.notifier.stopping("stopped; nothing is judged");
            return info!("{signal}: detaching, nothing is judged from here on");
        };
        self.notifier.stopping("stopped; the policy stays in force");
        if kept.flush().await {
            self.keep_table(kept).await;
        }
        info!(
            "{signal}: the daemon ends, the policy stays in force with the addresses of now; `enforcer detach` would end it"
        );
    }

    /// Brings new answers into force, once a restart would find them.
    async fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        if self.holds && start::has_every_answer(snapshot) {
            self.holds = false;
            info!("every name has an answer: the policy that was found in the kernel is replaced");
        }
        self.learn(snapshot);
        if self.holds {
            return;
        }
        if let Some(kept) = &self.kept {
            kept.keep().await;
        }
        match self.enforcing.update(&self.policy, snapshot) {
            Ok(update) => self.tell_update(update.as_ref()),
            Err(failed) => tell_kept(&failed),
        }
    }

    fn learn(&mut self, snapshot: &Arc<Snapshot>) {
        self.history.learn(&self.told, snapshot);
        for turn in turns(&self.told, snapshot, Instant::now().into_std()) {
            if turn.is_bad {
                warn!(name: kind::ANSWERS, name = turn.name.as_str(), "{}", turn.text);
            } else {
                info!(name: kind::ANSWERS, name = turn.name.as_str(), "{}", turn.text);
            }
        }
        self.told = Arc::clone(snapshot);
        // While the policy of before is held, these answers are less than what is in force.
        if let Some(kept) = self.kept.as_ref().filter(|_| !self.holds) {
            kept.save(snapshot);
        }
    }

    fn tell_update(&self, update: Option<&Update>) {
        let Some(Update {
            generation,
            added,
            removed,
        }) = update
        else {
            return;
        };
        info!(
            generation,
            added, removed, "policy generation {generation}: {added} added, {removed} removed"
        );
    }

    fn tell_event(&mut self, told: io::Result<Told>) {
        match told {
            Ok(Told::Denied(event)) => self.tell_denial(&event),
            Ok(Told::Granted(granted)) => self.tell_granted(&granted),
            Err(failed) => {
                error!(
                    "denials can not be read any more ({failed}); they are enforced and counted all the same"
                );
                self.events = None;
            }
        }
    }

    /// Keeps it for those who ask. Of the log it would be most.
    fn tell_granted(&mut self, told: &kernel::Attempt) {
        let granted = Granted::new(told, &self.history, &self.policy);
        let attempt = &granted.attempt;
        let owner = self.control.owner(attempt.cgroup, attempt.pid);
        self.control.note_granted(&granted, &owner);
        debug!(
            verdict = "granted",
            hook = attempt.hook.name(),
            protocol = %attempt.protocol,
            destination = attempt.destination.map(tracing::field::display),
            server_name = attempt.server_name,
            rule = granted.rule,
            pid = attempt.pid,
            process = attempt.process,
            cgroup_id = attempt.cgroup,
            unit = owner.unit,
            "{granted}"
        );
    }

    fn tell_denial(&mut self, event: &Event) {
        // First of all: its client waits.
        self.ending.take(event);
        let denial = Denial::new(event, &self.history);
        let attempt = &denial.attempt;
        let owner = self.control.owner(attempt.cgroup, attempt.pid);
        let rule_at = self.policy.rule_that_grants(None, denial.rule).map(place);
        self.control.note(&denial, rule_at, &owner);
        warn!(
            name: kind::DENIAL,
            verdict = denial.verdict(),
            reason = denial.reason.name(),
            hook = attempt.hook.name(),
            protocol = %attempt.protocol,
            source = attempt.source.map(tracing::field::display),
            destination = attempt.destination.map(tracing::field::display),
            name = attempt.known_as.as_ref().map(|known| known.name.as_str()),
            server_name = attempt.server_name,
            rule = denial.rule.map(|rule| rule.0),
            pid = attempt.pid,
            process = attempt.process,
            cgroup_id = attempt.cgroup,
            cgroup = owner.cgroup,
            unit = owner.unit,
            container = owner.container.map(|container| container.id),
            "{denial}"
        );
    }

    /// Tells how many denials the log has no line for.
    fn tell_suppressed(&mut self) {
        let counters = match self.enforcing.counters() {
            Ok(counters) => counters,
            Err(failed) => return error!("the kernel's counters can not be read: {failed}"),
        };
        let news = counters.since(&self.counted);
        for (reason, count) in counters.iter() {
            let suppressed = news.get(reason).suppressed;
            if suppressed > 0 {
                warn!(
                    name: kind::SUPPRESSED,
                    reason = reason.name(),
                    suppressed,
                    denied = count.denied,
                    "{} more denials without a line of their own [{}]",
                    suppressed,
                    reason.name()
                );
                self.control.note_suppressed(reason.name(), suppressed);
            }
        }
        self.control.count(&news);
        let suppressed = counters.granted().suppressed;
        self.control
            .note_suppressed_granted(suppressed, self.counted.granted().suppressed);
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
async fn next_event(events: &mut Option<Events>) -> io::Result<Told> {
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
