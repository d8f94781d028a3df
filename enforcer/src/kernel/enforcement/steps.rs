//! The programs, loaded: all at once, or in two steps.
//!
//! Nearly all of a start is the verifier's work, and nearly all of that is about what egress does where an address asks for
//! a server name. Where nothing was enforced before, that can wait: the hooks are attached with the policy, and from then
//! on nothing gets out that it does not grant. On egress there is [`HOLD`] meanwhile, which drops what only a server name
//! can decide, without a word: TCP sends it again. The second step puts the whole program in its place, with nothing in
//! between.
//!
//! Nothing is pinned before the second step. Whatever ends the process between the two, and a refused program, leave what a
//! refused program has always left: nothing is enforced, and the next start begins anew.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use aya::programs::CgroupSkb;

use super::super::ahead::Ahead;
use super::super::error::KernelError;
use super::super::links::Point;
use super::super::loading::load_programs;
use super::super::parts::{EGRESS, HOLD, program, program_fd, program_names};
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
        match load_programs(&mut self.ebpf, &[EGRESS]) {
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
        self.direct = None;
        Ok(())
    }

    /// Loads the programs of the hooks, with what stands for the one that takes long.
    pub(super) fn load_hooks(&mut self, unfinished: Unfinished) -> Result<(), KernelError> {
        let first: Vec<_> = program_names()
            .map(|name| if name == EGRESS { HOLD } else { name })
            .collect();
        self.loading = load_programs(&mut self.ebpf, &first)?;
        self.unfinished = Some(unfinished);
        Ok(())
    }

    /// The program that is at a hook, or is to be.
    pub(super) fn program_at(&self, point: &Point) -> &'static str {
        match point.program {
            EGRESS if self.is_unfinished() => HOLD,
            name => name,
        }
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), KernelError> {
        self.direct = None;
        let egress = program_fd(&self.ebpf, EGRESS)?;
        for link in self.links.iter().filter(|link| link.point.program == EGRESS) {
            link.update(egress.as_fd())
                .map_err(|source| KernelError::System {
                    action: "replacing the program on egress by the whole one",
                    source,
                })?;
        }
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
}
