//! Looks at a finished package as dpkg sees it: its list, its modes, its scripts, and what must not be in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::build::Built;
use super::stage::{CONFFILES, SCRIPTS, Staged};
use super::{Arch, Kind, VERSION};
use crate::machine::{Machine, find_program};
use crate::setup::cross;
use crate::shell;

/// # Errors
/// The first thing that is not as it should be.
pub(super) fn run(
    machine: &Machine,
    arch: Arch,
    kind: Kind,
    built: &Built,
    package: &Path,
    staged: &[Staged],
) -> Result<()> {
    contents(package, staged)?;
    let folder = package.with_extension("unpacked");
    let _leftover = fs::remove_dir_all(&folder);
    shell::capture(Command::new("dpkg-deb").arg("-R").args([package, &folder]))?;
    let outcome = conffiles(&folder)
        .and_then(|()| scripts(&folder))
        .and_then(|()| program(machine, arch, built, &folder))
        .and_then(|()| match kind {
            Kind::Release => paths(machine, &folder),
            // Built as every day, with the paths that a backtrace shows.
            Kind::Test => Ok(()),
        });
    fs::remove_dir_all(&folder)?;
    outcome
}

/// Nothing but the staged files, all of root, in the modes that they should have.
fn contents(package: &Path, staged: &[Staged]) -> Result<()> {
    let list = shell::capture(Command::new("dpkg-deb").arg("--contents").arg(package))?;
    let mut found = BTreeMap::new();
    for line in list.lines() {
        let mut fields = line.split_whitespace();
        let (mode, owner) = (fields.next().unwrap_or_default(), fields.next());
        let path = fields.nth(3).unwrap_or_default();
        ensure!(owner == Some("root/root"), "{path} belongs to {owner:?}");
        if path.ends_with('/') {
            ensure!(mode == "drwxr-xr-x", "the folder {path} has the mode {mode}");
        } else {
            found.insert(path.trim_start_matches("./").to_owned(), mode.to_owned());
        }
    }
    for file in staged {
        let mode = found
            .remove(&file.path)
            .with_context(|| format!("{} is missing", file.path))?;
        let wanted = match file.mode {
            0o755 => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        ensure!(mode == wanted, "{} has the mode {mode}", file.path);
    }
    if let Some((path, _)) = found.first_key_value() {
        bail!("nobody put {path} there");
    }
    Ok(())
}

/// Files below /etc are the administrator's, and no others.
fn conffiles(folder: &Path) -> Result<()> {
    let listed = fs::read_to_string(folder.join("DEBIAN/conffiles"))?;
    let listed: Vec<&str> = listed.lines().collect();
    ensure!(listed == CONFFILES, "the conffiles are {listed:?}");
    for file in CONFFILES {
        ensure!(
            folder.join(file.trim_start_matches('/')).is_file(),
            "{file} is a conffile and not in the package"
        );
    }
    Ok(())
}

/// Every script can be read by a plain shell, ends at its first error, and stops nothing at an upgrade.
fn scripts(folder: &Path) -> Result<()> {
    for script in SCRIPTS {
        let file = folder.join("DEBIAN").join(script);
        let text = fs::read_to_string(&file)?;
        ensure!(
            text.starts_with("#!/bin/sh\n") && text.contains("\nset -e\n"),
            "{script} is no script that ends at its first error"
        );
        shell::capture(Command::new("sh").arg("-n").arg(&file))?;
        let shellcheck = find_program("shellcheck").context("shellcheck is missing: `cargo xtask setup`")?;
        shell::capture(Command::new(shellcheck).arg(&file))?;
    }
    Ok(())
}

/// No file tells where it was built.
fn paths(machine: &Machine, folder: &Path) -> Result<()> {
    let home = std::env::var("HOME").unwrap_or_default();
    let root = machine.root.to_string_lossy().into_owned();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes = fs::read(&path)?;
            // A home of one folder, such as `/root`, is told apart from words by what follows it.
            for secret in [root.clone(), format!("{home}/.cargo"), format!("{home}/.rustup")] {
                ensure!(
                    !contains(&bytes, secret.as_bytes()),
                    "{} names the folder {secret} of the machine that built it",
                    path.strip_prefix(folder).unwrap_or(&path).display()
                );
            }
        }
    }
    Ok(())
}

/// The program is for `arch`, carries the kernel programs, and runs: on this machine, or emulated.
fn program(machine: &Machine, arch: Arch, built: &Built, folder: &Path) -> Result<()> {
    let file = folder.join("usr/bin/enforcer");
    let bytes = fs::read(&file)?;
    // `e_machine` of the ELF header (elf.h).
    let wanted: u16 = match arch {
        Arch::Amd64 => 62,
        Arch::Arm64 => 183,
    };
    let found = bytes
        .get(18..20)
        .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    ensure!(
        bytes.starts_with(b"\x7fELF") && found == Some(wanted),
        "the program is not for {}",
        arch.debian()
    );
    let object =
        fs::read(&built.object).with_context(|| format!("{} cannot be read", built.object.display()))?;
    ensure!(
        contains(&bytes, &object),
        "the program does not carry the kernel programs that were built for it"
    );
    let start = || {
        if arch.is_foreign(machine) {
            let mut command = Command::new(cross::emulator(machine));
            command.args(["-L", cross::LIBRARIES]).arg(&file);
            command
        } else {
            Command::new(&file)
        }
    };
    let version = shell::capture(start().arg("--version"))?;
    ensure!(
        version.trim() == format!("enforcer {VERSION}"),
        "the program says that it is {version}"
    );
    for file in CONFFILES {
        let file = folder.join(file.trim_start_matches('/'));
        let meaning = shell::capture(start().args(["check", "--strict"]).arg(file))?;
        ensure!(
            meaning.contains("audit (what is denied is reported, nothing is dropped)"),
            "the configuration is not in audit mode"
        );
    }
    Ok(())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
