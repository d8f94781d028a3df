//! The command line: one file a command.

mod check;
mod completion;
mod configuration;
mod confirm;
mod detach;
mod exec;
mod explain;
mod learn;
mod man;
mod message;
mod observe;
mod plan;
mod reload;
mod run;
mod service;
mod status;
mod top;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use configuration::{load as load_configuration, load_recorded as load_recorded_configuration};
pub use message::Failure;
pub(crate) use message::{report as print_error, tell, warning as print_warning};

/// A client firewall for container registries: only the registries that the configuration names are reachable on 443.
#[derive(Parser)]
#[command(
    name = "enforcer",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Plan(plan::Arguments),
    Explain(explain::Arguments),
    Learn(learn::Arguments),
    Run(run::Arguments),
    Exec(exec::Arguments),
    Status(status::Arguments),
    Observe(observe::Arguments),
    Top(top::Arguments),
    Reload(reload::Arguments),
    Confirm(confirm::Arguments),
    Detach(detach::Arguments),
    Completion(completion::Arguments),
    Man(man::Arguments),
    /// Started by `exec` itself: ends a command's cgroup when enforcer is killed
    #[command(name = COMMAND_GUARD, hide = true)]
    Guard {
        /// The name of the cgroup whose directory is stdout
        name: String,
    },
}

/// The command of the process that `exec` starts beside its command.
pub(crate) const COMMAND_GUARD: &str = "exec-guard";

/// Parses the command line, runs the command, and turns its outcome into an exit status.
///
/// 0 fine, 1 error, 2 usage, 3 "it ran, and the answer is no"; `exec` gives its command's own status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome: Result<ExitCode, anyhow::Error> = match arguments.command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Learn(arguments) => learn::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Exec(arguments) => exec::run(arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Observe(arguments) => observe::run(arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Confirm(arguments) => confirm::run(&arguments),
        Command::Detach(arguments) => detach::run(&arguments),
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Guard { name } => crate::daemon::exec::watch(&name)
            .map(|()| ExitCode::SUCCESS)
            .map_err(anyhow::Error::from),
    };
    match outcome {
        Ok(status) => status,
        Err(error) => message::report(&error),
    }
}

/// The command line without what is not for people, for pages and shells: hidden commands are still offered by some of them.
fn visible() -> clap::Command {
    let whole = Arguments::command();
    let shown: Vec<_> = whole
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned()
        .collect();
    let mut visible = clap::Command::new("enforcer")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .subcommands(shown);
    if let Some(about) = whole.get_about() {
        visible = visible.about(about.clone());
    }
    visible
}

/// Runs `future` on a runtime of one thread.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

/// A time with its unit: `30s`, `5m`.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = crate::config::parse_duration(text)
        .ok_or("a time with its unit is expected, for example 90s or 5m")?;
    if duration.is_zero() {
        return Err("a time longer than nothing is expected, for example 90s or 5m".to_owned());
    }
    Ok(duration)
}

/// A time limit in seconds, with or without its unit: `10`, `10s`, `0.5s`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number
        .parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a number of seconds greater than 0 is expected, for example 10s".to_owned())
}
