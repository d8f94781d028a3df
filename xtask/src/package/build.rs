//! The program, for what the package is for, without a path of this machine in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Arch, Kind};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::setup::cross;
use crate::shell;

/// What was built.
pub(super) struct Built {
    /// The program that is packaged.
    pub(super) program: PathBuf,
    /// One that runs here, for what it says of itself: manual pages and completions.
    pub(super) runs_here: PathBuf,
    /// The kernel programs, which it must carry.
    pub(super) object: PathBuf,
    /// What it is linked with: name, version and licence, a line each.
    pub(super) libraries: String,
    /// The packages that it depends on at run time.
    pub(super) depends: String,
}

pub(super) fn run(machine: &Machine, arch: Arch, kind: Kind) -> Result<Built> {
    let target = machine.root.join("target");
    let runs_here = target.join("debug/enforcer");
    if kind == Kind::Test || arch.is_foreign(machine) {
        shell::run(
            machine
                .cargo()
                .args(["build", "--locked", "--quiet", "--package", "enforcer"]),
        )?;
    }
    let (program, target) = match kind {
        Kind::Release => (compile(machine, arch)?, target.join(arch.target())),
        Kind::Test => (stripped(machine, &runs_here)?, target),
    };
    Ok(Built {
        runs_here: if arch.is_foreign(machine) {
            runs_here
        } else {
            program.clone()
        },
        object: target.join("ebpf/bpfel-unknown-none/release/enforcer-ebpf"),
        libraries: libraries(machine, arch)?,
        depends: depends(&program)?,
        program,
    })
}

/// A copy of `program` without debug information, of which it is mostly made.
fn stripped(machine: &Machine, program: &Path) -> Result<PathBuf> {
    let folder = machine.root.join("target/package/test");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let stripped = folder.join("enforcer");
    shell::run(
        Command::new("strip")
            .args(["--strip-all", "-o"])
            .args([&stripped, program]),
    )
    .context(Failure::new(
        "the program cannot be stripped",
        "strip is in the package binutils",
    ))?;
    Ok(stripped)
}

fn compile(machine: &Machine, arch: Arch) -> Result<PathBuf> {
    let target = arch.target();
    let mut command = machine.cargo();
    command
        .args(["build", "--locked", "--profile", "dist", "--package", "enforcer"])
        // The flags below are then for the program alone, and not for what runs during the build.
        .args(["--bin", "enforcer", "--target", target])
        .env("CARGO_ENCODED_RUSTFLAGS", remapped(machine)?.join("\x1f"));
    if arch.is_foreign(machine) {
        let linker = format!(
            "CARGO_TARGET_{}_LINKER",
            target.to_ascii_uppercase().replace('-', "_")
        );
        command.env(linker, cross::COMPILER);
    }
    shell::run(&mut command)?;
    Ok(machine.root.join("target").join(target).join("dist/enforcer"))
}

/// Flags that give every folder of this machine a name that is the same everywhere: paths get into the messages of panics.
fn remapped(machine: &Machine) -> Result<Vec<String>> {
    let sysroot = shell::capture(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(&machine.root),
    )?;
    let core = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust");
    // Debian's source is linked in; the compiler may tell either path.
    let linked = fs::canonicalize(&core).unwrap_or_else(|_| core.clone());
    let pairs = [
        (machine.root.clone(), "/usr/src/enforcer"),
        (cargo_home()?, "/usr/src/cargo"),
        (core, "/usr/src/rust"),
        (linked, "/usr/src/rust"),
    ];
    Ok(pairs
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect())
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}

/// Every library that is linked in, with its licence.
fn libraries(machine: &Machine, arch: Arch) -> Result<String> {
    let tree = shell::capture(machine.cargo().args([
        "tree",
        "--locked",
        "--package",
        "enforcer",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
        "--target",
        arch.target(),
    ]))?;
    let mut lines: Vec<String> = tree
        .lines()
        // Packages of the workspace come with their path, repeated ones with a star.
        .filter(|line| !line.contains(" (/"))
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('|'))
        .map(|(package, licence)| format!("{}: {licence}\n", package.replace(" (proc-macro)", "")))
        .collect();
    lines.sort();
    lines.dedup();
    ensure!(!lines.is_empty(), "cargo tree lists no library");
    Ok(lines.concat())
}

/// The packages of the libraries that the program loads, in the versions that it asks for.
fn depends(program: &Path) -> Result<String> {
    let read = |what: &str| {
        shell::capture(
            Command::new("readelf")
                .args(["--wide", what])
                .arg(program)
                // The words are looked for.
                .env("LC_ALL", "C"),
        )
        .context(Failure::new(
            "the program's libraries cannot be read",
            "readelf is in the package binutils",
        ))
    };
    let mut packages = Vec::new();
    for library in needed(&read("--dynamic")?) {
        let package = match library {
            // All of these are one package since glibc 2.34.
            "libc.so.6" | "libm.so.6" | "ld-linux-x86-64.so.2" | "ld-linux-aarch64.so.1" => continue,
            "libgcc_s.so.1" => "libgcc-s1 (>= 4.2)",
            other => bail!("the program loads {other}, and nobody said which package that is in"),
        };
        packages.push(package.to_owned());
    }
    let minor = glibc_minor(&read("--version-info")?).context("the program asks for no version of glibc")?;
    packages.insert(0, format!("libc6 (>= 2.{minor})"));
    Ok(packages.join(", "))
}

fn needed(dynamic: &str) -> impl Iterator<Item = &str> {
    dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split_once('[')?.1.strip_suffix(']'))
}

/// The highest version of glibc that symbols ask for, without its `2.`.
fn glibc_minor(versions: &str) -> Option<u32> {
    versions
        .split("GLIBC_2.")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_counts_not_the_last() {
        let versions = "Name: GLIBC_2.34  Flags: none\n Name: GLIBC_2.2.5  Flags: none\n Name: GCC_3.0\n";
        assert_eq!(glibc_minor(versions), Some(34));
        assert_eq!(glibc_minor("Name: GCC_3.0"), None);
    }

    #[test]
    fn needed_libraries_are_read_as_readelf_prints_them() {
        let dynamic =
            " 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n 0x0c (INIT)  0x1000\n";
        assert_eq!(needed(dynamic).collect::<Vec<_>>(), ["libc.so.6"]);
    }
}
