//! The command line: one file a command.

mod check;
mod configuration;
mod message;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use configuration::load as load_configuration;
pub use message::Failure;

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
}

/// Parses the command line, runs the command, and turns its outcome into an exit status.
///
/// 0 fine, 1 error, 2 usage, 3 "it ran, and the answer is no"; `exec` gives its command's own status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome: Result<ExitCode, anyhow::Error> = match arguments.command {
        Command::Check(arguments) => check::run(&arguments),
    };
    match outcome {
        Ok(status) => status,
        Err(error) => message::report(&error),
    }
}
