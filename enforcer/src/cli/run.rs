//! `enforcer run`: the daemon in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::daemon::log::{self, Format};
use crate::daemon::run;

/// Enforce a configuration until SIGTERM; SIGHUP reloads it
///
/// Loads the programs into the kernel, asks for the names, publishes the policy and attaches to the cgroup of the
/// configuration (the root of cgroup v2 unless `[enforce] cgroup` says otherwise). Denials go to the log, in audit
/// mode as "would be denied". A reload with a bad file keeps the policy that is in force. Needs root, or CAP_BPF,
/// CAP_PERFMON and CAP_NET_ADMIN. ENFORCER_LOG sets what is logged, `info` by default.
#[derive(Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How messages are written to stderr
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log_format: Format,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    log::start(arguments.log_format)?;
    super::block_on(run::run(arguments.config))??;
    Ok(ExitCode::SUCCESS)
}
