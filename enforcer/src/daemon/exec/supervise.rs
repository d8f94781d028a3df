//! While the command runs: signals go to it, answers go to the kernel, denials come back.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::process::Child;

use crate::cli::print_warning;
use crate::daemon::answers::Answers;
use crate::daemon::denial::Denial;
use crate::daemon::ending::Ending;
use crate::daemon::enforcing::Enforcing;
use crate::daemon::failure;
use crate::daemon::names::{History, turns};
use crate::daemon::policy::Policy;
use crate::daemon::report::{Ended, Tally};
use crate::daemon::signals::Signals;
use crate::kernel::{Cgroup, Counters, Events, Told};
use crate::resolve::Snapshot;

/// How long the last events are waited for, each.
const DRAIN: Duration = Duration::from_millis(20);

/// Everything that goes on beside the command.
pub(super) struct Supervisor<'a> {
    policy: &'a Policy,
    enforcing: Enforcing,
    answers: Answers,
    events: Option<Events>,
    ending: Ending,
    snapshot: Arc<Snapshot>,
    history: History,
    tally: Tally,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        enforcing: Enforcing,
        answers: Answers,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let mut history = History::default();
        history.learn(&Snapshot::default(), &snapshot);
        Self {
            policy,
            enforcing,
            answers,
            events: None,
            ending: Ending::start(print_warning),
            snapshot,
            history,
            tally: Tally::default(),
        }
    }

    /// Publishes the policy, then judges everything in `cgroup`.
    pub(super) fn enforce_on(&mut self, cgroup: &Cgroup) -> anyhow::Result<()> {
        let published = self.enforcing.update(self.policy, &self.snapshot);
        published.context("the policy could not be published; nothing was started")?;
        self.events = Some(self.enforcing.take_events().map_err(failure::of_kernel)?);
        self.enforcing
            .attach(cgroup)
            .map(drop)
            .map_err(failure::of_kernel)
    }

    /// Waits for the command to end.
    pub(super) async fn run(&mut self, mut child: Child, signals: &mut Signals) -> io::Result<Ended> {
        loop {
            tokio::select! {
                status = child.wait() => return Ok(ended(status?)),
                number = signals.next() => forward(&child, number),
                snapshot = self.answers.changed() => self.follow(snapshot),
                event = next_event(&mut self.events) => self.take(event),
            }
        }
    }

    /// Detaches, and gives what was denied: every event that the kernel still held, and its counters.
    pub(super) async fn finish(mut self) -> (Tally, Counters) {
        while let Ok(event) = tokio::time::timeout(DRAIN, next_event(&mut self.events)).await {
            self.take(event);
        }
        let counters = self.enforcing.counters().unwrap_or_else(|error| {
            print_warning(format_args!("the kernel's counters could not be read: {error}"));
            Counters::default()
        });
        (self.tally, counters)
    }

    fn follow(&mut self, snapshot: Arc<Snapshot>) {
        self.history.learn(&self.snapshot, &snapshot);
        for turn in turns(&self.snapshot, &snapshot, Instant::now()) {
            if turn.is_bad {
                print_warning(format_args!("{}", turn.text));
            }
        }
        self.snapshot = snapshot;
        if let Err(error) = self.enforcing.update(self.policy, &self.snapshot) {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            print_warning(format_args!(
                "{error}{}; the policy from before stays",
                cause.unwrap_or_default()
            ));
        }
    }

    fn take(&mut self, told: io::Result<Told>) {
        match told {
            // Their number is all that the report has of them.
            Ok(Told::Granted(_)) => {}
            Ok(Told::Denied(event)) => {
                // First of all: its client waits.
                self.ending.take(&event);
                self.tally.add(Denial::new(&event, &self.history));
            }
            Err(error) => {
                print_warning(format_args!(
                    "denials can not be read any more ({error}); they are still counted"
                ));
                self.events = None;
            }
        }
    }
}

/// The next event; never, once reading them has failed. Safe to cancel.
async fn next_event(events: &mut Option<Events>) -> io::Result<Told> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Ended::Killed(signal.unwrap_or(0)),
    }
}

fn forward(child: &Child, number: i32) {
    // The terminal has sent these two to the whole foreground group, to which the command belongs as well.
    if matches!(number, libc::SIGINT | libc::SIGQUIT) && is_in_foreground() {
        return;
    }
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(number)) {
        let _has_ended = rustix::process::kill_process(pid, signal);
    }
}

/// Whether this process is in the foreground group of its terminal.
fn is_in_foreground() -> bool {
    std::fs::File::open("/dev/tty")
        .ok()
        .and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok())
        == Some(rustix::process::getpgrp())
}
