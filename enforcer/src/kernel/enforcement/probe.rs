//! The egress program, run by hand, and how long it has run.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use aya::programs::ProgramFd;

use super::super::error::KernelError;
use super::super::sys;

/// How often a program has run, and for how long, while the kernel kept statistics (`BPF_ENABLE_STATS`, Linux 5.8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RunTime {
    /// Runs.
    pub count: u64,
    /// All of them together, with what the program went on with by tail calls.
    pub time: Duration,
}

/// Runs the egress program by hand (`BPF_PROG_TEST_RUN`).
pub struct Probe {
    pub(super) program: ProgramFd,
}

impl Probe {
    /// Whether a packet, which starts with an Ethernet header, would be let through.
    ///
    /// # Errors
    /// [`KernelError::System`] when the kernel can not run it, for example over fewer than 14 bytes.
    pub fn passes(&self, frame: &[u8]) -> Result<bool, KernelError> {
        self.repeat(frame, 1).map(|(passed, _)| passed)
    }

    /// How often the program has run, attached or by hand, and for how long.
    ///
    /// # Errors
    /// [`KernelError::System`] when the kernel does not tell.
    pub fn run_time(&self) -> Result<RunTime, KernelError> {
        let number = self.program.as_fd().as_raw_fd();
        let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
        let told = told.map_err(|source| KernelError::System {
            action: "reading how long a program has run",
            source,
        })?;
        let value = |name: &str| {
            let found = told.lines().find_map(|line| line.strip_prefix(name));
            found.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Ok(RunTime {
            count: value("run_cnt:"),
            time: Duration::from_nanos(value("run_time_ns:")),
        })
    }

    /// As [`Self::passes`], `count` times in a row; the last outcome, and the mean duration of a run.
    ///
    /// # Errors
    /// As [`Self::passes`].
    pub fn repeat(&self, frame: &[u8], count: u32) -> Result<(bool, Duration), KernelError> {
        sys::test_run(self.program.as_fd(), frame, count)
            .map(|(returned, duration)| (returned == 1, duration))
            .map_err(|source| KernelError::System {
                action: "running a program over a packet",
                source,
            })
    }
}
