//! Denials per reason: what lost no denial even when the events about them were suppressed.

use std::sync::Arc;

use aya::maps::{MapData, PerCpuArray};
use enforcer_common::Reason;
use enforcer_common::abi::Counter;

use super::error::KernelError;

/// A [`Counter`] as numbers, `denied` and `suppressed`: aya reads only types that it knows to be plain.
pub(super) type RawCounter = [u64; 2];

const _: () = assert!(size_of::<RawCounter>() == size_of::<Counter>());

/// Denials of one reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// Denials, with and without an event. In audit mode: sockets and their destinations that would have been denied,
    /// each once under each policy.
    pub denied: u64,
    /// Denials without an event, because of the rate limit or a full ring.
    pub suppressed: u64,
}

/// Denials of every reason since the programs were loaded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    counts: Vec<(Reason, Count)>,
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
            let values = self
                .map
                .get(&u32::from(*reason as u8), 0)
                .map_err(|error| KernelError::Map {
                    map: "COUNTERS",
                    action: "read",
                    source: std::io::Error::other(error),
                })?;
            let mut sum = Count::default();
            for value in values.iter() {
                sum.denied = sum.denied.saturating_add(value[0]);
                sum.suppressed = sum.suppressed.saturating_add(value[1]);
            }
            counts.push((*reason, sum));
        }
        Ok(Counters { counts })
    }
}

impl Counters {
    /// Every reason and its count, also those that are zero.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, Count)> {
        self.counts.iter().copied()
    }

    /// The count of one reason.
    #[must_use]
    pub fn get(&self, reason: Reason) -> Count {
        self.iter()
            .find(|(of, _)| *of == reason)
            .map(|(_, count)| count)
            .unwrap_or_default()
    }

    /// All denials.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.iter().map(|(_, count)| count.denied).sum()
    }

    /// All denials of which no event told.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.iter().map(|(_, count)| count.suppressed).sum()
    }
}
