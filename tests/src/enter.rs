//! Starting a program inside a host of the lab.
//!
//! `ip netns exec` would do, but it mounts a fresh `/sys`, on which cgroup v2 and bpffs are missing.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::cgroup::Cgroup;
use crate::namespace::{self, Namespace};

/// A file that a program sees in place of another: (what it sees, where it sees it).
pub(crate) type Overlay = (CString, CString);

/// Makes an [`Overlay`] of two paths.
pub(crate) fn overlay(file: &Path, at: &Path) -> Result<Overlay> {
    let c_string = |path: &Path| CString::new(path.as_os_str().as_bytes()).context("a path with a NUL byte");
    Ok((c_string(file)?, c_string(at)?))
}

/// `command` will run in `namespace`, with `overlays` mounted for it alone.
pub(crate) fn in_namespace(command: &mut Command, namespace: &Namespace, overlays: &[Overlay]) -> Result<()> {
    let file = namespace
        .file()
        .try_clone()
        .context("no descriptor for a namespace")?;
    let overlays = overlays.to_vec();
    // SAFETY: the closure runs after fork and before exec. It makes system calls with values that were made before the
    // fork: it neither allocates (C strings pass as they are) nor takes a lock nor touches another thread's state.
    unsafe { command.pre_exec(move || move_in(&file, &overlays)) };
    Ok(())
}

/// `command` will run in `cgroup`, from its first instruction on.
///
/// # Errors
/// When the cgroup is gone.
pub(crate) fn in_cgroup(command: &mut Command, cgroup: &Cgroup) -> Result<()> {
    let path = cgroup.path().join("cgroup.procs");
    let file: OwnedFd = OpenOptions::new()
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?
        .into();
    let join = move || {
        // "0" stands for the process that writes.
        rustix::io::write(&file, b"0")?;
        Ok(())
    };
    // SAFETY: as above: one system call, on a descriptor that was opened before the fork.
    unsafe { command.pre_exec(join) };
    Ok(())
}

/// `command` will be killed when the thread that starts it ends.
pub(crate) fn tied_to_this_thread(command: &mut Command) {
    // SAFETY: as above: one system call without memory.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
}

/// Moves the calling process, which is about to become another program.
fn move_in(namespace: &OwnedFd, overlays: &[Overlay]) -> io::Result<()> {
    // SAFETY: the table of descriptors, of which the function warns, stays shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    // What is mounted for this process must not appear on the host.
    mount_change(
        c"/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    for (file, at) in overlays {
        mount_bind(file.as_c_str(), at.as_c_str())?;
    }
    namespace::enter(namespace.as_fd())
}

/// Where a program started from here finds `file`, which it need not be able to reach in another way.
pub(crate) fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// `command` will stop before its first instruction, traced by the thread that starts it (ptrace(2)).
pub(crate) fn traced(command: &mut Command) {
    let trace = || {
        // SAFETY: a system call that takes nothing but its number.
        match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: as above: one system call without memory.
    unsafe { command.pre_exec(trace) };
}
