//! A cgroup that lives as long as a value.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::AtFlags;

use super::{Cgroup, DEPTH_MAX, children, is_cgroup2, open_dir};

/// Tries at removing a cgroup whose last process is just ending, and the pause between two.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// A cgroup that this process made. Dropping it kills what runs in it and removes it.
#[derive(Debug)]
pub struct ScopedCgroup {
    cgroup: Cgroup,
    parent: OwnedFd,
    name: String,
    is_removed: bool,
}

impl ScopedCgroup {
    pub(super) fn new(cgroup: Cgroup, parent: OwnedFd, name: &str) -> Self {
        Self {
            cgroup,
            parent,
            name: name.to_owned(),
            is_removed: false,
        }
    }

    /// Takes over, from a process that has died, the cgroup `name` whose directory is `dir`.
    ///
    /// # Errors
    /// The directory is not on cgroup v2, or what it lies in can not be opened.
    pub fn adopt(dir: OwnedFd, name: &str) -> io::Result<Self> {
        let parent = open_dir(dir.as_fd(), Path::new(".."))?;
        if !is_cgroup2(dir.as_fd()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not on cgroup v2"));
        }
        let cgroup = Cgroup::from_dir(dir, name.into()).map_err(io::Error::other)?;
        Ok(Self::new(cgroup, parent, name))
    }

    /// Its name in its parent.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes it and the cgroups that were made below it. It must be empty of processes.
    ///
    /// # Errors
    /// EBUSY while a process lives in it, or no access.
    pub fn remove(&mut self) -> io::Result<()> {
        if !self.is_removed {
            remove_tree(self.parent.as_fd(), Path::new(&self.name), DEPTH_MAX)?;
            self.is_removed = true;
        }
        Ok(())
    }
}

impl Deref for ScopedCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for ScopedCgroup {
    fn drop(&mut self) {
        // What is left after the last try is an empty directory, which disturbs nobody.
        for _ in 0..REMOVE_TRIES {
            if self.remove().is_ok() {
                return;
            }
            let _refused = self.cgroup.kill();
            std::thread::sleep(REMOVE_PAUSE);
        }
    }
}

/// Removes the cgroup `name` in `parent`, those below it first.
fn remove_tree(parent: BorrowedFd<'_>, name: &Path, depth: usize) -> io::Result<()> {
    let dir = match open_dir(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if depth > 0 {
        for child in children(dir.as_fd())? {
            remove_tree(dir.as_fd(), &child, depth - 1)?;
        }
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
