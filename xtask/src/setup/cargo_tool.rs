//! Programs that cargo compiles into `target/tools`, each in one exact version.

use std::process::Command;

use anyhow::{Context, Result};

use super::{State, Step};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::shell;

/// Links the kernel programs. Later versions want an LLVM that the pinned compiler does not carry.
pub(super) const BPF_LINKER: CargoTool = CargoTool {
    name: "bpf-linker",
    version: "0.10.3",
    flags: &[],
    cost: "about 90 s on two cores",
};

/// Checks licences and duplicate versions. Without the features that fetch advisories it needs no network, and
/// without optimisation it compiles in half the time and still checks in seconds.
pub(super) const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    flags: &["--debug", "--no-default-features"],
    cost: "about 70 s on two cores",
};

/// Compiles the fuzz targets with the flags that the fuzzer needs. It does no work that optimisation would speed up.
pub(super) const CARGO_FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
    flags: &["--debug"],
    cost: "about 40 s on two cores",
};

/// A program from a package of the same name.
pub(super) struct CargoTool {
    name: &'static str,
    version: &'static str,
    flags: &'static [&'static str],
    cost: &'static str,
}

impl Step for CargoTool {
    fn name(&self) -> &str {
        self.name
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        let program = machine.tools.join("bin").join(self.name);
        // One that cannot run, say since the compiler's LLVM moved, is as good as none.
        let found = shell::capture(Command::new(program).arg("--version")).unwrap_or_default();
        let wanted = format!("{} {}", self.name, self.version);
        if found.trim() == wanted {
            return Ok(State::There(wanted));
        }
        Ok(State::Missing(format!(
            "compile {wanted} into target/tools ({})",
            self.cost
        )))
    }

    fn install(&self, machine: &Machine) -> Result<()> {
        let mut command = machine.cargo();
        command
            .args(["install", "--locked", "--force"])
            .args(self.flags)
            .args(["--version", self.version, self.name, "--root"])
            .arg(&machine.tools)
            // A tool is not debugged here, and debug information is half of its folder.
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        let by_hand = format!("by hand: {}", shell::show(&command));
        shell::run(&mut command).with_context(|| {
            Failure::new(
                format!("{} {} cannot be compiled", self.name, self.version),
                by_hand,
            )
        })
    }
}
