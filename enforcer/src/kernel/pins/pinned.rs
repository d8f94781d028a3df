//! The pins of one loaded set of programs, and descriptors of everything that is pinned, to pin it again.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use aya::Ebpf;
use aya::programs::ProgramFd;

use super::super::error::KernelError;
use super::super::links::Link;
use super::super::parts::{map_fd, program_fd, program_names};
use super::super::sys;
use super::{Damage, Pins, folder};

/// What is pinned of a load.
pub(in super::super) struct Pinned {
    pub(in super::super) pins: Arc<Pins>,
    maps: Vec<(&'static str, PathBuf, OwnedFd)>,
    programs: Vec<(&'static str, ProgramFd)>,
    /// The folder of the programs.
    folder: PathBuf,
}

impl Pinned {
    pub(in super::super) fn new(pins: Arc<Pins>, ebpf: &Ebpf) -> Result<Self, KernelError> {
        Self::of(Arc::clone(&pins), ebpf).inspect_err(|_| pins.aside.take_back(&pins.folder))
    }

    fn of(pins: Arc<Pins>, ebpf: &Ebpf) -> Result<Self, KernelError> {
        let maps = pins
            .map_pins()
            .map(|(name, path)| Ok((name, path, map_fd(ebpf, name)?)))
            .collect::<Result<Vec<_>, KernelError>>()?;
        let programs = program_names()
            .map(|name| Ok((name, program_fd(ebpf, name)?)))
            .collect::<Result<Vec<_>, KernelError>>()?;
        let id = programs
            .first()
            .and_then(|(_, program)| super::program_id(program.as_fd()))
            .unwrap_or_default();
        Ok(Self {
            folder: pins.folder.join(format!("programs-{id}")),
            pins,
            maps,
            programs,
        })
    }

    /// Removes what was there before these programs, which judge and are pinned, once none of those runs any more.
    pub(in super::super) fn let_go_of_old(&self) {
        self.pins.aside.settle();
        sys::wait_for_programs();
        self.sweep();
    }

    /// Pins the programs, where there were none before.
    pub(in super::super) fn keep_first_programs(&self) -> Result<(), KernelError> {
        self.pins.aside.settle();
        self.pin_programs()?;
        self.sweep();
        Ok(())
    }

    fn sweep(&self) {
        let mut kept = self.pins.map_folders().to_vec();
        kept.push(self.folder.clone());
        self.pins.sweep(&kept);
    }

    /// Pins the programs.
    ///
    /// # Errors
    /// [`KernelError::Pins`]
    pub(in super::super) fn pin_programs(&self) -> Result<(), KernelError> {
        make(&self.folder)?;
        for (name, fd) in self.program_pins() {
            pin_unless_there(&self.folder.join(name), fd)?;
        }
        Ok(())
    }

    fn program_pins(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        self.programs.iter().map(|(name, fd)| (*name, fd.as_fd()))
    }

    /// The pins that are gone.
    pub(in super::super) fn damages(&self, links: &[Link]) -> Vec<Damage> {
        let links = links
            .iter()
            .filter(|link| !self.pins.has(link))
            .map(|link| link.point.name);
        let maps = self
            .maps
            .iter()
            .filter(|(_, path, _)| path.symlink_metadata().is_err())
            .map(|(name, ..)| *name);
        let programs = self
            .program_pins()
            .filter(|(name, _)| self.folder.join(name).symlink_metadata().is_err())
            .map(|(name, _)| name);
        links.chain(maps).chain(programs).map(Damage::Pin).collect()
    }

    /// Pins what is gone again, links apart.
    pub(in super::super) fn restore(&mut self) -> Result<(), KernelError> {
        let name = self.pins.folder.file_name().unwrap_or_default().to_string_lossy();
        self.pins.make_again(&name)?;
        for folder in self.pins.map_folders() {
            make(&folder)?;
        }
        for (_, path, fd) in &self.maps {
            pin_unless_there(path, fd.as_fd())?;
        }
        self.pin_programs()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Of programs that never judged.
        self.pins.aside.take_back(&self.pins.folder);
    }
}

fn make(path: &std::path::Path) -> Result<(), KernelError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(folder::failed("made", path, error))
        }
        _ => Ok(()),
    }
}

fn pin_unless_there(path: &std::path::Path, fd: BorrowedFd<'_>) -> Result<(), KernelError> {
    match sys::pin(fd, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(folder::failed("pinned", path, error))
        }
        _ => Ok(()),
    }
}
