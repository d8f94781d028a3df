//! `enforcer exec`: one command under the policy, in a cgroup of its own, and what it was denied.

mod child;
mod guard;
mod inherited;
mod left_over;
mod report_file;
mod supervise;
mod user;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use self::child::StartError;
use self::guard::Guard;
pub use self::guard::watch;
use self::report_file::ReportFile;
use self::supervise::Supervisor;
use self::user::User;
use super::answers::Answers;
use super::enforcing::{Enforcing, mode_name};
use super::failure;
use super::names::why_unresolved;
use super::policy::Policy;
use super::report::{self, Ended, LeftOver, Report, Tally, Unresolved};
use super::signals::{self, Signals};
use crate::cli::{Failure, print_error, print_warning, tell};
use crate::config::Mode;
use crate::endpoints::{Role, Target};
use crate::kernel::{Cgroup, CgroupError, Counters, ScopedCgroup};
use crate::resolve::{NameSnapshot, Snapshot};

/// Statuses that shells give for a command that can not be executed, and for one that is not there.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// What shells add to the number of the signal that a command died of.
const SIGNAL_BASE: u8 = 128;
/// The status of "it ran, and the answer is no".
const DENIED: u8 = 3;

/// Left-over processes that the warning lists; the report has them all.
const LEFT_OVER_LISTED_MAX: usize = 10;
/// How many names are tried for the cgroup.
const CGROUP_NAMES_MAX: u32 = 100;

/// Signals that are handed on to the command.
const FORWARDED: [i32; 6] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// What to do.
#[derive(Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// The command and its arguments, at least one word.
    pub command: Vec<OsString>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// End with 3 when the command succeeded and something was denied.
    pub fail_on_denied: bool,
    /// How long names may take to resolve before the command starts.
    pub resolve_timeout: Duration,
    /// Whom the command runs as.
    pub user: Option<String>,
}

/// Runs the command under the policy; its status, or 126, 127 or 128 + n as a shell gives them.
///
/// # Errors
/// Everything that keeps the command from being started under the policy. Then it was not started.
pub async fn exec(options: &Options) -> anyhow::Result<u8> {
    let inherited = inherited::keep_back().map_err(|error| {
        Failure::new(
            "sockets from outside could not be kept from the command: nothing was started",
            "exec reads /proc/self/fd: see that /proc is mounted (`mount -t proc proc /proc`)",
            error,
        )
    })?;
    warn_of_inherited(&inherited);
    let mut policy = Policy::load(&options.config)?;
    // Only the command is in the cgroup: it has no business with the name servers.
    policy.judges_enforcer = false;
    let user = options.user.as_deref().map(find_user).transpose()?;
    let report_file = options.report.as_deref().map(ReportFile::open).transpose()?;
    let mut signals = Signals::catch_unless_ignored(&FORWARDED).context("signals can not be caught")?;
    let enforcing = Enforcing::load(&policy).map_err(failure::of_kernel)?;

    for caution in policy.cautions() {
        print_warning(format_args!("{caution}"));
    }
    let mut answers = Answers::start(&policy)?;
    let snapshot = tokio::select! {
        snapshot = answers.settled(Instant::now() + options.resolve_timeout) => snapshot,
        number = signals.next() => {
            print_warning(format_args!("{} before the command was started", signals::name(number)));
            return Ok(killed_status(number));
        }
    };
    let unresolved = warn_of_unresolved(&policy, &snapshot)?;

    let supervisor = Supervisor::new(&policy, enforcing, answers, snapshot);
    let finished = run(options, supervisor, &mut signals, user.as_ref()).await?;
    let mut report = Report {
        version: report::VERSION,
        enforcer: env!("CARGO_PKG_VERSION"),
        config: options.config.clone(),
        command: options
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        mode: mode_name(policy.config.mode),
        started: finished.started.to_string(),
        duration_ms: u64::try_from(finished.took.as_millis()).unwrap_or(u64::MAX),
        ended: finished.ended,
        status: finished.status,
        unresolved,
        left_over: finished.left_over,
        denied: 0,
        not_listed: 0,
        granted: finished.counters.granted().total,
        reasons: Vec::new(),
        denials: Vec::new(),
    };
    report.fill(
        &finished.tally,
        finished.counters.iter(),
        finished.started_since_boot,
    );
    if options.fail_on_denied && report.denied > 0 && report.status == 0 {
        report.status = DENIED;
    }
    if report.ended != Ended::NotStarted {
        tell(format_args!("{report}"));
    }
    if let Some(file) = report_file {
        file.write(&report)?;
    }
    Ok(report.status)
}

fn warn_of_inherited(found: &inherited::Inherited) {
    for number in &found.kept_back {
        print_warning(format_args!(
            "descriptor {number} is an internet socket from outside: it would not be judged, and the command does not get it"
        ));
    }
    for number in &found.handed_on {
        print_warning(format_args!(
            "descriptor {number} of the command is an internet socket from outside: what is sent through it is not judged"
        ));
    }
}

/// A command that has run, and what came of it.
struct Finished {
    ended: Ended,
    status: u8,
    started: jiff::Timestamp,
    started_since_boot: Duration,
    took: Duration,
    left_over: Vec<LeftOver>,
    tally: Tally,
    counters: Counters,
}

