//! `enforcer run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::daemon::log::{self, Format};
use crate::daemon::notify::Notifier;
use crate::daemon::run;
use crate::state::Instance;

/// Enforce a configuration until SIGTERM; SIGHUP reloads it
///
/// Loads the programs into the kernel, attaches them to the cgroup of the configuration (the root of cgroup v2 unless
/// `[enforce] cgroup` says otherwise), and keeps the addresses of names fresh. Everything is pinned: when the process
/// ends, for whatever reason, the policy stays in force, and the next `enforcer run` takes it over without a gap.
/// `enforcer detach` ends it. Denials go to the log, in audit mode as "would be denied". A reload with a bad file keeps
/// the policy that is in force. Needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. ENFORCER_LOG sets what is
/// logged, `info` by default.
#[derive(Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Under which name pins and state are kept, for more than one enforcer on a host
    #[arg(long, value_name = "NAME", default_value_t)]
    instance: Instance,
    /// Keep nothing: enforce from when the names are known until the process ends
    #[arg(long, conflicts_with_all = ["instance", "confirm"])]
    temporary: bool,
    /// Enforce for this long, such as 5m, and then only report, unless `enforcer confirm` comes before; once confirmed, it
    /// is no longer asked for
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    confirm: Option<Duration>,
    /// How messages are written to stderr
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log_format: Format,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let notifier = Notifier::from_environment();
    log::start(arguments.log_format)?;
    super::block_on(run::run(run::Options {
        file: arguments.config,
        instance: (!arguments.temporary).then_some(arguments.instance),
        confirm: arguments.confirm,
        notifier,
    }))??;
    Ok(ExitCode::SUCCESS)
}
