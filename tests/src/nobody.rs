//! The user without rights: commands that he gives, and what he gets to see.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Nobody (Debian).
const NOBODY: u32 = 65_534;

/// Runs `work` as nobody, who is in `groups` alone, on a thread of its own: for the kernel a thread is a process.
///
/// # Panics
/// Without root, and when `work` does.
pub fn run<T: Send + 'static>(groups: &'static [u32], work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        drop_rights(groups).expect("this needs root");
        work()
    });
    match thread.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// `command` will run as nobody, and in `group` only where there is one. To be called last: nothing else that needs root
/// can be done after it. `program` is what [`crate::enter::path_of`] is for, and stays open until then.
pub(crate) fn command(command: &mut Command, group: Option<u32>, program: File) {
    let work = move || {
        let _open = &program;
        drop_rights(group.as_slice())
    };
    // SAFETY: between fork and exec it makes system calls only, with values that were made before the fork.
    unsafe { command.pre_exec(work) };
}

/// Makes nobody of the calling thread, for good: the raw calls change no other thread of the process.
fn drop_rights(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the kernel reads as many numbers of `groups` as it has.
    let outcomes = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY),
            libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY),
        ]
    };
    if outcomes.contains(&-1) {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
