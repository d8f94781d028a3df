//! When which question is asked. Pure: `now` is given, and so is the randomness.
//!
//! - A good answer is asked for again a bit before its TTL, clamped, runs out: at a random point between
//!   [`EARLIEST`] and [`LATEST`] of it, so that names which were learnt together do not stay together.
//! - A failed question is repeated with exponential back-off from [`RETRY_MIN`] to [`RETRY_MAX`], and what fails may
//!   take no more than half of the places: a dead name never keeps a good one waiting for long.
//! - At most `concurrency` questions are under way, and never two for the same name and family.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::config;
use crate::names::ServerName;

use super::Family;
use super::book::Next;

/// The earliest point of a TTL at which the name is asked for again.
pub const EARLIEST: f64 = 0.70;
/// The latest one. What is left is for the answer to arrive in.
pub const LATEST: f64 = 0.90;
/// No question is repeated faster than this, whatever TTLs and configuration say: never a busy loop.
pub const INTERVAL_MIN: Duration = Duration::from_millis(250);
/// The first repetition of a failed question comes after this, give or take [`RETRY_JITTER`].
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// The back-off ends here. Also the longest that a name stays unknown after the network came back, give or take
/// [`RETRY_JITTER`].
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// Repetitions are spread by this share to either side.
pub const RETRY_JITTER: f64 = 0.25;
/// How long "nothing there" holds when the answer does not tell.
pub const NOTHING_TTL: Duration = Duration::from_secs(60);
/// A longer "nothing there" is taken as this (RFC 2308 section 5 says hours; a new endpoint shall be seen sooner).
pub const NOTHING_TTL_MAX: Duration = Duration::from_secs(300);

/// What is asked: one family of one name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// The name.
    pub name: ServerName,
    /// The family.
    pub family: Family,
}

/// How fast, and how much at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// A shorter TTL is taken as this.
    pub ttl_min: Duration,
    /// A longer TTL is taken as this.
    pub ttl_max: Duration,
    /// Questions under way at once, at least 1.
    pub concurrency: usize,
}

impl From<&config::Resolver> for Pace {
    fn from(resolver: &config::Resolver) -> Self {
        Self {
            ttl_min: resolver.ttl_min,
            ttl_max: resolver.ttl_max.max(resolver.ttl_min),
            concurrency: resolver.concurrency.max(1),
        }
    }
}

/// The questions, each waiting for its time or under way.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    random: fastrand::Rng,
    entries: HashMap<Key, Entry>,
    /// Waiting, by their time: those whose last question went well, or that were never asked.
    steady: BTreeSet<(Instant, Key)>,
    /// Waiting, by their time: those whose last question failed.
    retries: BTreeSet<(Instant, Key)>,
    /// Under way; the value says whether it was taken out of `retries`.
    running: HashMap<Key, bool>,
    running_retries: usize,
}

/// A question that is wanted.
#[derive(Debug, Default)]
struct Entry {
    /// Failures since the last success.
    failures: u32,
    /// When it is due; `None` while it is under way.
    due: Option<Instant>,
    /// To be asked again as soon as what is under way has ended.
    hurried: bool,
}

impl Schedule {
    /// An empty schedule.
    #[must_use]
    pub fn new(pace: Pace, random: fastrand::Rng) -> Self {
        Self {
            pace,
            random,
            entries: HashMap::new(),
            steady: BTreeSet::new(),
            retries: BTreeSet::new(),
            running: HashMap::new(),
            running_retries: 0,
        }
    }

