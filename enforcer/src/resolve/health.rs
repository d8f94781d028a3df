//! Which upstream is asked first. Pure: `now` is given.
//!
//! An upstream is blamed only by contrast: it failed where another one then answered the same question. A question that
//! fails everywhere says more about its name, or about the network, than about any upstream. A blamed upstream is put
//! aside with exponential back-off; when that is over one question tries it, while the others still go elsewhere.
//! Upstreams that are aside are asked last, not never.

use std::time::{Duration, Instant};

/// The first time an upstream is put aside, it is for so long.
pub const ASIDE_MIN: Duration = Duration::from_secs(5);
/// The back-off ends here.
pub const ASIDE_MAX: Duration = Duration::from_secs(300);
/// Refusals without a good answer in between that put an upstream aside. One alone may be about its name (a zone whose
/// signatures are broken is a server failure at one upstream and none at another).
pub const REFUSALS_MAX: u32 = 3;

/// How an upstream failed where another did not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// No answer, or none that can be read.
    Dead,
    /// It answered that it can not or will not: SERVFAIL, REFUSED.
    Refusing,
}

/// How an upstream is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// How it is called in messages.
    pub label: String,
    /// For how long it is put aside; zero while one question tries it.
    pub aside: Option<Duration>,
}

/// The upstreams' record.
#[derive(Debug)]
pub struct Health {
    upstreams: Vec<Record>,
    /// How long a trial may take before another question tries as well.
    trial: Duration,
}

#[derive(Clone, Debug, Default)]
struct Record {
    /// Aside until then.
    aside: Option<Instant>,
    /// How often in a row it was put aside.
    times: u32,
    refusals: u32,
}

impl Health {
    /// `count` upstreams of which nothing bad is known. `trial` is at least as long as one question may take.
    #[must_use]
    pub fn new(count: usize, trial: Duration) -> Self {
        Self {
            upstreams: vec![Record::default(); count],
            trial,
        }
    }

    /// All upstreams in the order to ask them: by preference, those that are aside last.
    pub fn order(&mut self, now: Instant) -> Vec<usize> {
        let mut first = Vec::with_capacity(self.upstreams.len());
        let mut last = Vec::new();
        for (index, record) in self.upstreams.iter_mut().enumerate() {
            match record.aside {
                None => first.push(index),
                Some(until) if until <= now => {
                    // This question is the trial: the others wait for how it ends.
                    record.aside = Some(now + self.trial);
                    first.push(index);
                }
                Some(_) => last.push(index),
            }
        }
        first.append(&mut last);
        first
    }

    /// For how long each upstream is aside; zero when that is over and it has not answered since.
    #[must_use]
    pub fn aside(&self, now: Instant) -> Vec<Option<Duration>> {
        let left = |until: Instant| until.saturating_duration_since(now);
        self.upstreams
            .iter()
            .map(|record| record.aside.map(left))
            .collect()
    }

    /// `answered` gave a good answer after each of `failed`, in their order, gave none.
    pub fn learn(&mut self, answered: usize, failed: &[(usize, Blame)], now: Instant) {
        self.upstreams[answered] = Record::default();
        for (index, blame) in failed {
            let record = &mut self.upstreams[*index];
            if *blame == Blame::Refusing {
                record.refusals = record.refusals.saturating_add(1);
                // One that is on trial has been refusing all the time.
                if record.refusals < REFUSALS_MAX && record.times == 0 {
                    continue;
                }
            }
            let doublings = record.times.min(16);
            record.times = record.times.saturating_add(1);
            record.aside = Some(now + (ASIDE_MIN * (1 << doublings)).min(ASIDE_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: Duration = Duration::from_secs(3);

    #[test]
    fn a_dead_upstream_is_aside_longer_each_time_and_tried_by_one() {
        let mut now = Instant::now();
        let mut health = Health::new(2, TRIAL);
        assert_eq!(health.order(now), [0, 1]);
        let mut expect = ASIDE_MIN;
        for _ in 0..10 {
            health.learn(1, &[(0, Blame::Dead)], now);
            assert_eq!(health.order(now), [1, 0]);
            now += expect.saturating_sub(Duration::from_nanos(1));
            assert_eq!(health.order(now), [1, 0]);
            now += Duration::from_nanos(1);
            assert_eq!(health.order(now), [0, 1], "one question tries it");
            assert_eq!(health.order(now), [1, 0], "the next one does not");
            expect = (expect * 2).min(ASIDE_MAX);
        }
        now += TRIAL;
        assert_eq!(
            health.order(now),
            [0, 1],
            "a trial that never ended is not the last"
        );
        health.learn(0, &[], now);
        assert_eq!(health.order(now), [0, 1]);
        health.learn(1, &[(0, Blame::Dead)], now);
        assert_eq!(
            health.order(now + ASIDE_MIN),
            [0, 1],
            "a good answer forgets the back-off"
        );
    }

    #[test]
    fn one_refusal_is_about_the_name() {
        let now = Instant::now();
        let mut health = Health::new(2, TRIAL);
        for _ in 1..REFUSALS_MAX {
            health.learn(1, &[(0, Blame::Refusing)], now);
            assert_eq!(health.order(now), [0, 1]);
        }
        health.learn(0, &[], now);
        for _ in 1..REFUSALS_MAX {
            health.learn(1, &[(0, Blame::Refusing)], now);
        }
        assert_eq!(health.order(now), [0, 1], "good answers in between count");
        health.learn(1, &[(0, Blame::Refusing)], now);
        assert_eq!(health.order(now), [1, 0]);
    }

    #[test]
    fn when_all_are_aside_all_are_asked() {
        let now = Instant::now();
        let mut health = Health::new(3, TRIAL);
        health.learn(2, &[(0, Blame::Dead), (1, Blame::Dead)], now);
        assert_eq!(health.order(now), [2, 0, 1]);
        health.learn(1, &[(2, Blame::Dead), (0, Blame::Dead)], now);
        assert_eq!(health.order(now), [1, 0, 2]);
    }
}
