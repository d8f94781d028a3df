//! What is attached to a cgroup: put there, looked after, taken away.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use aya::programs::ProgramFd;

use super::super::error::KernelError;
use super::super::links::{Link, POINTS, Point};
use super::super::parts::program_fd;
use super::super::pins::{Damage, LinkFound, Pinned, Put, program_id};
use super::Enforcement;

impl Enforcement {
    /// Attaches all programs to a cgroup directory, or none. Programs of others stay: every one must let a packet
    /// through. What is pinned there already has its program replaced in place, and goes on judging all the time.
    ///
    /// # Errors
    /// [`KernelError::Attach`] with the program that could not be attached, [`KernelError::Pins`] where they could not be
    /// pinned: what was attached before judges as before. [`KernelError::HalfAttached`] where some of it could not be brought
    /// back to that.
    pub fn attach(&mut self, cgroup: BorrowedFd<'_>, path: &Path) -> Result<Vec<LinkFound>, KernelError> {
        self.attach_all(cgroup, path, true)
    }

    /// As [`Self::attach`]; what could be attached before one could not be stays, unless it `takes_back`.
    fn attach_all(
        &mut self,
        cgroup: BorrowedFd<'_>,
        path: &Path,
        takes_back: bool,
    ) -> Result<Vec<LinkFound>, KernelError> {
        let failed = |point: &Point, source: std::io::Error| KernelError::Attach {
            program: point.program,
            cgroup: path.to_owned(),
            source: source.into(),
        };
        if !self.links.is_empty() {
            let source = std::io::Error::other("this set of programs is attached already");
            return Err(failed(&POINTS[0], source));
        }
        let mut done = Vec::new();
        for point in &POINTS {
            let program = program_fd(&self.ebpf, self.program_at(point))?;
            let attached = match &self.pinned {
                None => Link::create(point, program.as_fd(), cgroup).map(Put::new),
                Some(pinned) => pinned.pins.attach(point, program.as_fd(), cgroup),
            };
            match attached {
                Ok(put) => done.push(put),
                Err(source) if takes_back => return Err(self.given_up(done, failed(point, source))),
                Err(source) => return Err(failed(point, source)),
            }
        }
        match self.pinned.as_ref().map_or(Ok(()), Pinned::pin_programs) {
            Err(failed) if takes_back => return Err(self.given_up(done, failed)),
            kept => kept?,
        }
        let found = done.iter().map(|put| put.found).collect();
        // With what it would take to undo it, old links on other cgroups end.
        self.links = done.into_iter().map(|put| put.link).collect();
        if let Some(pinned) = &self.pinned {
            pinned.let_go_of_old();
        }
        Ok(found)
    }

    /// Undoes what was attached before something `failed`; what there is to tell.
    fn given_up(&self, done: Vec<Put>, failed: KernelError) -> KernelError {
        let left = self.take_back(done);
        if left.is_empty() {
            return failed;
        }
        KernelError::HalfAttached {
            left,
            source: Box::new(failed),
        }
    }

    /// Undoes what was attached, the authority last. The hooks for which that fails.
    fn take_back(&self, done: Vec<Put>) -> Vec<&'static str> {
        let mut left = Vec::new();
        for put in done.into_iter().rev() {
            match &self.pinned {
                None => put.link.detach(),
                Some(pinned) => {
                    if pinned.pins.take_back(&put).is_err() {
                        left.push(put.link.point.name);
                    }
                }
            }
        }
        left.reverse();
        left
    }

    /// Detaches, the authority last. Pins of links stay where they are and hold nothing any more.
    pub fn detach(&mut self) {
        while let Some(link) = self.links.pop() {
            link.detach();
        }
    }

    /// What somebody has taken away or replaced of what was attached to this cgroup and pinned; empty when all is well.
    #[must_use]
    pub fn damages(&self, cgroup: u64) -> Vec<Damage> {
        let mut damages = Vec::new();
        for link in &self.links {
            let program = program_fd(&self.ebpf, self.program_at(link.point)).ok();
            damages.extend(damage_of(link, cgroup, program.as_ref()));
        }
        if let Some(pinned) = &self.pinned {
            damages.extend(pinned.damages(&self.links));
        }
        damages
    }

    /// Puts back what [`Self::damages`] finds.
    ///
    /// # Errors
    /// As for [`Self::attach`]; what could be put back is.
    pub fn repair(&mut self, cgroup: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
        if let Some(pinned) = &mut self.pinned {
            pinned.restore()?;
        }
        // Those that still work are found by their pins again; the others are attached anew.
        let id = cgroup_id(cgroup)?;
        if let Some(pinned) = &self.pinned {
            for link in self.links.iter().filter(|link| link.is_on(id)) {
                pinned.pins.pin_link(link)?;
            }
        }
        let old = std::mem::take(&mut self.links);
        let outcome = self.attach_all(cgroup, path, false).map(drop);
        if outcome.is_err() {
            self.links = old;
        }
        outcome
    }
}

/// The inode number of a cgroup directory, under which links name it.
fn cgroup_id(cgroup: BorrowedFd<'_>) -> Result<u64, KernelError> {
    rustix::fs::fstat(cgroup)
        .map(|stat| stat.st_ino)
        .map_err(|error| KernelError::System {
            action: "looking at the cgroup",
            source: error.into(),
        })
}

/// What is wrong with one link.
fn damage_of(link: &Link, cgroup: u64, program: Option<&ProgramFd>) -> Option<Damage> {
    let name = link.point.name;
    if !link.is_on(cgroup) {
        return Some(Damage::Detached(name));
    }
    let ours = program.and_then(|program| program_id(program.as_fd()))?;
    let runs = link.info().ok()?.program;
    (runs != ours).then_some(Damage::OtherProgram(name))
}
