//! A process whose first thread is held at a chosen point, while its other threads go on: a daemon that is starting.
//!
//! A signal would stop every thread. ptrace(2) stops one: the kernel tells when the first thread makes another, and holds
//! it there. The tracer is a thread, and has to be the one that started the process.

use std::fs;
use std::io;
use std::process::Command;

use crate::daemon::{Daemon, wait_until};
use crate::enter;

/// The first thread, which is held until this is dropped.
pub struct Held {
    pid: libc::pid_t,
}

impl Held {
    /// Starts the daemon of `command`, and holds its first thread where that has started a thread called `name`.
    ///
    /// # Errors
    /// When it can not be traced, or ends before.
    pub fn at_thread(mut command: Command, name: &str) -> io::Result<(Daemon, Self)> {
        enter::traced(&mut command);
        let daemon = Daemon::spawn(command)?;
        let pid = libc::pid_t::try_from(daemon.pid()).map_err(io::Error::other)?;
        wait(pid)?;
        let options = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
        trace(libc::PTRACE_SETOPTIONS, pid, i64::from(options))?;
        let mut signal = 0;
        loop {
            trace(libc::PTRACE_CONT, pid, signal)?;
            let status = wait(pid)?;
            if status >> 16 != libc::PTRACE_EVENT_CLONE {
                // Of a signal it gets to know.
                signal = i64::from(libc::WSTOPSIG(status));
                continue;
            }
            signal = 0;
            let thread = made(pid)?;
            // It is traced as well, and stops at once.
            wait(thread)?;
            trace(libc::PTRACE_DETACH, thread, 0)?;
            if named(pid, thread).as_deref() == Some(name) {
                return Ok((daemon, Self { pid }));
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have been killed.
        let _gone = trace(libc::PTRACE_DETACH, self.pid, 0);
    }
}

/// The name that a thread gives itself; `None` when it ends before it has one.
fn named(pid: libc::pid_t, thread: libc::pid_t) -> Option<String> {
    let name = |thread| fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm")).ok();
    let inherited = name(pid);
    let mut found = None;
    wait_until("a thread gets its name", || {
        found = name(thread);
        found.is_none() || found != inherited
    });
    found.map(|name| name.trim_end().to_owned())
}

/// The thread that the kernel has just told of.
fn made(pid: libc::pid_t) -> io::Result<libc::pid_t> {
    let mut thread: libc::c_ulong = 0;
    // SAFETY: the kernel writes one `unsigned long` to `thread`, which is one.
    let outcome = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, pid, 0, &raw mut thread) };
    if outcome == -1 {
        return Err(io::Error::last_os_error());
    }
    libc::pid_t::try_from(thread).map_err(io::Error::other)
}

fn trace(request: libc::c_uint, pid: libc::pid_t, data: i64) -> io::Result<()> {
    // SAFETY: these requests take numbers, and touch no memory of this process.
    match unsafe { libc::ptrace(request, pid, 0, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits until a thread that is traced stops.
fn wait(pid: libc::pid_t) -> io::Result<libc::c_int> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one number to `status`, which is one.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        if waited == pid && libc::WIFSTOPPED(status) {
            return Ok(status);
        }
        let failed = io::Error::last_os_error();
        if waited == pid {
            return Err(io::Error::other("it has ended"));
        }
        if failed.kind() != io::ErrorKind::Interrupted {
            return Err(failed);
        }
    }
}
