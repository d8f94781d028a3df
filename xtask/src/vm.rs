//! `cargo xtask vm`: the enforcer on other kernels, each in an emulated machine, and a table of what was found.

mod archive;
mod console;
mod emulator;
mod system;
mod table;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use crate::failure::Failure;
use crate::kernels::{KERNELS, Kernel};
use crate::machine::Machine;
use crate::shell;
use console::Found;

/// The kernels of `cargo xtask test`.
pub(crate) const OLDEST_AND_NEWEST: [&str; 2] = ["5.10", "newest"];

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
    let kernels = choose(machine, names)?;
    shell::run(machine.cargo().args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "enforcer",
        "--package",
        "enforcer-lab",
    ]))?;
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
        let found = emulator::boot(&unpacked, &archive, &file)?;
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
