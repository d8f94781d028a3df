//! `cargo xtask test`: every check of the repository, one after the other, and a table of how each ended.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::failure::Failure;
use crate::machine::Machine;
use crate::{bench, failure, fuzz, package, setup, shell, vm};

/// How long the fuzz targets run, all together.
const FUZZ_SECONDS: u32 = 60;

/// The checks, in their order: the cheap ones first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// rustfmt finds nothing to change
    Format,
    /// clippy has no warning, on the host and for the kernel programs
    Clippy,
    /// Licences are on the list of deny.toml, and versions are not duplicated
    Licences,
    /// Everything compiles, tests included
    Build,
    /// Tests beside the code; they need no root
    Unit,
    /// The documentation has no dead link, and its examples work
    Doc,
    /// The Debian package is packed twice into the same bytes, and is what it should be
    Package,
    /// The parsers stand a minute of fuzzing
    Fuzz,
    /// Tests of whole programs, of the kernel's programs and in the lab; they need root
    Lab,
    /// Every section of the benchmark runs, in small sizes; whatever the figures are
    Bench,
    /// The oldest and the newest kernel load the programs and enforce with them, in emulated machines
    Vm,
}

/// How a check ended.
struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// Runs the checks `only`, or the set-up and all of them when that is empty.
///
/// # Errors
/// When one failed; those after it have run all the same.
pub(crate) fn run(machine: &Machine, only: &[Name]) -> Result<()> {
    let mut outcomes = Vec::new();
    if only.is_empty() {
        outcomes.push(outcome_of("set-up", || setup::run(machine, false)));
    }
    for &name in Name::value_variants() {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        eprintln!("\n==> {}", title(name));
        outcomes.push(outcome_of(title(name), || check(machine, name)));
    }
    report(&outcomes)
}

fn outcome_of(name: &'static str, work: impl FnOnce() -> Result<()>) -> Outcome {
    let begin = Instant::now();
    let result = work();
    if let Err(error) = &result {
        failure::report(error);
    }
    Outcome {
        name,
        passed: result.is_ok(),
        took: begin.elapsed(),
    }
}

fn title(name: Name) -> &'static str {
    match name {
        Name::Format => "format",
        Name::Clippy => "clippy",
        Name::Licences => "licences",
        Name::Build => "build",
        Name::Unit => "unit tests",
        Name::Doc => "documentation",
        Name::Package => "package",
        Name::Fuzz => "fuzzing",
        Name::Lab => "kernel and lab tests",
        Name::Bench => "benchmark",
        Name::Vm => "other kernels",
    }
}

fn check(machine: &Machine, name: Name) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut command = machine.cargo();
        command.args(arguments);
        command
    };
    match name {
        Name::Format => {
            shell::run(&mut cargo(&["fmt", "--all", "--check"]))?;
            // A workspace of its own.
            shell::run(&mut cargo(&[
                "fmt",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--check",
            ]))
        }
        Name::Clippy => {
            shell::run(&mut cargo(&[
                "clippy",
                "--locked",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]))?;
            shell::run(&mut clippy_for_the_kernel(machine))
        }
        Name::Licences => shell::run(
            Command::new(machine.tools.join("bin/cargo-deny"))
                .args(["--locked", "check", "licenses", "bans"])
                .current_dir(&machine.root),
        ),
        Name::Build => {
            // Programs too: tests start them, and cargo builds them only for the tests of their own package.
            shell::run(&mut cargo(&["build", "--locked", "--bins"]))?;
            shell::run(&mut cargo(&["test", "--locked", "--no-run", "--quiet"]))
        }
        Name::Unit => shell::run(&mut cargo(&[
            "test",
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--bins",
        ])),
        Name::Doc => {
            shell::run(
                cargo(&[
                    "doc",
                    "--locked",
                    "--quiet",
                    "--no-deps",
                    "--document-private-items",
                ])
                .env("RUSTDOCFLAGS", "-D warnings"),
            )?;
            shell::run(&mut cargo(&["test", "--locked", "--no-fail-fast", "--doc"]))
        }
        Name::Package => package::check(machine),
        Name::Fuzz => fuzz::run(machine, FUZZ_SECONDS),
        Name::Lab => {
            let mut command = cargo(&["test", "--locked", "--no-fail-fast", "--test", "*"]);
            by_root(machine, &mut command, "cargo xtask test --only lab")?;
            shell::run(&mut command)
        }
        Name::Bench => bench::check(machine),
        Name::Vm => vm::run(machine, &vm::OLDEST_AND_NEWEST.map(str::to_owned)),
    }
}

/// Has root run the test programs of `command`, a `cargo test`. Finds out before whether sudo lets this user be root, and
/// has it ask for the password before cargo's output begins. `by_hand` is the command for the hint.
///
/// # Errors
/// When it does not.
pub(crate) fn by_root(machine: &Machine, command: &mut Command, by_hand: &str) -> Result<()> {
    if machine.is_root {
        return Ok(());
    }
    shell::run(&mut machine.as_root("true", by_hand)?).with_context(|| {
        Failure::new(
            "the kernel and lab tests need root, and sudo does not give it",
            format!("run it in a terminal, where sudo can ask for a password, or as root: {by_hand}"),
        )
    })?;
    command.env(runner_variable(&machine.rust_host), "sudo --preserve-env --");
    Ok(())
}

/// clippy over the kernel programs, for the target that they are compiled for.
fn clippy_for_the_kernel(machine: &Machine) -> Command {
    let mut command = machine.cargo();
    command
        .args([
            "clippy",
            "--locked",
            "--package",
            "enforcer-ebpf",
            "--package",
            "enforcer-bench-programs",
            "--target",
            "bpfel-unknown-none",
        ])
        .args(["-Z", "build-std=core", "--", "-D", "warnings"])
        // What the enforcer's build script does too: the pinned stable compiler with build-std.
        .env("RUSTC_BOOTSTRAP", "1")
        // A folder of its own, since the variable above would make cargo check everything else anew.
        .env("CARGO_TARGET_DIR", machine.root.join("target/clippy-ebpf"));
    command
}

/// The variable that makes cargo start test programs of `triple` through another program.
fn runner_variable(triple: &str) -> String {
    format!(
        "CARGO_TARGET_{}_RUNNER",
        triple.to_ascii_uppercase().replace('-', "_")
    )
}

/// Prints the table and its closing line.
fn report(outcomes: &[Outcome]) -> Result<()> {
    println!();
    for outcome in outcomes {
        let verdict = if outcome.passed { "passed" } else { "FAILED" };
        println!(
            "  {verdict}  {:<22} {:>7.1} s",
            outcome.name,
            outcome.took.as_secs_f32()
        );
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    println!("          {:<22} {:>7.1} s\n", "together", total.as_secs_f32());
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed > 0 {
        bail!(
            "{failed} of {} steps failed; their own words are above",
            outcomes.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_whole() {
        let passed = Outcome {
            name: "a",
            passed: true,
            took: Duration::from_secs(1),
        };
        assert!(report(std::slice::from_ref(&passed)).is_ok());
        assert!(
            report(&[
                passed,
                Outcome {
                    name: "b",
                    passed: false,
                    took: Duration::ZERO
                }
            ])
            .is_err()
        );
    }

    #[test]
    fn cargo_reads_the_runner_from_this_variable() {
        assert_eq!(
            runner_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
        );
    }
}
