//! When the next save is due. Pure.

use std::time::{Duration, Instant};

/// What differs from the last save in ages and TTLs only is put off until that is so old. An age on disk is then so much
/// too high at the most, which is the safe side; and a disk is not worn out by names that are asked for every few seconds.
pub(super) const REFRESH: Duration = Duration::from_secs(300);
/// A write that took long is followed by a rest of so many times as long: many names cost a small share of a processor.
const REST: u32 = 50;
/// After a failure it is tried again after this.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// What matters of the saves so far.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    tried: Option<Instant>,
    is_failing: bool,
    /// How long the last write took.
    took: Duration,
}

impl Pace {
    /// Of a folder to which changes are written once an `interval` at the most.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            tried: None,
            is_failing: false,
            took: Duration::ZERO,
        }
    }

    /// A write that began at `began` ended at `now`.
    pub(super) fn tried(&mut self, is_good: bool, began: Instant, now: Instant) {
        self.tried = Some(now);
        self.is_failing = !is_good;
        self.took = now.saturating_duration_since(began);
    }

    /// Whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// As [`Self::due`] for what is written once in a while: at once, unless writing fails.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.tried
            .filter(|_| self.is_failing)
            .and_then(|_| self.due(true))
    }

    /// When what waits is to be written; `None` is at once. `is_change`: more than ages would change by it.
    pub(super) fn due(&self, is_change: bool) -> Option<Instant> {
        let delay = match (self.is_failing, is_change) {
            (true, _) => RETRY.max(self.interval),
            (false, true) => self.interval.max((self.took * REST).min(REFRESH)),
            (false, false) => REFRESH,
        };
        self.tried.map(|tried| tried + delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_written_soon_ages_seldom_and_failures_repeated() {
        let interval = Duration::from_secs(1);
        let mut pace = Pace::new(interval);
        assert_eq!(pace.due(false), None);
        let now = Instant::now();
        pace.tried(true, now, now);
        assert_eq!(pace.due(true), Some(now + interval));
        assert_eq!(pace.due(false), Some(now + REFRESH));
        assert_eq!(pace.retry(), None);
        pace.tried(false, now, now);
        assert_eq!(pace.retry(), Some(now + RETRY));
        assert_eq!(pace.due(true), Some(now + RETRY));
        assert_eq!(pace.due(false), Some(now + RETRY));
        pace.tried(true, now, now);
        assert_eq!(pace.due(false), Some(now + REFRESH));
        let long = now + Duration::from_millis(100);
        pace.tried(true, now, long);
        assert_eq!(pace.due(true), Some(long + Duration::from_secs(5)));
    }
}
