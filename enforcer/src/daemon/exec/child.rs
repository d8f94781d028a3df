//! Starts the command inside its cgroup. The one place of the daemon that runs code between fork and exec.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::process::Signal;
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use tokio::process::{Child, Command};

use super::user::User;

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// There is no such command, or its interpreter is missing.
    #[error("`{command}` was not found")]
    NotFound {
        /// As it was given.
        command: String,
    },
    /// It is there and can not be executed.
    #[error("`{command}` can not be executed")]
    NotExecutable {
        /// As it was given.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// Something went wrong before it came to that.
    #[error("{step}")]
    Step {
        /// What could not be done.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// What a child does before it executes the command, in this order; written to a pipe where one of them fails.
const STEPS: [&str; 4] = [
    "the command can not be moved into its cgroup",
    "the groups of the user can not be taken on",
    "the user can not be taken on",
    "the command can not be tied to the life of enforcer",
];

/// Starts `command` in the cgroup whose `cgroup.procs` is `procs`, as `user`.
///
/// It is in the cgroup before its first instruction runs. It is killed when enforcer itself is killed, since then
/// nothing would judge it any more.
pub(super) fn start(command: &[OsString], procs: OwnedFd, user: Option<&User>) -> Result<Child, StartError> {
    let (program, arguments) = command.split_first().expect("clap asks for at least one word");
    let step = |step| move |source: io::Error| StartError::Step { step, source };
    let (failed_step, failing) = io::pipe().map_err(step("a pipe can not be made"))?;
    let ids = user.map(User::ids);
    let mut child = Command::new(program);
    child.args(arguments);
    if let Some(user) = user {
        child.envs(user.environment());
    }
    let prepare = move || {
        let steps: [&dyn Fn() -> rustix::io::Result<()>; 4] = [
            &|| rustix::io::write(&procs, b"0").map(drop),
            &|| {
                ids.as_ref()
                    .map_or(Ok(()), |(_, groups)| set_thread_groups(groups))
            },
            &|| {
                ids.as_ref().map_or(Ok(()), |((user, group), _)| {
                    set_thread_gid(*group)?;
                    set_thread_uid(*user)
                })
            },
            // Changing the user clears it: last.
            &|| rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
        ];
        for (at, step) in (0_u8..).zip(steps) {
            if let Err(error) = step() {
                let _best_effort = rustix::io::write(&failing, &[at]);
                return Err(io::Error::from(error));
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed: it makes system
    // calls on descriptors and values that were prepared before the fork, and neither allocates nor locks.
    unsafe { child.pre_exec(prepare) };
    let started = child.spawn();
    // Ends this process's copy of the pipe's other end, so that reading it can not hang.
    drop(child);
    started.map_err(|source| {
        let command = program.to_string_lossy().into_owned();
        let mut step = [0];
        match rustix::io::read(failed_step.as_fd(), &mut step) {
            Ok(1..) => StartError::Step {
                step: STEPS[usize::from(step[0]).min(STEPS.len() - 1)],
                source,
            },
            _ if source.kind() == io::ErrorKind::NotFound => StartError::NotFound { command },
            _ => StartError::NotExecutable { command, source },
        }
    })
}
