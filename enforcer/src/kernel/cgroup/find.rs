//! From the id of a cgroup, which is all that the kernel programs tell, to the cgroup.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType};

use super::{Cgroup, CgroupError, DEPTH_MAX, hierarchy, open_dir, read};

/// Most cgroups that are looked through for one.
const CGROUPS_MAX: usize = 4096;

impl Cgroup {
    /// The cgroup with this id; `None` when there is none, or none among the first few thousand.
    ///
    /// # Errors
    /// No cgroup v2.
    pub fn find(id: u64) -> Result<Option<Self>, CgroupError> {
        let (root, mounted_at) = hierarchy()?;
        let shown = mounted_at.unwrap_or_else(|| PathBuf::from("/"));
        let root = Self::from_dir(root, shown)?;
        if root.id == id {
            return Ok(Some(root));
        }
        let mut left = CGROUPS_MAX;
        match descend(root.dir.as_fd(), Path::new(""), id, DEPTH_MAX, &mut left) {
            Some((dir, below)) => Self::from_dir(dir, root.shown.join(below)).map(Some),
            None => Ok(None),
        }
    }

    /// Every cgroup's id, with its path below the root of the hierarchy as `/proc/<pid>/cgroup` has it; of many the first few
    /// thousand.
    ///
    /// # Errors
    /// No cgroup v2.
    pub fn every() -> Result<Vec<(u64, String)>, CgroupError> {
        let (root, _) = hierarchy()?;
        let root = Self::from_dir(root, PathBuf::from("/"))?;
        let mut all = vec![(root.id, "/".to_owned())];
        list(root.dir.as_fd(), "", DEPTH_MAX, &mut all);
        Ok(all)
    }

    /// The ids of the processes in it, those of cgroups below it not among them; of its threads, when it is a threaded
    /// one.
    ///
    /// # Errors
    /// Reading fails: it was removed.
    pub fn members(&self) -> io::Result<Vec<u32>> {
        let text = match read(self.dir.as_fd(), "cgroup.procs") {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                read(self.dir.as_fd(), "cgroup.threads")?
            }
            other => other?,
        };
        // A process outside of this pid namespace is listed as 0.
        Ok(text
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid| *pid != 0)
            .collect())
    }
}

/// Looks below `dir`. What goes meanwhile is passed over.
fn descend(
    dir: BorrowedFd<'_>,
    shown: &Path,
    id: u64,
    depth: usize,
    left: &mut usize,
) -> Option<(OwnedFd, PathBuf)> {
    let mut below = Vec::new();
    for entry in Dir::read_from(dir).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type() != FileType::Directory || name == "." || name == ".." {
            continue;
        }
        // On cgroup v2 the inode number is the id (`cgroup_id` of include/linux/cgroup.h, 64-bit machines).
        if entry.ino() == id {
            return Some((open_dir(dir, Path::new(&name)).ok()?, shown.join(name)));
        }
        *left = left.checked_sub(1)?;
        below.push(name);
    }
    let depth = depth.checked_sub(1)?;
    below.into_iter().find_map(|name| {
        let child = open_dir(dir, Path::new(&name)).ok()?;
        descend(child.as_fd(), &shown.join(&name), id, depth, left)
    })
}

/// Lists what is below `dir`, whose path is `shown`, until there are as many as are looked through. What goes meanwhile is
/// passed over.
fn list(dir: BorrowedFd<'_>, shown: &str, depth: usize, all: &mut Vec<(u64, String)>) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    let begin = all.len();
    for entry in entries.map_while(Result::ok) {
        let name = entry.file_name().to_string_lossy();
        if entry.file_type() != FileType::Directory || name == "." || name == ".." {
            continue;
        }
        if all.len() == CGROUPS_MAX {
            return;
        }
        all.push((entry.ino(), format!("{shown}/{name}")));
    }
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    for at in begin..all.len() {
        let path = all[at].1.clone();
        let name = path.rsplit('/').next().unwrap_or_default();
        if let Ok(child) = open_dir(dir, Path::new(name)) {
            list(child.as_fd(), &path, depth, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_found_by_its_id_and_knows_its_members() {
        let own = Cgroup::own().unwrap();
        let found = Cgroup::find(own.id()).unwrap().expect("it is there");
        assert_eq!((found.id(), found.path()), (own.id(), own.path()));
        assert!(found.members().unwrap().contains(&std::process::id()));
        let root = Cgroup::find(1).unwrap().expect("the root has id 1");
        assert_eq!(root.id(), 1);
    }

    #[test]
    fn every_cgroup_is_listed_with_its_path() {
        let own = Cgroup::own().unwrap();
        let all = Cgroup::every().unwrap();
        let path = crate::kernel::cgroup::path_of_process(std::process::id()).unwrap();
        assert!(all.contains(&(own.id(), path)), "{all:?}");
        assert_eq!(all[0], (1, "/".to_owned()));
    }

    #[test]
    fn an_id_of_no_cgroup_is_none() {
        assert!(Cgroup::find(0).unwrap().is_none());
        assert!(Cgroup::find(u64::MAX).unwrap().is_none());
    }
}
