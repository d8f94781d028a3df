//! Running a program with a limit on its time.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(2);

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its status; that of SIGKILL when it ran into the limit.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    /// Whether it was ended because it ran for longer than it may.
    pub timed_out: bool,
}

impl Outcome {
    /// Whether it ended by itself with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The outcome, when it is success.
    ///
    /// # Panics
    /// With all that the program said, when it is not.
    #[track_caller]
    pub fn expect_success(self, what: &str) -> Self {
        assert!(self.success(), "{what}: {self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let late = if self.timed_out {
            ", ended at its time limit"
        } else {
            ""
        };
        write!(out, "{} after {} ms{late}", self.status, self.took.as_millis())?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(out, "\n--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Runs `command` in a process group of its own and ends that group when it takes longer than `limit`.
///
/// # Errors
/// When it cannot be started.
pub fn run_for(mut command: Command, limit: Duration) -> Result<Outcome> {
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("`{}` cannot be started", command.get_program().display()))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > limit && !timed_out {
            timed_out = true;
            kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        }
        std::thread::sleep(POLL);
    };
    let took = begin.elapsed();
    let text = |reader: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    Ok(Outcome {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
        took,
        timed_out,
    })
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _read = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn status_and_output_are_kept() {
        let outcome = run_for(shell("echo out; echo err >&2; exit 3"), Duration::from_secs(60)).unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert!(!outcome.timed_out);
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let outcome = run_for(shell("sleep 1000 & sleep 1000"), Duration::from_millis(50)).unwrap();
        assert!(outcome.timed_out && !outcome.success());
    }
}
