//! `enforcer status`: how it is, at a glance.

mod text;

use std::process::ExitCode;

use clap::Args;

use super::message::{Failure, print};
use super::service::{self, Service};
use crate::control::client::{Client, ClientError};
use crate::control::model::{DaemonState, State, Status};
use crate::control::pinned;
use crate::state::Instance;

/// The status of "it ran, and the answer is no".
const NOT_ENFORCING: u8 = 3;

/// Show whether and what is enforced, and what somebody should know
///
/// Mode, where it is attached and since when, names with the age of their answers, what is granted, denials by reason,
/// name servers, and warnings. Without a daemon it is read from the kernel what is in force all the same. It needs
/// root, or membership in the group of `[control]` in the configuration while the daemon runs.
///
/// Exit status: 0 when what no rule grants is dropped; 3 when it is not, in audit mode as well unless --allow-audit is
/// given; 1 when it can not be told.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    service: Service,
    /// Let audit mode, which drops nothing, end in exit status 0 as well
    #[arg(long)]
    allow_audit: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// How the status is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For monitoring systems, as /metrics of the control socket: for the textfile collector of node_exporter
    Openmetrics,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let instance = &arguments.service.instance;
    let answered = super::block_on(Client::of(instance).status())?;
    let status = match answered {
        Ok(status) => status,
        Err(ClientError::NotListening { .. }) => from_kernel(instance, DaemonState::Stopped)?,
        Err(ClientError::Silent) => from_kernel(instance, DaemonState::Silent)?,
        Err(error) if error.is_refused("starting") => from_kernel(instance, DaemonState::Starting)?,
        Err(error) => return Err(service::failure(instance, error)),
    };
    match arguments.output {
        Form::Text => print(format_args!("{}", text::Shown(&status)))?,
        Form::Json => print(format_args!("{}\n", serde_json::to_string_pretty(&status)?))?,
        Form::Openmetrics => {
            let text = super::block_on(Client::of(instance).metrics())?;
            let text = text.map_err(|error| service::failure(instance, error))?;
            print(format_args!("{text}"))?;
        }
    }
    Ok(match status.state {
        State::Enforcing => ExitCode::SUCCESS,
        State::Auditing if arguments.allow_audit => ExitCode::SUCCESS,
        State::Auditing | State::NotEnforcing => ExitCode::from(NOT_ENFORCING),
    })
}

fn from_kernel(instance: &Instance, daemon: DaemonState) -> anyhow::Result<Status> {
    pinned::read(instance, daemon).map_err(|error| {
        let message =
            format!("no daemon of the instance `{instance}` answers, and what it left can not be looked at");
        Failure::new(message, "run it as root: `sudo enforcer status`", error).into()
    })
}
