//! Signals: those that end or reload the daemon, and those that `exec` hands on to its command.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A set of signals to wait for.
pub(super) struct Signals {
    streams: Vec<(i32, Signal)>,
}

impl Signals {
    /// Catches `numbers` from now on.
    pub(super) fn catch(numbers: &[i32]) -> io::Result<Self> {
        let streams: io::Result<Vec<_>> = numbers
            .iter()
            .map(|number| Ok((*number, signal(SignalKind::from_raw(*number))?)))
            .collect();
        Ok(Self { streams: streams? })
    }

    /// As [`Signals::catch`], except for those that this process was started with as ignored (`nohup`): the command
    /// inherits that only when they stay so.
    pub(super) fn catch_unless_ignored(numbers: &[i32]) -> io::Result<Self> {
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status")?);
        let numbers: Vec<_> = numbers
            .iter()
            .copied()
            .filter(|number| ignored & bit(*number) == 0)
            .collect();
        Self::catch(&numbers)
    }

    /// The number of the next one. Safe to cancel.
    pub(super) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The mask of ignored signals in `/proc/<pid>/status` (proc(5), `SigIgn`), bit 0 for signal 1.
fn ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn bit(number: i32) -> u64 {
    u32::try_from(number - 1)
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift))
        .unwrap_or(0)
}

/// The name of a signal, as kill(1) lists it.
pub(super) fn name(number: i32) -> &'static str {
    match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGTERM => "SIGTERM",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGSEGV => "SIGSEGV",
        _ => "a signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_mask_of_ignored_signals() {
        let status = "Name:\tenforcer\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        let mask = ignored(status);
        assert_ne!(mask & bit(libc::SIGHUP), 0);
        assert_ne!(mask & bit(libc::SIGPIPE), 0);
        assert_eq!(mask & bit(libc::SIGTERM), 0);
        assert_eq!(ignored("Name:\tx\n"), 0);
        assert_eq!(bit(0), 0);
    }
}
