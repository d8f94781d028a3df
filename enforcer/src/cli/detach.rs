//! `enforcer detach`: ends what `enforcer run` has pinned.

use std::process::ExitCode;

use clap::Args;

use super::message::{Failure, print, warning};
use crate::kernel::{KernelError, Pins};
use crate::state::Instance;

/// End the enforcement that outlives `enforcer run`
///
/// Stopping the daemon leaves its policy in force. This takes it away: programs are detached, and maps and pins removed.
/// What was denied is reached again. The daemon must be stopped before, since it would put everything back.
#[derive(Args)]
pub(super) struct Arguments {
    /// Really do it
    #[arg(long)]
    yes: bool,
    /// The name that `enforcer run` was given
    #[arg(long, value_name = "NAME", default_value_t)]
    instance: Instance,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let failed = |error: KernelError| -> anyhow::Error {
        let hint = match error {
            KernelError::Busy { .. } => {
                "stop it first, `systemctl stop enforcer` where it is the service: it would put everything back"
            }
            _ => error.hint(),
        };
        let message = format!("the instance `{}` can not be detached", arguments.instance);
        Failure::new(message, hint, error).into()
    };
    let Some(pins) = Pins::open_existing(arguments.instance.as_str()).map_err(failed)? else {
        print(format_args!(
            "nothing is attached: the instance `{}` has no pins\n",
            arguments.instance
        ))?;
        return Ok(ExitCode::SUCCESS);
    };
    if !arguments.yes {
        let folder = pins.folder().display().to_string();
        let message =
            format!("this would end the enforcement that is pinned in {folder}, and nothing was done");
        return Err(Failure::msg(message, "say `enforcer detach --yes` when that is what you want").into());
    }
    let removed = pins.remove().map_err(failed)?;
    if removed.detached.is_empty() {
        print(format_args!(
            "the pins are removed; no program was attached any more\n"
        ))?;
    } else {
        warning(format_args!(
            "nothing is enforced any more: {} of the instance `{}` are detached, and everything that was denied is \
             reached again",
            removed.detached.join(", "),
            arguments.instance
        ));
    }
    Ok(ExitCode::SUCCESS)
}
