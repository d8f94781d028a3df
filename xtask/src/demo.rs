//! `cargo xtask demo`: builds the demo and becomes it.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::{setup, shell};

/// Sets up, builds, and hands over to the demo. Returns only when that fails.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<()> {
    setup::run(machine, false)?;
    shell::run(machine.cargo().args([
        "build",
        "--quiet",
        "--package",
        "enforcer",
        "--package",
        "enforcer-lab",
    ]))?;
    let program = machine.root.join("target/debug/demo");
    let by_hand = format!("{}", program.display());
    let mut command = machine.as_root(&program, &by_hand)?;
    command.args(arguments).current_dir(&machine.root);
    // In this process' place, so that Ctrl-C reaches the demo alone and its clean-up is waited for.
    Err(command.exec()).with_context(|| format!("{by_hand} cannot be started"))
}
