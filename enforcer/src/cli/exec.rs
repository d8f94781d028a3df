//! `enforcer exec`: one command under the policy.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::seconds;
use crate::daemon::exec::{self, Options};

/// Run a command under a configuration and list what it was denied
///
/// The command runs in a cgroup of its own; the rest of the host is not judged. Names are resolved before it starts.
/// One that can not be is denied, with a warning; when none can be, nothing is started. Processes that it leaves
/// behind are ended. A summary of the denials goes to stderr.
///
/// Only what the command starts itself is judged: a build that a daemon runs for it (`docker build`) is not, and root
/// can leave the cgroup, which `--user` prevents.
///
/// Exit status: that of the command; 128 + n when signal n ended it; 127 when it was not found, 126 when it can not
/// be executed; 3 with `--fail-on-denied` when it succeeded and something was denied; 1 when it was not started.
#[derive(Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write a report as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// End with status 3 when the command succeeded and something was denied, also in audit mode
    #[arg(long)]
    fail_on_denied: bool,
    /// How long names may take to resolve before the command starts, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    resolve_timeout: Duration,
    /// Run the command as this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = Options {
        config: arguments.config,
        command: arguments.command,
        report: arguments.report,
        fail_on_denied: arguments.fail_on_denied,
        resolve_timeout: arguments.resolve_timeout,
        user: arguments.user,
    };
    super::block_on(exec::exec(&options))?.map(ExitCode::from)
}
