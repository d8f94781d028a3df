//! Whether denied sessions can be ended: what the enforcer says where the kernel can not, and that it can once it has
//! its modules.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enforcer::kernel::Ender;
use enforcer::kernel::ender::Unsupported;

use super::{Line, tell};
use crate::outcome::run_for;
use crate::programs::enforcer_program;

/// An emulated machine verifies a program in seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// What the enforcer says at its start.
const WARNING: &str = "warning: denied sessions can not be ended: ";
/// Needs no name server.
const POLICY: &str = "[[allow]]\nprefix = \"192.0.2.0/24\"\n";
const POLICY_FILE: &str = "/tmp/prefix.toml";

/// Tries it without and with `modules`, files which are loaded here in their order; with none the kernel has them built in.
///
/// # Errors
/// When the enforcer claims what the kernel can not do, or does not see what it can.
pub(super) fn run(modules: &[&str]) -> Result<()> {
    if !modules.is_empty() {
        claims_nothing()?;
    }
    for &module in modules {
        let outcome = run_for(insmod(module), LIMIT)?;
        ensure!(
            outcome.success(),
            "the module {module} can not be loaded: {outcome}"
        );
    }
    Ender::new().context("the modules are there, and denied sessions can not be ended")?;
    Ok(())
}

/// Without the modules nothing is claimed, and the rest works.
fn claims_nothing() -> Result<()> {
    match Ender::new() {
        Err(Unsupported::NoModule) => (),
        Err(error) => return Err(error).context("a missing module is told as something else"),
        Ok(_) => anyhow::bail!("denied sessions are said to be ended without the modules for it"),
    }
    fs::write(POLICY_FILE, POLICY)?;
    let mut exec = Command::new(enforcer_program()?);
    exec.args(["exec", "--config", POLICY_FILE, "--", "busybox", "true"]);
    let outcome = run_for(exec, LIMIT)?;
    ensure!(
        outcome.success(),
        "enforcer exec does not run without the modules: {outcome}"
    );
    let told = outcome.stderr.lines().find(|line| line.starts_with(WARNING));
    let words = told.with_context(|| format!("nothing is said of missing modules: {outcome}"))?;
    tell(&Line::Note(&format!("without its modules: {words}")));
    Ok(())
}

fn insmod(module: &str) -> Command {
    let mut command = Command::new("busybox");
    command.args(["insmod", module]);
    command
}
