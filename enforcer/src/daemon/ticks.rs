//! A timer that wakes its thread once a period, and not more often.
//!
//! A timer of tokio costs more: its clock advances in steps, and a time that is seconds away is come closer to by up to
//! two wake-ups before it is there (the levels of its timing wheel). For what goes on for ever that is most of what a
//! daemon does that has nothing to do.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The timer. Periods that were missed count as one.
#[derive(Debug)]
pub(super) struct Ticks {
    timer: AsyncFd<OwnedFd>,
}

impl Ticks {
    /// The first tick comes at once. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// The kernel's error number: no descriptor is left.
    pub(super) fn every(period: Duration) -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let times = Itimerspec {
            it_interval: Timespec::try_from(period).map_err(io::Error::other)?,
            // Zero would turn it off.
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: 1,
            },
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        // SAFETY: an `OwnedFd` is open as long as it lives and never becomes another one, and nothing here replaces it.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self { timer })
    }

    /// The next tick. Safe to cancel.
    pub(super) async fn next(&self) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else {
                return std::future::pending().await;
            };
            let mut count = [0; 8];
            match read(self.timer.get_ref(), &mut count) {
                Ok(_) => return,
                Err(Errno::INTR) => {}
                Err(_) => ready.clear_ready(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_tick_comes_at_once_and_others_follow() {
        let ticks = Ticks::every(Duration::from_millis(1)).unwrap();
        for _ in 0..5 {
            ticks.next().await;
        }
        let rare = Ticks::every(Duration::from_secs(3600)).unwrap();
        rare.next().await;
        tokio::select! {
            () = rare.next() => panic!("the second comes an hour later"),
            () = ticks.next() => {}
        }
    }
}
