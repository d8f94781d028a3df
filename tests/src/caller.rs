//! A process of its own, in a cgroup and on a host of the lab, that makes socket calls when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::namespace::Namespace;
use crate::sockets::Answer;
use crate::{enter, programs};

/// The process; dropping it ends it.
pub struct Caller {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Caller {
    /// Starts it.
    ///
    /// # Errors
    /// When it has not been built, and without root.
    pub fn start(host: &Namespace, cgroup: &Cgroup) -> Result<Self> {
        let mut command = Command::new(programs::caller_program()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        cgroup.hold(&mut command)?;
        enter::in_namespace(&mut command, host, &[])?;
        let mut child = command.spawn().context("the caller cannot be started")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("its output was piped")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it make a call; the lines are those of [`crate::sockets`].
    ///
    /// # Errors
    /// What the call said.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn call(&mut self, line: &str) -> Answer {
        self.begin(line);
        self.answer()
    }

    /// Begins a call that takes its time.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn begin(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is open until the drop");
        writeln!(input, "{line}").expect("the caller lives");
    }

    /// The outcome of what was begun.
    ///
    /// # Errors
    /// What the call said.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the caller lives");
        match line.trim_end().split_once(' ') {
            Some(("ok", number)) => Ok(number.parse().expect("the caller answers with a number")),
            Some(("error", number)) => Err(Errno::from_raw_os_error(
                number.parse().expect("the caller answers with a number"),
            )),
            _ => panic!("the caller answered `{line}`"),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // The end of its input is the end of it; what blocks in a call would not see that.
        self.input = None;
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