    /// Wants exactly these names from now on, in both families. New ones are due at once; others keep their time.
    pub fn set_names<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a ServerName>,
        pace: Pace,
        now: Instant,
    ) {
        self.pace = pace;
        let mut old = std::mem::take(&mut self.entries);
        for name in names {
            for family in Family::BOTH {
                let key = Key {
                    name: name.clone(),
                    family,
                };
                let entry = old.remove(&key).unwrap_or_default();
                let is_new = entry.due.is_none() && !self.running.contains_key(&key);
                self.entries.insert(key.clone(), entry);
                if is_new {
                    self.wait(key, now);
                }
            }
        }
        for (key, entry) in old {
            self.unqueue(&key, &entry);
        }
    }

    /// Asks for `name` now, whenever it would have been due.
    pub fn hurry(&mut self, name: &ServerName, now: Instant) {
        for family in Family::BOTH {
            let key = Key {
                name: name.clone(),
                family,
            };
            let Some(mut entry) = self.entries.remove(&key) else {
                continue;
            };
            self.unqueue(&key, &entry);
            entry.failures = 0;
            entry.due = None;
            entry.hurried = self.running.contains_key(&key);
            let waits = !entry.hurried;
            self.entries.insert(key.clone(), entry);
            if waits {
                self.wait(key, now);
            }
        }
    }

    /// Takes the question out that is due longest, if any is and there is a place for it. It is under way until
    /// [`Self::done`].
    pub fn due(&mut self, now: Instant) -> Option<Key> {
        let next = self.next();
        let (_, key, is_retry) = next.filter(|(time, ..)| *time <= now)?;
        if let Some(entry) = self.entries.get_mut(&key)
            && let Some(time) = entry.due.take()
        {
            let queue = if is_retry {
                &mut self.retries
            } else {
                &mut self.steady
            };
            queue.remove(&(time, key.clone()));
        }
        self.running_retries += usize::from(is_retry);
        self.running.insert(key.clone(), is_retry);
        Some(key)
    }

    /// When [`Self::due`] has to be called again; `None` when only the end of a question under way can change anything.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.next().map(|(time, ..)| time)
    }

    /// Questions under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// A question ended: plans the next one, when the name is still wanted.
    pub fn done(&mut self, key: &Key, next: Next, now: Instant) {
        if self.running.remove(key) == Some(true) {
            self.running_retries -= 1;
        }
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if std::mem::take(&mut entry.hurried) {
            self.wait(key.clone(), now);
            return;
        }
        let delay = match next {
            Next::After { ttl } => {
                entry.failures = 0;
                self.ahead_of(ttl.clamp(self.pace.ttl_min, self.pace.ttl_max))
            }
            Next::AfterNothing { ttl } => {
                entry.failures = 0;
                let ttl = ttl.unwrap_or(NOTHING_TTL).min(NOTHING_TTL_MAX);
                self.ahead_of(ttl.clamp(self.pace.ttl_min, self.pace.ttl_max))
            }
            Next::Retry => {
                entry.failures = entry.failures.saturating_add(1);
                let failures = entry.failures;
                self.back_off(failures)
            }
        };
        self.wait(key.clone(), now + delay.max(INTERVAL_MIN));
    }

    fn ahead_of(&mut self, ttl: Duration) -> Duration {
        ttl.mul_f64(EARLIEST + (LATEST - EARLIEST) * self.random.f64())
    }

    fn back_off(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let base = (RETRY_MIN * (1 << doublings)).min(RETRY_MAX);
        base.mul_f64(1.0 + RETRY_JITTER * (2.0 * self.random.f64() - 1.0))
    }

    /// Puts an entry that is not under way into its queue.
    fn wait(&mut self, key: Key, time: Instant) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.due = Some(time);
            let queue = if entry.failures > 0 {
                &mut self.retries
            } else {
                &mut self.steady
            };
            queue.insert((time, key));
        }
    }

    fn unqueue(&mut self, key: &Key, entry: &Entry) {
        if let Some(time) = entry.due {
            let item = (time, key.clone());
            self.steady.remove(&item);
            self.retries.remove(&item);
        }
    }

    /// The next question that a place is free for, due or not, and whether it is a repetition.
    fn next(&self) -> Option<(Instant, Key, bool)> {
        if self.running.len() >= self.pace.concurrency {
            return None;
        }
        let retries_max = (self.pace.concurrency / 2).max(1);
        let steady = self.steady.first();
        let retry = self
            .retries
            .first()
            .filter(|_| self.running_retries < retries_max);
        match (steady, retry) {
            (Some((time, key)), Some((retry_time, _))) if time <= retry_time => {
                Some((*time, key.clone(), false))
            }
            (_, Some((time, key))) => Some((*time, key.clone(), true)),
            (Some((time, key)), None) => Some((*time, key.clone(), false)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests;
