//! The folder of an instance: where it is, and who has it locked.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::mount::MountFlags;

use super::super::error::KernelError;

/// Where systemd mounts the BPF file system.
const BPFFS: &str = "/sys/fs/bpf";
/// How often a folder is made again that somebody removes at the same time.
const ATTEMPTS: u32 = 8;

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> KernelError {
    KernelError::Pins {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The folder of an instance; a BPF file system is mounted where there is none.
pub(super) fn of(instance: &str) -> Result<PathBuf, KernelError> {
    let mounts = fs::read_to_string("/proc/self/mounts")
        .map_err(|error| failed("read", Path::new("/proc/self/mounts"), error))?;
    let base = match mounted(&mounts) {
        Some(base) => base,
        None => {
            // It takes CAP_SYS_ADMIN, which the service neither has nor needs: systemd mounts it.
            rustix::mount::mount("bpf", BPFFS, "bpf", MountFlags::NOSUID | MountFlags::NODEV, None)
                .map_err(|error| KernelError::NoBpffs { source: error.into() })?;
            PathBuf::from(BPFFS)
        }
    };
    Ok(base.join("enforcer").join(instance))
}

/// The folder of an instance where it is there; nothing is mounted or made.
pub(super) fn existing(instance: &str) -> Result<Option<PathBuf>, KernelError> {
    let mounts = fs::read_to_string("/proc/self/mounts")
        .map_err(|error| failed("read", Path::new("/proc/self/mounts"), error))?;
    let Some(base) = mounted(&mounts) else {
        return Ok(None);
    };
    let folder = base.join("enforcer").join(instance);
    Ok(is_there(&folder)?.then_some(folder))
}

/// Where a BPF file system is mounted: at the usual place, or else the first.
fn mounted(mounts: &str) -> Option<PathBuf> {
    let places: Vec<&str> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let place = words.next()?;
            (words.next()? == "bpf").then_some(place)
        })
        .collect();
    let usual = places.iter().find(|place| **place == BPFFS);
    usual.or(places.first()).map(PathBuf::from)
}

/// Whether something is there. Who may not look is not told that nothing is.
pub(super) fn is_there(path: &Path) -> Result<bool, KernelError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("looked at", path, error)),
    }
}

/// Makes the folder where it is missing, and locks it.
pub(super) fn lock(folder: &Path, instance: &str) -> Result<OwnedFd, KernelError> {
    for _ in 0..ATTEMPTS {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed("made", folder, error))?;
        let file = match File::open(folder) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("opened", folder, error)),
        };
        match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let inode = file.metadata().map_or(0, |metadata| metadata.ino());
                return Err(KernelError::Busy {
                    instance: instance.to_owned(),
                    pid: holder(inode),
                });
            }
            Err(error) => return Err(failed("locked", folder, error.into())),
        }
        // Somebody may have removed it meanwhile: a lock on what has no name keeps nobody away.
        let same = |metadata: fs::Metadata| file.metadata().is_ok_and(|ours| ours.ino() == metadata.ino());
        if fs::metadata(folder).is_ok_and(same) {
            return Ok(file.into());
        }
    }
    Err(failed("locked", folder, io::ErrorKind::ResourceBusy.into()))
}

/// Who has a file locked, as far as `/proc/locks` tells.
pub(super) fn holder(inode: u64) -> Option<u32> {
    holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Lines are `1: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF`, the inode last in the sixth word.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else {
            return None;
        };
        let of_file: u64 = file.rsplit(':').next()?.parse().ok()?;
        (of_file == inode).then(|| pid.parse().ok()).flatten()
    })
}

/// Removes a file or a folder with all that is in it.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    let outcome = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_is_preferred() {
        let other = "bpf /run/bpf bpf rw 0 0\n";
        assert_eq!(mounted(other), Some("/run/bpf".into()));
        let both = format!("{other}proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,nosuid 0 0\n");
        assert_eq!(mounted(&both), Some("/sys/fs/bpf".into()));
        assert_eq!(mounted("tmpfs /bpf tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks =
            "1: POSIX  ADVISORY  WRITE 7 00:1f:42 0 EOF\n2: FLOCK  ADVISORY  WRITE 1234 00:1f:42 0 EOF\n";
        assert_eq!(holder_in(locks, 42), Some(1234));
        assert_eq!(holder_in(locks, 4), None);
        assert_eq!(holder_in("garbage", 42), None);
    }
}
