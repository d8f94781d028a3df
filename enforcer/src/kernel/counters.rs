//! Denials per reason, and granted connections: what lost none even when the events about them were suppressed.

use std::sync::Arc;

use aya::maps::{MapData, PerCpuArray};
use enforcer_common::Reason;
use enforcer_common::abi::{Counter, GRANTED};

use super::error::KernelError;

/// A [`Counter`] as numbers, `denied`, `audit` and `suppressed` first: aya reads only types that it knows to be plain.
pub(super) type RawCounter = [u64; 5];

const _: () = assert!(size_of::<RawCounter>() == size_of::<Counter>());

/// Denials of one reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// Denials, with and without an event, those of audit mode among them.
    pub denied: u64,
    /// Those of audit mode, which let them through: sockets and their destinations, each once under each policy.
    pub audit: u64,
    /// Denials without an event, because of the rate limit or a full ring.
    pub suppressed: u64,
}

/// Granted connections.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GrantedCount {
    /// Connections, with and without an event.
    pub total: u64,
    /// Those without one, because of the rate limit or since the ring was half full.
    pub suppressed: u64,
}

/// Denials of every reason, and granted connections, since the programs were loaded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    counts: Vec<(Reason, Count)>,
    granted: GrantedCount,
}

/// Reads the counters of one loaded set of programs, also from another thread.
#[derive(Clone)]
pub struct CounterReader {
    map: Arc<PerCpuArray<MapData, RawCounter>>,
}

impl CounterReader {
    pub(super) fn new(map: PerCpuArray<MapData, RawCounter>) -> Self {
        Self { map: Arc::new(map) }
    }

    /// The counters now.
    ///
    /// # Errors
    /// [`KernelError::Map`] when the kernel can not be asked.
    pub fn read(&self) -> Result<Counters, KernelError> {
        let mut counts = Vec::with_capacity(Reason::ALL.len());
        for reason in Reason::ALL {
            let [dropped, audit, suppressed] = self.sum(*reason as u8)?;
            let count = Count {
                denied: dropped.saturating_add(audit),
                audit,
                suppressed,
            };
            counts.push((*reason, count));
        }
        let [total, _, suppressed] = self.sum(GRANTED)?;
        Ok(Counters {
            counts,
            granted: GrantedCount { total, suppressed },
        })
    }

    /// Of all CPUs.
    fn sum(&self, code: u8) -> Result<[u64; 3], KernelError> {
        let values = self
            .map
            .get(&u32::from(code), 0)
            .map_err(|error| KernelError::Map {
                map: "COUNTERS",
                action: "read",
                source: std::io::Error::other(error),
            })?;
        Ok(values.iter().fold([0; 3], |mut sum: [u64; 3], value| {
            for (sum, value) in sum.iter_mut().zip(value) {
                *sum = sum.saturating_add(*value);
            }
            sum
        }))
    }
}

impl Counters {
    /// With these counts, and nothing granted.
    #[cfg(test)]
    pub(crate) fn of(counts: &[(Reason, Count)]) -> Self {
        Self {
            counts: counts.to_vec(),
            granted: GrantedCount::default(),
        }
    }

    /// Every reason and its count, also those that are zero.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, Count)> {
        self.counts.iter().copied()
    }

    /// What was counted since `before`; all of it where that is more than there is now, since the maps were made anew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let beyond = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let counts = self.iter().map(|(reason, now)| {
            let before = before.get(reason);
            let since = Count {
                denied: beyond(now.denied, before.denied),
                audit: beyond(now.audit, before.audit),
                suppressed: beyond(now.suppressed, before.suppressed),
            };
            (reason, since)
        });
        Self {
            counts: counts.collect(),
            granted: GrantedCount {
                total: beyond(self.granted.total, before.granted.total),
                suppressed: beyond(self.granted.suppressed, before.granted.suppressed),
            },
        }
    }

    /// Counts these as well.
    pub fn add(&mut self, more: &Self) {
        for (reason, count) in more.iter() {
            match self.counts.iter_mut().find(|(of, _)| *of == reason) {
                Some((_, sum)) => {
                    sum.denied = sum.denied.saturating_add(count.denied);
                    sum.audit = sum.audit.saturating_add(count.audit);
                    sum.suppressed = sum.suppressed.saturating_add(count.suppressed);
                }
                None => self.counts.push((reason, count)),
            }
        }
        let sum = &mut self.granted;
        sum.total = sum.total.saturating_add(more.granted.total);
        sum.suppressed = sum.suppressed.saturating_add(more.granted.suppressed);
    }

    /// The count of one reason.
    #[must_use]
    pub fn get(&self, reason: Reason) -> Count {
        self.iter()
            .find(|(of, _)| *of == reason)
            .map(|(_, count)| count)
            .unwrap_or_default()
    }

    /// Granted connections.
    #[must_use]
    pub fn granted(&self) -> GrantedCount {
        self.granted
    }

    /// All denials.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.iter().map(|(_, count)| count.denied).sum()
    }

    /// All denials that audit mode let through.
    #[must_use]
    pub fn audit(&self) -> u64 {
        self.iter().map(|(_, count)| count.audit).sum()
    }

    /// All denials of which no event told.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.iter().map(|(_, count)| count.suppressed).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters with this count of two reasons, and of granted connections.
    fn counters(denied: u64, suppressed: u64) -> Counters {
        let count = Count {
            denied,
            audit: suppressed,
            suppressed,
        };
        Counters {
            counts: vec![(Reason::ALL[0], count), (Reason::ALL[1], count)],
            granted: GrantedCount {
                total: denied,
                suppressed,
            },
        }
    }

    #[test]
    fn a_sum_never_goes_back() {
        let mut total = counters(5, 1);
        let mut before = total.clone();
        // The last but one is after the maps were made anew.
        for (denied, suppressed, expect) in [(7, 1, (7, 1)), (7, 3, (7, 3)), (2, 0, (9, 3)), (3, 2, (10, 5))]
        {
            let now = counters(denied, suppressed);
            total.add(&now.since(&before));
            before = now;
            for reason in &Reason::ALL[..2] {
                let sum = total.get(*reason);
                assert_eq!((sum.denied, sum.suppressed), expect);
                assert_eq!(sum.audit, expect.1);
            }
            let granted = total.granted();
            assert_eq!((granted.total, granted.suppressed), expect);
        }
        let mut nothing = Counters::default();
        nothing.add(&counters(1, 1).since(&Counters::default()));
        assert_eq!(nothing, counters(1, 1));
    }
}
