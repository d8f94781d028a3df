//! The programs, loaded: all at once, or in two steps.
//!
//! Nearly all of a start is the verifier's work, and nearly all of that is about what egress goes on with where an address
//! asks for a server name. Where nothing was enforced before, that can wait: the programs of the hooks are loaded and
//! attached with the policy, and from then on nothing gets out that it does not grant. What only a server name can decide
//! is held back meanwhile by [`HOLD`], which drops it without a word: TCP sends it again.
//!
//! Nothing is pinned before the second step. Whatever ends the process between the two, and a refused program, leave what a
//! refused program has always left: nothing is enforced, and the next start begins anew.

use std::sync::Arc;

use aya::programs::CgroupSkb;
use enforcer_common::abi::NextProgram;

use super::super::ahead::Ahead;
use super::super::error::KernelError;
use super::super::loading::load_programs;
use super::super::parts::{HOLD, NEXT, hook_programs, next_programs, program, program_names};
use super::super::pins::{MapsFound, Pinned, Pins, PreparedMaps};
use super::Enforcement;
use crate::config::Capacity;

/// What the second step is for.
pub(super) struct Unfinished {
    pub(super) pins: Arc<Pins>,
    pub(super) prepared: PreparedMaps,
    /// Whether the kernel has the programs that are for the second step.
    pub(super) is_verified: bool,
}

impl Enforcement {
    /// As [`Self::load_pinned`]; where nothing at all is pinned, only what judges every packet, which can be attached with a
    /// policy before [`Self::load_rest`], and is not pinned until then. What the policy asks a server name of is held back
    /// until then, whatever its mode.
    ///
    /// # Errors
    /// As for [`Self::load_pinned`].
    pub fn load_first(
        ports: &[u16],
        capacity: Capacity,
        pins: &Arc<Pins>,
        ahead: Ahead,
    ) -> Result<(Self, MapsFound), KernelError> {
        Self::load_on_pins(ports, capacity, pins, ahead, true)
    }

    /// Whether [`Self::load_first`] has left something to load.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Does what takes long of [`Self::load_rest`], and nothing that anybody could tell.
    ///
    /// # Errors
    /// [`KernelError::Load`]; then what was attached is detached, and [`Self::load_rest`] has nothing more to do.
    pub fn verify_rest(&mut self) -> Result<(), KernelError> {
        let Some(unfinished) = self.unfinished.as_mut().filter(|left| !left.is_verified) else {
            return Ok(());
        };
        let next: Vec<_> = next_programs().collect();
        match load_programs(&mut self.ebpf, &next) {
            Ok(took) => {
                unfinished.is_verified = true;
                self.loading = took;
                Ok(())
            }
            Err(error) => {
                self.unfinished = None;
                self.detach();
                Err(error)
            }
        }
    }

    /// Loads what [`Self::load_first`] has left, and pins everything. Where it has left nothing, it does nothing.
    ///
    /// # Errors
    /// As for [`Self::load_pinned`]; then what was attached is detached.
    pub fn load_rest(&mut self) -> Result<(), KernelError> {
        self.verify_rest()?;
        let Some(unfinished) = self.unfinished.take() else {
            return Ok(());
        };
        let outcome = self.finish(unfinished);
        if outcome.is_err() {
            self.detach();
        }
        outcome
    }

    /// Loads all of the programs.
    pub(super) fn load_all(&mut self) -> Result<(), KernelError> {
        let all: Vec<_> = program_names().collect();
        self.loading = load_programs(&mut self.ebpf, &all)?;
        self.put_next()
    }

    /// Loads the programs of the hooks, and what stands for those that they go on with.
    pub(super) fn load_hooks(&mut self, unfinished: Unfinished) -> Result<(), KernelError> {
        let first: Vec<_> = hook_programs().chain([HOLD]).collect();
        self.loading = load_programs(&mut self.ebpf, &first)?;
        self.put(NextProgram::Session, HOLD)?;
        self.unfinished = Some(unfinished);
        Ok(())
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), KernelError> {
        self.put_next()?;
        // No packet comes to it any more.
        let hold: &mut CgroupSkb = program(&mut self.ebpf, HOLD)?;
        hold.unload().map_err(|error| KernelError::Object(error.into()))?;
        let Unfinished { pins, prepared, .. } = unfinished;
        pins.finish_maps(prepared)?;
        let pinned = Pinned::new(pins, &self.ebpf)?;
        for link in &self.links {
            pinned.pins.pin_link(link)?;
        }
        pinned.keep_first_programs()?;
        self.pinned = Some(pinned);
        Ok(())
    }

    /// Puts in their places what egress goes on with. The first of them last: it goes on with the others.
    fn put_next(&mut self) -> Result<(), KernelError> {
        for (position, name) in NEXT.into_iter().rev() {
            self.put(position, name)?;
        }
        self.direct = None;
        Ok(())
    }

    fn put(&mut self, position: NextProgram, name: &'static str) -> Result<(), KernelError> {
        let next: &mut CgroupSkb = program(&mut self.ebpf, name)?;
        let fd = next.fd().map_err(|error| KernelError::Load {
            program: name,
            source: error.into(),
        })?;
        self.programs
            .set(position as u32, fd, 0)
            .map_err(|error| KernelError::Map {
                map: "PROGRAMS",
                action: "filled",
                source: std::io::Error::other(error),
            })
    }
}
