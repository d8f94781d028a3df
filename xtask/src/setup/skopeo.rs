//! A second skopeo, whose Go sends post-quantum ClientHellos: unpacked into `target/tools`, not installed.
//!
//! Go does so since 1.24. Where the machine's own skopeo is older, that of a newer suite is fetched with the C library
//! that it was built against, and started with that library's own loader.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Step, apt};
use crate::failure::Failure;
use crate::machine::{Machine, is_program};
use crate::shell;

/// The program that starts it.
const NAME: &str = "new-skopeo";
/// The first suite of Debian that was built with Go 1.24.
const SUITE: &str = "trixie";
/// What is fetched: the program, and what it may find too old on the machine.
const PACKAGES: [&str; 2] = ["skopeo", "libc6"];

/// The skopeo of a newer suite.
pub(super) struct NewSkopeo;

impl Step for NewSkopeo {
    fn name(&self) -> &str {
        NAME
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let program = machine.tools.join("bin").join(NAME);
        if is_program(&program) {
            let version = shell::capture(Command::new(&program).arg("--version"))
                .with_context(|| Failure::new(format!("{} does not run", program.display()), "remove it"))?;
            return Ok(State::There(version.trim().to_owned()));
        }
        Ok(State::Missing(format!(
            "fetch the packages {} of Debian {SUITE} and unpack them into target/tools",
            PACKAGES.join(" and ")
        )))
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        fetch(machine).with_context(|| {
            Failure::new(
                "no skopeo with post-quantum hellos can be fetched",
                format!(
                    "by hand: link a skopeo that was built with Go 1.24 or later to target/tools/bin/{NAME}"
                ),
            )
        })
    }
}

fn fetch(machine: &Machine) -> Result<()> {
    let state = apt::PrivateState::new(machine, &apt::mirror(machine)?, SUITE)?;
    let folder = |package: &str| machine.tools.join(format!("{package}-{SUITE}"));
    for package in PACKAGES {
        apt::fetch_and_unpack(machine, &state.options(), &[package], &folder(package))?;
    }
    let loader = loader_below(&folder("libc6"))?;
    let libraries = loader.parent().context("the loader lies in a folder")?;
    let script = format!(
        "#!/bin/sh\nexec '{}' --library-path '{}' '{}' \"$@\"\n",
        loader.display(),
        libraries.display(),
        folder("skopeo").join("usr/bin/skopeo").display()
    );
    let bin = machine.tools.join("bin");
    fs::create_dir_all(&bin)?;
    let fresh = bin.join(format!("{NAME}.{}", std::process::id()));
    fs::write(&fresh, script)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    fs::rename(&fresh, bin.join(NAME)).context("the program cannot be put in place")
}

/// The C library's loader: `usr/lib/<architecture>/ld-linux-<architecture>.so.<number>`, beside the libraries.
fn loader_below(folder: &Path) -> Result<PathBuf> {
    let libraries = fs::read_dir(folder.join("usr/lib"))?;
    libraries
        .filter_map(|entry| fs::read_dir(entry.ok()?.path()).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let is_loader = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux-"));
            // `usr/lib64` holds a link to it.
            is_loader && path.with_file_name("libc.so.6").exists()
        })
        .context("the package of the C library holds no loader")
}
