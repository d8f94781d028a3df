//! A process of the bench's own: this very program, started once more on a host and in a cgroup. It takes orders, a line
//! each, and answers each with a line.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use enforcer_lab::{Cgroup, Namespace};

/// The process; dropping it ends it.
pub(crate) struct Helper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it with these arguments.
    ///
    /// # Errors
    /// When it can not be started there.
    pub(crate) fn start(arguments: &[impl AsRef<OsStr>], host: &Namespace, cgroup: &Cgroup) -> Result<Self> {
        let own = std::env::current_exe().context("this program does not know where it is")?;
        let mut command = Command::new(own);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        cgroup.hold(&mut command)?;
        host.hold(&mut command)?;
        let mut child = command
            .spawn()
            .context("a process of the bench cannot be started")?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process of the bench has no pipes");
        };
        Ok(Self {
            child,
            orders,
            answers: BufReader::new(answers),
        })
    }

    /// Gives an order; its answer.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn call(&mut self, order: &str) -> Result<String> {
        writeln!(self.orders, "{order}").context("a process of the bench has ended")?;
        self.answer()
    }

    /// The next line of it.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn answer(&mut self) -> Result<String> {
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            bail!("a process of the bench has ended");
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
