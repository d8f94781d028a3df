//! The set-up: looks what is there, says what it will do, does it, and looks again.
//!
//! Every step finds out by looking, never by a marker of an earlier run, so that a second start repairs what
//! went away meanwhile and does nothing when all is there.

mod apt;
mod cargo_tool;
pub(crate) mod cross;
mod debian;
mod kernels;
mod packages;
mod registry;
mod rust_src;
mod skopeo;
mod toolchain;

use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::failure::{self, Failure};
use crate::machine::Machine;

/// One thing that building or testing needs.
trait Step {
    /// A few words for the list.
    fn name(&self) -> &str;

    /// What is there, or what is to be done.
    fn look(&self, machine: &Machine) -> Result<State>;

    /// Does it. May be called when nothing is missing.
    fn install(&self, machine: &Machine) -> Result<()>;
}

/// What a look at the machine gave.
enum State {
    /// Nothing to do; what was found, in a few words.
    There(String),
    /// What [`Step::install`] will do, in a few words.
    Missing(String),
}

/// Does what is missing; with `dry_run`, only says what that is.
///
/// # Errors
/// When a step failed. The steps that do not depend on it have been done all the same, and each failure has been
/// printed with its hint.
pub(crate) fn run(machine: &Machine, dry_run: bool) -> Result<()> {
    // The order is that of need: the mirror that apt knows serves the later steps.
    let steps: [&dyn Step; 9] = [
        &toolchain::Toolchain,
        &packages::Packages,
        &registry::DockerRegistry,
        &kernels::Kernels,
        &skopeo::NewSkopeo,
        &rust_src::RustSource,
        &cargo_tool::BPF_LINKER,
        &cargo_tool::CARGO_DENY,
        &cargo_tool::CARGO_FUZZ,
    ];

    eprintln!("set-up: what building and testing need");
    run_steps(machine, &steps, dry_run)
}

/// What building for `target`, another kind of machine, takes on top.
///
/// # Errors
/// As [`run`].
pub(crate) fn cross(machine: &Machine, target: &str) -> Result<()> {
    eprintln!("set-up: what building for {target} needs");
    run_steps(
        machine,
        &[&cross::Target(target), &cross::Compiler, &cross::Emulator],
        false,
    )
}

/// What booting a whole Debian takes on top.
///
/// # Errors
/// As [`run`].
pub(crate) fn boot(machine: &Machine) -> Result<()> {
    eprintln!("set-up: what booting a Debian needs");
    run_steps(machine, &[&debian::Debian], false)
}

fn run_steps(machine: &Machine, steps: &[&dyn Step], dry_run: bool) -> Result<()> {
    let begin = Instant::now();
    let mut missing = Vec::new();
    for &step in steps {
        match step.look(machine)? {
            State::There(found) => eprintln!("  there  {:<16} {found}", step.name()),
            State::Missing(plan) => {
                eprintln!("  to do  {:<16} {plan}", step.name());
                missing.push(step);
            }
        }
    }
    if missing.is_empty() || dry_run {
        eprintln!(
            "set-up: {} to do ({:.1} s)",
            missing.len(),
            begin.elapsed().as_secs_f32()
        );
        return Ok(());
    }

    let mut failed = Vec::new();
    for (index, step) in missing.iter().enumerate() {
        let begin = Instant::now();
        eprintln!("\n[{}/{}] {}", index + 1, missing.len(), step.name());
        match install(*step, machine) {
            Ok(found) => eprintln!("    done in {:.1} s: {found}", begin.elapsed().as_secs_f32()),
            Err(error) => {
                failure::report(&error);
                failed.push(step.name());
            }
        }
    }
    eprintln!("\nset-up: {:.1} s", begin.elapsed().as_secs_f32());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(anyhow!(Failure::new(
            format!("the set-up is not complete: {}", failed.join(", ")),
            "follow the hints above, then run `cargo xtask setup` again: it goes on with what is missing",
        )))
    }
}

/// Installs one thing and gives what is there afterwards.
fn install(step: &dyn Step, machine: &Machine) -> Result<String> {
    step.install(machine)?;
    match step.look(machine)? {
        State::There(found) => Ok(found),
        State::Missing(plan) => Err(anyhow!(
            "{} is still missing after its installation: {plan}",
            step.name()
        )),
    }
}
