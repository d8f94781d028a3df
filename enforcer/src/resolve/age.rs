//! How old an answer is, also where it is older than this process, or than this boot.
//!
//! An [`Instant`] can not reach far back, and means nothing in another process. So an age from before the start is kept
//! as a span of time beside the moment at which it was taken over. What the machine does while it is off is seen by no
//! clock that can be trusted, hence ages that are lower bounds.

use std::fmt;
use std::time::{Duration, Instant};

use crate::elapsed::Elapsed;

/// Time since something happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Age {
    /// How long ago it was, or at least was.
    pub duration: Duration,
    /// Whether it may be longer ago: the machine was off in between.
    pub is_lower_bound: bool,
}

impl Age {
    /// So long ago, neither more nor less.
    #[must_use]
    pub const fn exact(duration: Duration) -> Self {
        Self {
            duration,
            is_lower_bound: false,
        }
    }

    /// So long ago or longer.
    #[must_use]
    pub const fn at_least(duration: Duration) -> Self {
        Self {
            duration,
            is_lower_bound: true,
        }
    }

    /// The age when `more` time has passed.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            duration: self.duration.saturating_add(more.duration),
            is_lower_bound: self.is_lower_bound || more.is_lower_bound,
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = if self.is_lower_bound { "at least " } else { "" };
        write!(out, "{bound}{}", Elapsed(self.duration))
    }
}

/// When the last good answer came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastAnswer {
    /// When it came to be known in this process.
    known: Instant,
    /// How old it was then.
    age: Age,
}

impl LastAnswer {
    /// One that was `age` old at `now`.
    #[must_use]
    pub fn restored(age: Age, now: Instant) -> Self {
        Self { known: now, age }
    }

    /// How old it is at `now`.
    #[must_use]
    pub fn age(&self, now: Instant) -> Age {
        let since = now.saturating_duration_since(self.known);
        self.age.plus(Age::exact(since))
    }
}

impl From<Instant> for LastAnswer {
    /// One that came at this time.
    fn from(time: Instant) -> Self {
        Self {
            known: time,
            age: Age::default(),
        }
    }
}
