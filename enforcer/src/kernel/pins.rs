//! What outlives the daemon: links, maps and programs, pinned in a BPF file system below one folder for each instance.
//!
//! ```text
//! /sys/fs/bpf/enforcer/host/
//!     egress connect4 connect6 sendmsg4 sendmsg6     the links; they are enforcement
//!     abi-6/         the maps of the policy, under the version of their layout
//!     flow-1/        what is kept with sockets, under a version of its own
//!     programs-123/  the programs that the links run, under the number of the first
//! ```
//!
//! Whoever has the folder locked (flock(2)) may change it. Every step leaves something that the next start can go on
//! with, wherever the one before was killed: links run old programs or new ones, maps come into their place whole, by a
//! rename, those that they replace stay aside until new programs judge, and what no name above stands for is swept at the
//! end.

mod aside;
mod folder;
mod look;
mod maps;
mod pinned;

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::FlockOperation;

use super::error::KernelError;
use super::links::{Link, POINTS, Point};
use super::sys;
use aside::Aside;

pub use look::{Look, PinnedHook, PinnedPolicy, attached_since, hook_names, look};
pub(super) use maps::PreparedMaps;
pub use maps::{MapsFound, Was, confirm};
pub(super) use pinned::Pinned;

/// The pins of one instance, locked.
#[derive(Debug)]
pub struct Pins {
    folder: PathBuf,
    /// Holds the lock; replaced when somebody removed the folder and it is made anew.
    lock: Mutex<OwnedFd>,
    /// Maps that new ones have taken the place of, with no programs yet that judge by these.
    aside: Aside,
}

/// What was pinned for a hook before it was attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkFound {
    /// Nothing.
    Missing,
    /// A link on this cgroup: its program was replaced in place.
    Replaced,
    /// A link that somebody had detached, or whose cgroup is gone.
    Detached,
    /// A link on another cgroup; it ended once the new one judged.
    Elsewhere,
    /// Something else.
    Unusable,
}

/// A hook that was attached, and what it takes to undo that.
pub(super) struct Put {
    pub(super) link: Link,
    pub(super) found: LinkFound,
    before: Before,
}

impl Put {
    /// Of a link that nothing was there before.
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            found: LinkFound::Missing,
            before: Before::Nothing,
        }
    }
}

/// What judged at a hook before.
enum Before {
    /// This program, in the same link; `None` where nobody can get hold of it.
    Program(Option<OwnedFd>),
    /// Another link, which is still open.
    Link(Link),
    Nothing,
}

/// What somebody has done to what was attached and pinned.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Damage {
    /// The link of this hook is detached: the hook does not judge.
    Detached(&'static str),
    /// The link of this hook runs a program that is not ours.
    OtherProgram(&'static str),
    /// The pin of this link, map or program is gone or is another's: it judges as long as the daemon lives.
    Pin(&'static str),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Detached(name) => write!(out, "the hook `{name}` was detached and judges nothing"),
            Self::OtherProgram(name) => {
                write!(out, "the hook `{name}` runs a program that is not enforcer's")
            }
            Self::Pin(name) => write!(
                out,
                "the pin of `{name}` is gone, so it would end with this process"
            ),
        }
    }
}

/// What [`Pins::remove`] ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    /// The hooks that were attached and no longer are.
    pub detached: Vec<&'static str>,
}

impl Pins {
    /// Makes the folder of an instance where it is missing, and locks it.
    ///
    /// # Errors
    /// [`KernelError::Busy`] when another process has it locked; [`KernelError::NoBpffs`]; [`KernelError::Pins`].
    pub fn open(instance: &str) -> Result<Self, KernelError> {
        let folder = folder::of(instance)?;
        let lock = folder::lock(&folder, instance)?;
        Ok(Self {
            folder,
            lock: Mutex::new(lock),
            aside: Aside::default(),
        })
    }

