//! `enforcer confirm`: whoever says so has not locked himself out.

use std::process::ExitCode;

use clap::Args;

use super::message::{Failure, print};
use crate::kernel::pins;
use crate::state::{Folders, Instance, confirmed};

/// Confirm an enforcement that `enforcer run --confirm` would end
///
/// Also after its time: then it enforces again. It works without the daemon, since the programs in the kernel look at
/// the time themselves. A confirmed instance is not asked again when it is restarted.
#[derive(Args)]
pub(super) struct Arguments {
    /// The name that `enforcer run` was given
    #[arg(long, value_name = "NAME", default_value_t)]
    instance: Instance,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let instance = &arguments.instance;
    let confirmed = pins::confirm(instance.as_str()).map_err(|error| {
        let hint = error.hint();
        Failure::new(
            format!("the instance `{instance}` can not be confirmed"),
            hint,
            error,
        )
    })?;
    let Some((was_limited, generation)) = confirmed else {
        let message = format!("there is nothing to confirm: the instance `{instance}` has no pins");
        let hint = "start it first: `enforcer run --config FILE --confirm 5m`, or the service";
        return Err(Failure::msg(message, hint).into());
    };
    confirmed::set(&Folders::of(instance)).map_err(|error| {
        Failure::new(
            "the policy is enforced from here on, but that it was confirmed can not be saved",
            "make the state folder writable and confirm again: otherwise a restart asks again",
            error,
        )
    })?;
    if was_limited {
        print(format_args!(
            "confirmed: policy generation {} is enforced from here on\n",
            generation.0
        ))?;
    } else {
        print(format_args!(
            "nothing was to be confirmed: the enforcement has no end\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