/// Makes the cgroup, puts the policy on it, runs the command in it, and takes it away again.
async fn run(
    options: &Options,
    mut supervisor: Supervisor<'_>,
    signals: &mut Signals,
    user: Option<&User>,
) -> anyhow::Result<Finished> {
    let mut cgroup = make_cgroup().map_err(failure::of_cgroup)?;
    let procs = cgroup.procs().map_err(failure::of_cgroup)?;
    supervisor.enforce_on(&cgroup)?;
    let guard = Guard::start(&cgroup).context("the guard of the command's cgroup can not be started")?;
    let (started, started_since_boot, clock) = (jiff::Timestamp::now(), since_boot(), Instant::now());
    let (ended, status, took, left_over) = match child::start(&options.command, procs, user) {
        Ok(child) => {
            let ended = supervisor
                .run(child, signals)
                .await
                .context("the command can not be waited for")?;
            let took = clock.elapsed();
            let left_over = end_left_over(&cgroup, signals).await;
            (ended, status_of(ended), took, left_over)
        }
        Err(error) => {
            let status = start_status(&error);
            print_error(&start_failure(error));
            (Ended::NotStarted, status, Duration::ZERO, Vec::new())
        }
    };
    let (tally, counters) = supervisor.finish().await;
    if let Err(error) = cgroup.remove() {
        let path = cgroup.path().display();
        print_warning(format_args!("the cgroup {path} stays behind: {error}"));
    }
    guard.dismiss();
    Ok(Finished {
        ended,
        status,
        started,
        started_since_boot,
        took,
        left_over,
        tally,
        counters,
    })
}

fn find_user(text: &str) -> anyhow::Result<User> {
    User::find(text).map_err(|error| {
        Failure::new(
            "nothing was started",
            "give `--user` a name or a number of this machine's user database (`getent passwd`)",
            error,
        )
        .into()
    })
}

/// Tells which names have no address. When none has, nothing can work and nothing is started, except in audit mode.
fn warn_of_unresolved(policy: &Policy, snapshot: &Snapshot) -> anyhow::Result<Vec<Unresolved>> {
    let is_certificate_name = |known: &NameSnapshot| {
        policy.endpoints.iter().all(|endpoint| {
            endpoint.role == Role::CertificateName || endpoint.target != Target::Name(known.name.clone())
        })
    };
    let without: Vec<_> = snapshot
        .names
        .iter()
        .filter(|known| known.addresses.is_empty() && !is_certificate_name(known))
        .map(|known| Unresolved {
            name: known.name.to_string(),
            why: why_unresolved(known),
        })
        .collect();
    let is_audit = policy.config.mode == Mode::Audit;
    for Unresolved { name, why } in &without {
        let meaning = if is_audit { "would be denied" } else { "is denied" };
        print_warning(format_args!(
            "`{name}` could not be resolved ({why}): it {meaning} until it can be"
        ));
    }
    let has_any = snapshot.names.iter().any(|known| !known.addresses.is_empty());
    if !has_any && !without.is_empty() && !is_audit {
        let upstreams: Vec<_> = policy
            .upstreams
            .iter()
            .map(|upstream| upstream.address.to_string())
            .collect();
        return Err(Failure::msg(
            "none of the configured names could be resolved: nothing was started".to_owned(),
            format!(
                "check that the name servers answer ({}), or give `--resolve-timeout` more time",
                upstreams.join(", ")
            ),
        )
        .into());
    }
    Ok(without)
}

/// A cgroup for the command, below the one that enforcer itself is in.
fn make_cgroup() -> Result<ScopedCgroup, CgroupError> {
    let own = Cgroup::own()?;
    let pid = std::process::id();
    // The number alone is not unique: other pid namespaces count for themselves, and a killed enforcer may have left
    // one behind.
    for number in 1..CGROUP_NAMES_MAX {
        match own.create_child(&format!("enforcer-exec.{pid}.{number}")) {
            Err(CgroupError::Create { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    own.create_child(&format!("enforcer-exec.{pid}.{CGROUP_NAMES_MAX}"))
}

async fn end_left_over(cgroup: &Cgroup, signals: &mut Signals) -> Vec<LeftOver> {
    let left_over = left_over::find(cgroup).await;
    if !left_over.is_empty() {
        let mut listed: Vec<_> = left_over
            .iter()
            .take(LEFT_OVER_LISTED_MAX)
            .map(|process| format!("{} (pid {})", process.process, process.pid))
            .collect();
        if left_over.len() > LEFT_OVER_LISTED_MAX {
            listed.push(format!("and {} more", left_over.len() - LEFT_OVER_LISTED_MAX));
        }
        print_warning(format_args!(
            "{} stayed behind when the command ended, and will be ended: {}",
            report::counted(left_over.len() as u64, "process"),
            listed.join(", ")
        ));
        if !left_over::end(cgroup, signals).await {
            print_warning(format_args!(
                "not all of them could be ended; they run on, and nothing judges them any more"
            ));
        }
    }
    left_over
}

fn status_of(ended: Ended) -> u8 {
    match ended {
        Ended::Exited(status) => status,
        Ended::Killed(number) => killed_status(number),
        Ended::NotStarted => NOT_EXECUTABLE,
    }
}

fn killed_status(number: i32) -> u8 {
    u8::try_from(number).map_or(u8::MAX, |number| SIGNAL_BASE.saturating_add(number))
}

fn start_status(error: &StartError) -> u8 {
    match error {
        StartError::NotFound { .. } => NOT_FOUND,
        StartError::NotExecutable { .. } => NOT_EXECUTABLE,
        StartError::Step { .. } => 1,
    }
}

fn start_failure(error: StartError) -> anyhow::Error {
    let hint = match &error {
        StartError::NotFound { .. } => {
            "check the spelling and the PATH; a script needs its interpreter as well"
        }
        StartError::NotExecutable { .. } => {
            "check its permissions (`ls -l`) and that it is a program for this machine"
        }
        StartError::Step { .. } => "run as root",
    };
    Failure::new("the command was not started", hint, error).into()
}

/// `CLOCK_MONOTONIC`, which is what the kernel stamps its events with.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither part is ever negative.
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
