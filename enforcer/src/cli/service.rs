//! Asking the daemon: what the commands have in common that do.

use crate::control::client::ClientError;
use crate::control::model::{DaemonState, State};
use crate::control::pinned;
use crate::state::Instance;

use super::message::Failure;

/// Which daemon is asked.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Service {
    /// The name that `enforcer run` was given
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(super) instance: Instance,
}

/// Why the daemon of `instance` gave no answer, and what that means: the kernel is asked where the daemon can not be.
pub(super) fn failure(instance: &Instance, error: ClientError) -> anyhow::Error {
    let hint = error.hint();
    match &error {
        ClientError::NotListening { .. } => {
            let (message, hint) = absence(instance);
            Failure::new(message, hint, error).into()
        }
        ClientError::Refused(_) => Failure::msg(error.to_string(), hint).into(),
        _ => {
            let message = format!("the daemon of the instance `{instance}` can not be asked");
            Failure::new(message, hint, error).into()
        }
    }
}

fn absence(instance: &Instance) -> (String, &'static str) {
    const START: &str =
        "`systemctl start enforcer`, or `enforcer run`; with --instance, is it the right one?";
    let Ok(status) = pinned::read(instance, DaemonState::Stopped) else {
        let message = format!("no daemon of the instance `{instance}` can be asked");
        return (
            message,
            "run it as root to see more, and look at `systemctl status enforcer`",
        );
    };
    match (status.daemon.state, status.state) {
        (DaemonState::Starting, _) => {
            let pid = status.daemon.pid.map(|pid| format!(" (process {pid})"));
            (
                format!(
                    "the daemon of the instance `{instance}`{} is starting, or it is one that can not be asked",
                    pid.unwrap_or_default()
                ),
                "try again in a moment; an enforcer of before this version has to be restarted to be asked",
            )
        }
        (_, State::NotEnforcing) => (
            format!("no daemon of the instance `{instance}` runs, and nothing is enforced"),
            START,
        ),
        _ => (
            format!(
                "the daemon of the instance `{instance}` does not run; its policy is in force all the same, with the \
                 addresses of when it ended"
            ),
            START,
        ),
    }
}
