//! What building for another processor takes; installed only when that is asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Step, apt};
use crate::failure::Failure;
use crate::machine::{Machine, find_program, is_program};
use crate::shell;

/// The compiler and libraries for 64-bit ARM.
const PACKAGES: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
/// What links and compiles C for it.
pub(crate) const COMPILER: &str = "aarch64-linux-gnu-gcc";

/// The package of the emulator, and the program in it. It is unpacked and not installed, since installing it would make the kernel
/// run foreign programs from then on.
const EMULATOR_PACKAGE: &str = "qemu-user-static";
const EMULATOR: &str = "usr/bin/qemu-aarch64-static";

/// Where Debian puts the libraries that cross-compiled programs load.
pub(crate) const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// The emulator of one program at a time, once [`Emulator`] has been installed.
pub(crate) fn emulator(machine: &Machine) -> PathBuf {
    machine.tools.join(EMULATOR_PACKAGE).join(EMULATOR)
}

/// The standard library of the target, by rustup.
pub(super) struct Target<'a>(pub(super) &'a str);

impl Step for Target<'_> {
    fn name(&self) -> &str {
        self.0
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let folder = shell::capture(
            Command::new("rustc")
                .args(["--print", "target-libdir", "--target", self.0])
                .current_dir(&machine.root),
        )?;
        Ok(if Path::new(folder.trim()).is_dir() {
            State::There("its standard library".to_owned())
        } else {
            State::Missing(format!("rustup target add {}", self.0))
        })
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        shell::run(
            Command::new("rustup")
                .args(["target", "add", self.0])
                .current_dir(&machine.root),
        )
        .with_context(|| {
            Failure::new(
                format!("the standard library for {} cannot be installed", self.0),
                "rustup needs its network for that; build on a machine of that kind instead",
            )
        })
    }
}

/// The linker, and the C compiler for the one library that is not Rust.
pub(super) struct Compiler;

impl Step for Compiler {
    fn name(&self) -> &str {
        "cross compiler"
    }

    fn look(&self, _machine: &Machine) -> Result<State> {
        Ok(match find_program(COMPILER) {
            Some(_) => State::There(COMPILER.to_owned()),
            None => State::Missing(format!("apt-get install {}", PACKAGES.join(" "))),
        })
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        apt::install(machine, &PACKAGES).with_context(|| {
            Failure::new(
                "the cross compiler cannot be installed",
                format!("as root, run: apt-get install {}", PACKAGES.join(" ")),
            )
        })
    }
}

/// What runs a program for 64-bit ARM here, to see that it runs.
pub(super) struct Emulator;

impl Step for Emulator {
    fn name(&self) -> &str {
        EMULATOR_PACKAGE
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        Ok(if is_program(&emulator(machine)) {
            State::There("unpacked".to_owned())
        } else {
            State::Missing(format!(
                "fetch the Debian package {EMULATOR_PACKAGE} and unpack it into target/tools (60 MB)"
            ))
        })
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        let unpacked = machine.tools.join(EMULATOR_PACKAGE);
        apt::fetch_and_unpack(machine, &[], &[EMULATOR_PACKAGE], &unpacked).with_context(|| {
            Failure::new(
                "the emulator cannot be fetched",
                format!("by hand: apt-get download {EMULATOR_PACKAGE} and dpkg-deb -x it to target/tools/{EMULATOR_PACKAGE}"),
            )
        })
    }
}
