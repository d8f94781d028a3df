//! Whether the enforcer has events left to tell with, which is decided here: by its rate limit it would hang on how long
//! ago the last connections were.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues, RingBuf};
use enforcer_common::abi::{Counter, VERSION};
use enforcer_lab::Instance;
use rustix::time::{ClockId, clock_gettime};

/// A [`Counter`] as numbers: three counts, and the rate limit.
type RawCounter = [u64; 5];

const _: () = assert!(size_of::<RawCounter>() == size_of::<Counter>());

/// Of how many connections of a kind an event tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// Of hardly any: as many were told of just now as may be.
    Hardly,
    /// Of each, up to `EVENT_BURST`: nothing was told of before.
    Each,
}

/// The rate limits of an instance, and what its programs have told.
pub(super) struct Telling {
    counters: PerCpuArray<MapData, RawCounter>,
    events: RingBuf<MapData>,
}

impl Telling {
    /// Those of an instance with pins. Nobody else may read its events.
    pub(super) fn of(instance: &Instance) -> Result<Self> {
        let folder = instance.pins().join(format!("abi-{VERSION}"));
        let map = |name: &str| from_pin(&folder.join(name));
        Ok(Self {
            counters: PerCpuArray::try_from(Map::PerCpuArray(map("COUNTERS")?))?,
            events: RingBuf::try_from(Map::RingBuf(map("EVENTS")?))?,
        })
    }

    /// From now on, for what has this code, with all the room that there is. Nothing may be sent meanwhile.
    pub(super) fn set(&mut self, code: u8, told: Told) -> Result<()> {
        while self.events.next().is_some() {}
        let refilled = match told {
            Told::Hardly => now(),
            Told::Each => 0,
        };
        let code = u32::from(code);
        let mut all = self.counters.get(&code, 0)?.to_vec();
        for [.., refilled_ns, tokens] in &mut all {
            (*refilled_ns, *tokens) = (refilled, 0);
        }
        self.counters.set(code, PerCpuValues::try_from(all)?, 0)?;
        Ok(())
    }
}

/// The clock of the programs, in nanoseconds.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let [seconds, nanoseconds] = [time.tv_sec, time.tv_nsec].map(i64::unsigned_abs);
    seconds * 1_000_000_000 + nanoseconds
}

fn from_pin(path: &Path) -> Result<MapData> {
    MapData::from_pin(path).with_context(|| format!("there is no map at {}", path.display()))
}
