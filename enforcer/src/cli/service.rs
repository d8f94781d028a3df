//! Asking the daemon: what the commands have in common that do.

use crate::control::VERSION;
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
            let (message, hint) = Absence::of(instance).failure(instance);
            Failure::new(message, hint, error).into()
        }
        ClientError::Refused(_) => Failure::msg(error.to_string(), hint).into(),
        _ => {
            let message = format!("the daemon of the instance `{instance}` can not be asked");
            Failure::new(message, hint, error).into()
        }
    }
}

/// The same in half a line, for whoever has asked it before and asks again and again.
pub(super) fn interruption(instance: &Instance, error: &ClientError) -> String {
    match error {
        ClientError::NotListening { .. } => match Absence::of(instance) {
            Absence::Unknown => "no daemon listens".to_owned(),
            Absence::Starting(Some(pid)) => format!("the daemon is starting (process {pid})"),
            Absence::Starting(None) => "the daemon is starting".to_owned(),
            Absence::NotEnforcing => "the daemon does not run, and NOTHING IS ENFORCED".to_owned(),
            Absence::Enforcing => "the daemon does not run, its policy stays in force".to_owned(),
        },
        ClientError::Ended(_) => "the daemon hung up".to_owned(),
        ClientError::Version { theirs } => {
            format!("the daemon speaks {theirs}, this version {VERSION}: start it anew")
        }
        // What there is to do is said in another place, or is what is done anyway: to ask again.
        ClientError::Silent | ClientError::Refused(_) => error.to_string(),
        ClientError::Connect { source: cause, .. } => format!("{error}: {cause}"),
        ClientError::Garbage(cause) => format!("{error}: {cause}"),
    }
}

/// What the kernel says of a daemon that does not listen.
enum Absence {
    /// Nothing, to this user.
    Unknown,
    /// This process has its pins.
    Starting(Option<u32>),
    NotEnforcing,
    /// Its policy is in force without it.
    Enforcing,
}

impl Absence {
    fn of(instance: &Instance) -> Self {
        let Ok(status) = pinned::read(instance, DaemonState::Stopped) else {
            return Self::Unknown;
        };
        match (status.daemon.state, status.state) {
            (DaemonState::Starting, _) => Self::Starting(status.daemon.pid),
            (_, State::NotEnforcing) => Self::NotEnforcing,
            _ => Self::Enforcing,
        }
    }

    /// The message, and the hint.
    fn failure(self, instance: &Instance) -> (String, &'static str) {
        const START: &str =
            "`systemctl start enforcer`, or `enforcer run`; with --instance, is it the right one?";
        match self {
            Self::Unknown => (
                format!("no daemon of the instance `{instance}` can be asked"),
                "run it as root to see more, and look at `systemctl status enforcer`",
            ),
            Self::Starting(pid) => {
                let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
                (
                    format!(
                        "the daemon of the instance `{instance}`{pid} is starting, or it is one that can not be asked"
                    ),
                    "try again in a moment; an enforcer of before this version has to be restarted to be asked",
                )
            }
            Self::NotEnforcing => (
                format!("no daemon of the instance `{instance}` runs, and nothing is enforced"),
                START,
            ),
            Self::Enforcing => (
                format!(
                    "the daemon of the instance `{instance}` does not run; its policy is in force all the same, with \
                     the addresses of when it ended"
                ),
                START,
            ),
        }
    }
}
