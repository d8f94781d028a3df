//! New maps come into the place of others, and those come back when nothing comes of it.
//!
//! The links run programs that work with the old maps until new programs judge. Until then these maps stay beside, under
//! another name, and whoever gives up puts them back: they are what is in force, and what a later start goes on with. Of
//! the two renames each may be the last thing that a process does. After the first nothing has the name; the next start
//! finds that, and puts the old maps back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::folder;

/// What `rename(2)` does; something that fails in tests.
type Rename<'a> = &'a mut dyn FnMut(&Path, &Path) -> io::Result<()>;

fn new(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("new-{name}"))
}

fn old(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("old-{name}"))
}

/// The groups of maps that were set aside, by their names, since new programs judged last.
#[derive(Debug, Default)]
pub(super) struct Aside(Mutex<Vec<String>>);

impl Aside {
    /// Puts the new groups in the place of those with these names, or none of them.
    ///
    /// # Errors
    /// The place of the group for which it failed, and why.
    pub(super) fn put_in_place(&self, folder: &Path, names: &[String]) -> Result<(), (PathBuf, io::Error)> {
        self.try_all(folder, names, &mut |from, to| fs::rename(from, to))
            .inspect_err(|_| self.take_back(folder))
    }

    fn try_all(
        &self,
        folder: &Path,
        names: &[String],
        rename: Rename<'_>,
    ) -> Result<(), (PathBuf, io::Error)> {
        names.iter().try_for_each(|name| {
            self.try_one(folder, name, rename)
                .map_err(|error| (folder.join(name), error))
        })
    }

    fn try_one(&self, folder: &Path, name: &str, rename: Rename<'_>) -> io::Result<()> {
        let (place, old) = (folder.join(name), old(folder, name));
        folder::remove_if_there(&old)?;
        match rename(&place, &old) {
            Ok(()) => self.names().push(name.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        rename(&new(folder, name), &place)
    }

    /// Puts back what was set aside: nothing judges by what is in its place.
    pub(super) fn take_back(&self, folder: &Path) {
        for name in self.names().drain(..).rev() {
            let (place, new) = (folder.join(&name), new(folder, &name));
            // Where it does not succeed, the next start finds the place empty, or takes the new maps as its own.
            let _put_back = match place.symlink_metadata() {
                Ok(_) => folder::remove_if_there(&new).and_then(|()| fs::rename(&place, &new)),
                Err(_) => Ok(()),
            }
            .and_then(|()| fs::rename(old(folder, &name), &place));
        }
    }

    /// New programs judge by the maps that are in place.
    pub(super) fn settle(&self) {
        self.names().clear();
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts back what somebody has set aside who was killed before anything else was in its place.
pub(super) fn recover(folder: &Path, name: &str) -> io::Result<()> {
    let (place, old) = (folder.join(name), old(folder, name));
    if place.symlink_metadata().is_ok() || old.symlink_metadata().is_err() {
        return Ok(());
    }
    fs::rename(old, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["abi", "flow"];

    /// Old groups and new ones beside them, in a folder that is no BPF file system: a rename is the same there.
    fn folders() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            for (path, content) in [
                (folder.path().join(name), "old"),
                (new(folder.path(), name), "new"),
            ] {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("HEADER"), content).unwrap();
            }
        }
        folder
    }

    fn names() -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    fn content(folder: &Path) -> Vec<String> {
        let of = |name| fs::read_to_string(folder.join(name).join("HEADER")).unwrap_or_default();
        NAMES.map(of).to_vec()
    }

    /// Renames that fail from this one on.
    fn failing_at(step: usize) -> impl FnMut(&Path, &Path) -> io::Result<()> {
        let mut count = 0;
        move |from, to| {
            count += 1;
            if count > step {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            fs::rename(from, to)
        }
    }

    #[test]
    fn new_maps_come_into_place_and_old_ones_back() {
        let folder = folders();
        let aside = Aside::default();
        aside.put_in_place(folder.path(), &names()).unwrap();
        assert_eq!(content(folder.path()), ["new", "new"]);
        aside.take_back(folder.path());
        assert_eq!(content(folder.path()), ["old", "old"]);
        // What is settled stays.
        aside.put_in_place(folder.path(), &names()).unwrap();
        aside.settle();
        aside.take_back(folder.path());
        assert_eq!(content(folder.path()), ["new", "new"]);
    }

    #[test]
    fn after_a_failure_at_any_step_the_old_maps_are_back() {
        for step in 0..4 {
            let folder = folders();
            // From an exchange long ago.
            fs::create_dir(old(folder.path(), "flow")).unwrap();
            let aside = Aside::default();
            let failed = aside.try_all(folder.path(), &names(), &mut failing_at(step));
            assert_eq!(failed.unwrap_err().0, folder.path().join(NAMES[step / 2]));
            aside.take_back(folder.path());
            assert_eq!(content(folder.path()), ["old", "old"], "{step}");
        }
    }

    #[test]
    fn a_start_after_a_kill_at_any_step_finds_whole_maps() {
        let expected = [["old", "old"], ["old", "old"], ["new", "old"], ["new", "old"]];
        for (step, expected) in expected.iter().enumerate() {
            let folder = folders();
            Aside::default()
                .try_all(folder.path(), &names(), &mut failing_at(step))
                .unwrap_err();
            for name in NAMES {
                recover(folder.path(), name).unwrap();
            }
            assert_eq!(content(folder.path()), *expected, "{step}");
            // And it can go on from there.
            for name in NAMES {
                folder::remove_if_there(&new(folder.path(), name)).unwrap();
                fs::create_dir(new(folder.path(), name)).unwrap();
                fs::write(new(folder.path(), name).join("HEADER"), "newer").unwrap();
            }
            Aside::default().put_in_place(folder.path(), &names()).unwrap();
            assert_eq!(content(folder.path()), ["newer", "newer"], "{step}");
        }
    }

    #[test]
    fn where_there_was_nothing_nothing_comes_back() {
        let folder = folders();
        fs::remove_dir_all(folder.path().join("abi")).unwrap();
        let aside = Aside::default();
        aside.put_in_place(folder.path(), &names()).unwrap();
        aside.take_back(folder.path());
        assert_eq!(content(folder.path()), ["new", "old"]);
    }
}
