//! The least that a look at a packet can be: the simplest program that finds out whether its destination is granted, over
//! the same policy in maps of its own. What it leaves out is said in `bench/programs/src/floors.rs`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use enforcer::config::Capacity;
use enforcer::kernel::{Enforcement, Pins};
use enforcer::policy::table::{Grant, Table};
use enforcer_lab::Instance;

use crate::object;
use crate::policy::{PORT, SETTINGS};

const PROGRAM: &str = "bench_floor_granted";

/// The program, loaded.
pub(super) struct Least {
    program: OwnedFd,
    _enforcement: Enforcement,
    _instance: Instance,
}

impl Least {
    /// With a policy that grants this.
    ///
    /// # Errors
    /// When the kernel refuses, or it does not fit.
    pub(super) fn new(grants: &[Grant]) -> Result<Self> {
        let instance = Instance::new("least")?;
        let pins = Arc::new(Pins::open(instance.name())?);
        // Never attached: these programs share its maps.
        let (mut enforcement, _) = Enforcement::load_pinned(&[PORT], Capacity::default(), &pins)?;
        enforcement.publish(&Table::of(grants, &[])?, SETTINGS);
        let mut ebpf = object::load(&instance, &[PORT], &[PROGRAM])?;
        let program = object::program(&mut ebpf, PROGRAM)?
            .fd()?
            .as_fd()
            .try_clone_to_owned();
        Ok(Self {
            program: program.context("the program cannot be kept")?,
            _enforcement: enforcement,
            _instance: instance,
        })
    }

    pub(super) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}
