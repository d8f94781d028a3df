//! The guard of a command's cgroup: a process of its own that ends everything in the cgroup when enforcer is killed.
//!
//! The programs go with the process that attached them. A command that outlived it would be judged by nobody, and its
//! death signal reaches only the command itself, not what it has started. The guard holds the other end of a pipe: when
//! that is closed without a goodbye, enforcer is gone.

use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use crate::cli::{COMMAND_GUARD, print_warning};
use crate::kernel::ScopedCgroup;

/// What enforcer says before it goes in peace.
const GOODBYE: &[u8] = b"0";

/// A guard that is on duty. Dropping it without [`Self::dismiss`] is as if enforcer had been killed.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    pipe: PipeWriter,
}

impl Guard {
    /// Starts the guard of `cgroup`: this program once more, outside of the cgroup, with the cgroup's directory as its
    /// stdout.
    ///
    /// # Errors
    /// The process can not be started.
    pub(super) fn start(cgroup: &ScopedCgroup) -> io::Result<Self> {
        let (theirs, pipe) = io::pipe()?;
        let directory = cgroup.as_fd().try_clone_to_owned()?;
        let process = Command::new("/proc/self/exe")
            .arg(COMMAND_GUARD)
            .arg(cgroup.name())
            .stdin(theirs)
            .stdout(File::from(directory))
            // A group of its own: Ctrl-C on the terminal is for the command.
            .process_group(0)
            .spawn()?;
        Ok(Self { process, pipe })
    }

    /// Sends the guard home: the cgroup is empty, or enforcer sees to it itself.
    pub(super) fn dismiss(mut self) {
        // One that is dead already needs no goodbye, and one that can not be waited for is nobody's child any more.
        let _dead = self.pipe.write_all(GOODBYE);
        let _gone = self.process.wait();
    }
}

/// The guard's own life: waits for the goodbye, and without one ends what runs in the cgroup behind stdout, `name`.
///
/// # Errors
/// Stdout is no cgroup.
pub fn watch(name: &str) -> io::Result<()> {
    let mut goodbye = Vec::new();
    io::stdin().take(1).read_to_end(&mut goodbye)?;
    if !goodbye.is_empty() {
        return Ok(());
    }
    let cgroup = ScopedCgroup::adopt(io::stdout().as_fd().try_clone_to_owned()?, name)?;
    let processes = cgroup.processes()?.len();
    // Kills them and removes it.
    drop(cgroup);
    if processes > 0 {
        print_warning(format_args!(
            "enforcer was killed: what it was to judge was ended with it ({processes} processes)"
        ));
    }
    Ok(())
}
