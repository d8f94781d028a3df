//! File systems that are full or read-only, for a test alone.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs `body` in a thread whose mounts nobody else sees, nor the threads that it starts. They go with those threads.
///
/// # Errors
/// Without root.
pub fn with_own_mounts<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let own = move || {
        // SAFETY: the table of descriptors, of which the function warns, stays shared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("mounts of its own need root")?;
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(c"/", flags).context("mounts can not be kept from the host")?;
        body()
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(own);
        thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread with mounts of its own panicked")))
    })
}

/// Mounts an empty file system of `kibibytes` at the folder `at`.
///
/// # Errors
/// Outside of [`with_own_mounts`] it would be seen by the host, so it is refused by the kernel without root only.
pub fn mount_tiny(at: &Path, kibibytes: u32) -> Result<()> {
    let options = std::ffi::CString::new(format!("size={kibibytes}k")).context("a number has no NUL byte")?;
    mount("tmpfs", at, "tmpfs", MountFlags::empty(), &*options)
        .with_context(|| format!("no file system at {}", at.display()))
}

/// Makes what is mounted at the folder `at` read-only for the threads of [`with_own_mounts`], and for nobody else.
///
/// # Errors
/// Nothing is mounted there.
pub fn set_read_only_here(at: &Path) -> Result<()> {
    // The mount, and not its file system, which others have as well (mount(2), MS_BIND with MS_REMOUNT).
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    mount_remount(at, flags, c"").with_context(|| format!("{} can not be mounted anew", at.display()))
}

/// Makes the file system that [`mount_tiny`] mounted read-only, or writable again.
///
/// # Errors
/// A file is open for writing.
pub fn set_read_only(at: &Path, is_read_only: bool) -> Result<()> {
    let flags = if is_read_only {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    };
    mount_remount(at, flags, c"").with_context(|| format!("{} can not be mounted anew", at.display()))
}
