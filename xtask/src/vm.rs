//! `cargo xtask vm`: the enforcer in emulated machines, on other kernels and as a service of a Debian, and tables of what
//! was found.

mod archive;
mod boot;
mod console;
mod emulator;
mod system;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::failure::Failure;
use crate::kernels::{KERNELS, Kernel};
use crate::machine::Machine;
use crate::{package, setup, shell};
use console::Found;
use emulator::{End, Guest, Heard};

/// The kernels of `cargo xtask test`.
pub(crate) const OLDEST_AND_NEWEST: [&str; 2] = ["5.10", "newest"];

/// Emulation in software, on a machine that may be busy with others as well.
const LIMIT: Duration = Duration::from_secs(420);

/// One kernel, and what was found on it.
struct Row {
    release: String,
    found: Found,
}

/// Builds, boots the kernels `names`, or all when there is none, and prints the table.
///
/// # Errors
/// When something went wrong on one of them; the others have run all the same.
pub(crate) fn run(machine: &Machine, names: &[String]) -> Result<()> {
    check(machine)?;
    let kernels = choose(machine, names)?;
    build(machine)?;
    let folder = machine.root.join("target/vm");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut rows = Vec::new();
    for kernel in kernels {
        let begin = Instant::now();
        let unpacked = kernel.unpacked(machine).context(Failure::new(
            format!("the kernel {} is not there", kernel.name),
            "run `cargo xtask setup`, which fetches it",
        ))?;
        eprintln!("    booting {}", unpacked.release);
        let archive = system::archive(machine, &unpacked)?;
        let file = folder.join(format!("{}.{}.cpio", kernel.name, std::process::id()));
        let mut found = Found::default();
        let guest = Guest {
            kernel: &unpacked,
            archive: &archive,
            file: &file,
            processors: kernel.processors,
            disks: &[],
            words: "",
            limit: LIMIT,
        };
        let end = guest.boot(|line| {
            found.read(line);
            Heard::GoOn
        })?;
        if end == End::Late {
            let words = format!("the machine was ended after {} s", LIMIT.as_secs());
            found.failures.push(words);
        }
        eprintln!("    done in {:.1} s", begin.elapsed().as_secs_f32());
        rows.push(Row {
            release: unpacked.release,
            found,
        });
    }
    print!("{}", table::table(&rows));
    let failed = rows.iter().filter(|row| !row.found.passed()).count();
    if failed > 0 {
        bail!(
            "the enforcer does not do its work on {failed} of {} kernels",
            rows.len()
        );
    }
    Ok(())
}

/// Builds, and plays the boot test with the package `deb`, or that of these sources.
///
/// # Errors
/// When something of it went wrong.
pub(crate) fn boot(machine: &Machine, deb: Option<PathBuf>) -> Result<()> {
    check(machine)?;
    setup::boot(machine)?;
    build(machine)?;
    let deb = match deb {
        Some(deb) => deb,
        None => package::for_tests(machine)?,
    };
    boot::run(machine, &deb)
}

/// What is emulated is of one architecture, and runs what is built here.
fn check(machine: &Machine) -> Result<()> {
    if !machine.rust_host.starts_with("x86_64-") {
        return Err(Failure::new(
            format!(
                "the emulated machines are x86-64, this one is {}",
                machine.rust_host
            ),
            "run it on an x86-64 machine: the programs that are built here do not run in them",
        )
        .into());
    }
    Ok(())
}

fn build(machine: &Machine) -> Result<()> {
    shell::run(machine.cargo().args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "enforcer",
        "--package",
        "enforcer-lab",
    ]))
}

/// The kernels that `names` name: by what they are called, or by their release.
fn choose(machine: &Machine, names: &[String]) -> Result<Vec<&'static Kernel>> {
    if names.is_empty() {
        return Ok(KERNELS.iter().collect());
    }
    for name in names {
        if !KERNELS.iter().any(|kernel| is_called(machine, kernel, name)) {
            let known: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
            return Err(anyhow!(Failure::new(
                format!("there is no kernel `{name}`"),
                format!("choose among {}", known.join(", ")),
            )));
        }
    }
    Ok(KERNELS
        .iter()
        .filter(|kernel| names.iter().any(|name| is_called(machine, kernel, name)))
        .collect())
}

fn is_called(machine: &Machine, kernel: &Kernel, name: &str) -> bool {
    let has_release = |release: &str| {
        release
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
    };
    kernel.name == name
        || kernel
            .unpacked(machine)
            .is_ok_and(|unpacked| has_release(&unpacked.release))
}
