//! Lookups while policies change, in the kernel and with the CPUs of this machine: with one, the writer is interrupted
//! anywhere.

use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use enforcer::kernel::Enforcement;

use super::{Line, tell};
use crate::hammer::{Force, hammer};

/// Emulated: a hundredth of what a real machine does in the same time.
const FORCE: Force = Force {
    publications: 500,
    others: 20_000,
    own: 50,
};

/// Hammers, and tells of how many lookups.
pub(super) fn run(enforcement: &mut Enforcement) -> Result<()> {
    let hammered = hammer(enforcement, FORCE).context("while policies changed")?;
    ensure!(
        hammered.lookups > 0,
        "nothing was looked up while policies changed"
    );
    tell(&Line::Hammer(hammered.lookups, available_parallelism()?.get()));
    Ok(())
}
