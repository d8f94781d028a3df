//! What no start does without: that the kernel verifies the programs, in a process that does nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use enforcer::config::Capacity;
use enforcer::kernel::{Ahead, Enforcement, Pins};
use enforcer_lab::Instance;

use crate::policy::PORT;

/// How long the kernel takes, on all processors.
pub(super) struct Floor {
    /// The programs of the hooks, without which nothing is judged.
    pub(super) hooks: Duration,
    /// All of them.
    pub(super) all: Duration,
}

/// Loads the programs for tables of this capacity, and lets them go.
///
/// # Errors
/// Without root.
pub(super) fn take(capacity: Capacity) -> Result<Floor> {
    let instance = Instance::new("floor")?;
    let pins = Arc::new(Pins::open(instance.name())?);
    let (first, _) = Enforcement::load_first(&[PORT], capacity, &pins, Ahead::start())
        .context("the hooks are not loaded")?;
    let hooks = first.loading();
    drop(first);
    let all = Enforcement::load_with(&[PORT], capacity).context("the programs are not loaded")?;
    Ok(Floor {
        hooks,
        all: all.loading(),
    })
}