    /// As [`Self::open`] where there is something, otherwise `None`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_existing(instance: &str) -> Result<Option<Self>, KernelError> {
        if folder::is_there(&folder::of(instance)?)? {
            Self::open(instance).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a link is pinned that judges somewhere.
    #[must_use]
    pub fn enforces(&self) -> bool {
        let open = |point| Link::open(point, &self.folder.join(POINTS[0].name));
        open(&POINTS[0])
            .and_then(|link| link.info())
            .is_ok_and(|info| info.cgroup != 0)
    }

    /// Lets `program` judge at a hook of a cgroup: in the link that is pinned for it, or in a new one.
    ///
    /// # Errors
    /// The kernel's error number; then the hook judges as before.
    pub(super) fn attach(
        &self,
        point: &'static Point,
        program: BorrowedFd<'_>,
        cgroup: BorrowedFd<'_>,
    ) -> io::Result<Put> {
        let id = rustix::fs::fstat(cgroup)?.st_ino;
        let path = self.folder.join(point.name);
        let (found, before) = match Link::open(point, &path) {
            Ok(link) if link.is_on(id) => {
                let before = self.program_of(&link);
                match link.update(program) {
                    Ok(()) => {
                        return Ok(Put {
                            link,
                            found: LinkFound::Replaced,
                            before: Before::Program(before),
                        });
                    }
                    Err(_) => (LinkFound::Unusable, Before::Link(link)),
                }
            }
            Ok(link) => match link.info() {
                Ok(info) if info.cgroup == 0 => (LinkFound::Detached, Before::Nothing),
                Ok(_) => (LinkFound::Elsewhere, Before::Link(link)),
                Err(_) => (LinkFound::Unusable, Before::Link(link)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (LinkFound::Missing, Before::Nothing),
            Err(_) => (LinkFound::Unusable, Before::Nothing),
        };
        // Beside the old one, which goes only when the new one is in its place.
        let link = Link::create(point, program, cgroup)?;
        self.put(&link).inspect_err(|_| link.detach())?;
        Ok(Put { link, found, before })
    }

    /// Has a hook judge as before [`Self::attach`].
    ///
    /// # Errors
    /// The kernel's error number; then it judges by the program that was attached.
    pub(super) fn take_back(&self, put: &Put) -> io::Result<()> {
        match &put.before {
            Before::Program(Some(program)) => put.link.update(program.as_fd()),
            Before::Program(None) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its old program is not pinned",
            )),
            Before::Link(link) => {
                self.put(link)?;
                put.link.detach();
                Ok(())
            }
            Before::Nothing => {
                put.link.detach();
                // What stays holds nothing any more, and the next start takes its place.
                let _removed = folder::remove_if_there(&self.folder.join(put.link.point.name));
                Ok(())
            }
        }
    }

    /// The program that a link runs, when it is pinned: by its number alone nobody without CAP_SYS_ADMIN gets hold of it.
    fn program_of(&self, link: &Link) -> Option<OwnedFd> {
        let runs = link.info().ok()?.program;
        let folders = fs::read_dir(&self.folder).ok()?.filter_map(Result::ok);
        let pinned = folders.map(|folder| folder.path().join(link.point.program));
        pinned
            .filter_map(|path| sys::open_pinned(&path).ok())
            .find(|program| program_id(program.as_fd()) == Some(runs))
    }

    /// Pins a link under its name, unless it is there.
    ///
    /// # Errors
    /// [`KernelError::Pins`].
    pub(super) fn pin_link(&self, link: &Link) -> Result<(), KernelError> {
        if self.has(link) {
            return Ok(());
        }
        self.put(link)
            .map_err(|error| folder::failed("pinned", &self.folder.join(link.point.name), error))
    }

    /// Whether this very link is pinned under its name.
    pub(super) fn has(&self, link: &Link) -> bool {
        let id = |link: &Link| link.info().map(|info| info.id);
        Link::open(link.point, &self.folder.join(link.point.name))
            .and_then(|pinned| id(&pinned))
            .is_ok_and(|pinned| id(link).is_ok_and(|id| id == pinned))
    }

    /// Pins a link under its name, in the place of what is there.
    fn put(&self, link: &Link) -> io::Result<()> {
        let new = self.folder.join(format!("new-{}", link.point.name));
        folder::remove_if_there(&new)?;
        link.pin(&new)?;
        fs::rename(new, self.folder.join(link.point.name))
    }

    /// Ends enforcement: detaches the links, the authority last, and removes the folder.
    ///
    /// # Errors
    /// [`KernelError::Pins`] when something can not be removed; all links are detached then all the same.
    pub fn remove(self) -> Result<Removed, KernelError> {
        let mut removed = Removed::default();
        for point in POINTS.iter().rev() {
            let Ok(link) = Link::open(point, &self.folder.join(point.name)) else {
                continue;
            };
            if link.info().is_ok_and(|info| info.cgroup != 0) {
                removed.detached.push(point.name);
            }
            link.detach();
        }
        removed.detached.reverse();
        fs::remove_dir_all(&self.folder).map_err(|error| folder::failed("removed", &self.folder, error))?;
        Ok(removed)
    }

    /// Makes the folder anew and locks it, where somebody removed it.
    pub(super) fn make_again(&self, instance: &str) -> Result<(), KernelError> {
        if self.folder.symlink_metadata().is_ok() {
            return Ok(());
        }
        let lock = folder::lock(&self.folder, instance)?;
        if let Ok(mut held) = self.lock.lock() {
            *held = lock;
        }
        Ok(())
    }

    /// Removes what is left of other versions and of what was interrupted.
    pub(super) fn sweep(&self, kept: &[PathBuf]) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let is_link = POINTS.iter().any(|point| path == self.folder.join(point.name));
            if !is_link && !kept.contains(&path) {
                // What stays is swept by the next start.
                let _swept = folder::remove_if_there(&path);
            }
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // A process that is being started has a copy of the descriptor for a moment, and closing ours would leave the lock.
        if let Ok(lock) = self.lock.lock() {
            let _unlocked = rustix::fs::flock(lock.as_fd(), FlockOperation::Unlock);
        }
    }
}

/// Whether something of an instance is pinned, or may be: what a process was about to pin when it was killed is not.
#[must_use]
pub fn is_anything_pinned(instance: &str) -> bool {
    match folder::existing(instance) {
        Ok(found) => found.is_some_and(|folder| is_anything_in(&folder)),
        Err(_) => true,
    }
}

/// The same of a folder.
#[must_use]
pub fn is_anything_in(folder: &Path) -> bool {
    let is_new = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(b"new-"))
    };
    fs::read_dir(folder).map_or(true, |mut entries| !entries.all(is_new))
}

/// The number of a program.
pub(super) fn program_id(program: BorrowedFd<'_>) -> Option<u32> {
    sys::program_id(program).ok()
}
