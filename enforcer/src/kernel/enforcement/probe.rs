//! The egress program, run by hand.

use std::os::fd::AsFd as _;
use std::time::Duration;

use aya::programs::ProgramFd;

use super::super::error::KernelError;
use super::super::sys;

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
