//! `cargo xtask bench`: what the enforcer costs, beside what others cost, measured in the same run.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::machine::Machine;
use crate::{setup, shell};

/// What is measured, and where it goes.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this section: program, send, replace, change, hello, names or start; may be given several times
    #[arg(long, value_name = "SECTION")]
    only: Vec<String>,
    /// Small sizes and few samples: whether everything runs, not how fast
    #[arg(long)]
    quick: bool,
    /// Where the figures go instead of target/bench/report.json; graphs go beside it
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Put the figures into README.md and the graphs into docs
    #[arg(long, conflicts_with_all = ["only", "quick"])]
    readme: bool,
}

/// Sets up, builds with optimisation, and hands over to the benchmark. Returns only when that fails.
pub(crate) fn run(machine: &Machine, options: &Options) -> Result<()> {
    setup::run(machine, false)?;
    shell::run(machine.cargo().args([
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--package",
        "enforcer",
        "--package",
        "enforcer-bench",
    ]))?;
    let program = machine.root.join("target/release/enforcer-bench");
    let by_hand = format!("{}", program.display());
    let mut command = machine.as_root(&program, &by_hand)?;
    command.current_dir(&machine.root);
    for section in &options.only {
        command.args(["--only", section]);
    }
    if options.quick {
        command.arg("--quick");
    }
    if let Some(report) = &options.report {
        command.arg("--report").arg(report);
    }
    if options.readme {
        command.arg("--readme");
    }
    // In this process' place, so that Ctrl-C reaches the benchmark alone and its clean-up is waited for.
    Err(command.exec()).with_context(|| format!("{by_hand} cannot be started"))
}

/// Runs every section in small sizes, with programs that were built for tests: whether all of it works.
///
/// # Errors
/// When a section gives no figures.
pub(crate) fn check(machine: &Machine) -> Result<()> {
    shell::run(machine.cargo().args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "enforcer",
        "--package",
        "enforcer-bench",
    ]))?;
    let program = machine.root.join("target/debug/enforcer-bench");
    let mut command = machine.as_root(&program, "cargo xtask test --only bench")?;
    command
        .args(["--quick", "--report", "target/bench/quick/report.json"])
        .current_dir(&machine.root);
    shell::run(&mut command)
}
