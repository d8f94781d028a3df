//! The Rust compiler: checked, never installed, since rustup does that by itself where it can.

use anyhow::Result;

use super::{State, Step};
use crate::failure::Failure;
use crate::machine::Machine;

/// The release line that bpf-linker fits: it loads LLVM out of rustc, and the next rustc brings another LLVM.
const LINE: &str = "1.95.";

/// The compiler of `rust-toolchain.toml`.
pub(super) struct Toolchain;

impl Step for Toolchain {
    fn name(&self) -> &str {
        "Rust"
    }

    fn look(&self, machine: &Machine) -> Result<State> {
        if machine.rust_release.starts_with(LINE) {
            return Ok(State::There(format!("rustc {}", machine.rust_release)));
        }
        Err(Failure::new(
            format!("rustc is {}, and the kernel programs need 1.95.0", machine.rust_release),
            "rustup toolchain install 1.95.0 --component clippy,rustfmt,rust-src; unset RUSTUP_TOOLCHAIN if it is set",
        )
        .into())
    }

    fn install(&self, _machine: &Machine) -> Result<()> {
        Ok(())
    }
}
