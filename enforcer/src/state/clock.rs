//! Time without a wall clock.
//!
//! `CLOCK_BOOTTIME` counts from the boot, also while the machine is suspended, and nobody can set it. Beside the id of
//! the boot it makes moments that can be compared over restarts of the daemon. Over a reboot only this is certain: since
//! then at least the time has passed for which the machine has been up.

use std::cmp::Ordering;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::resolve::Age;

/// Where the kernel tells the id of the boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id that the kernel made at this boot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(String);

/// A text that is no UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the id of the boot is no UUID")]
pub struct BootIdError;

impl TryFrom<String> for BootId {
    type Error = BootIdError;

    fn try_from(text: String) -> Result<Self, BootIdError> {
        let is_right = |(place, byte): (usize, u8)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() == 36 && text.bytes().enumerate().all(is_right) {
            Ok(Self(text))
        } else {
            Err(BootIdError)
        }
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.0
    }
}

/// A reading of the clock.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Which boot; `None` where the kernel did not tell.
    pub boot: Option<BootId>,
    /// Milliseconds since that boot.
    pub since_boot_ms: u64,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let text = std::fs::read_to_string(BOOT_ID).ok();
        Self {
            boot: text.and_then(|text| text.trim_end().to_owned().try_into().ok()),
            since_boot_ms: since_boot_ms(),
        }
    }

    /// This moment, of the boot that `self` is of: reads no file.
    #[must_use]
    pub fn later(&self) -> Self {
        Self {
            boot: self.boot.clone(),
            since_boot_ms: since_boot_ms(),
        }
    }

    /// How much time has passed from `earlier` until this moment: exactly within one boot, otherwise a lower bound.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Age {
        let within = self.since_boot_ms.checked_sub(earlier.since_boot_ms);
        let whole = Duration::from_millis(self.since_boot_ms);
        match (self.is_same_boot(earlier), within.map(Duration::from_millis)) {
            (Some(true), Some(within)) => Age::exact(within),
            // The clock went back, which it does only when a machine is put back to an earlier state.
            (Some(true), None) => Age::at_least(Duration::ZERO),
            (Some(false), _) | (None, None) => Age::at_least(whole),
            (None, Some(within)) => Age::at_least(within),
        }
    }

    /// Which of two earlier moments came later, as far as that can be told at this one: what is of this boot came after
    /// what is of another one, and two of the same boot are told apart by their clock. `Equal` where nothing is known.
    #[must_use]
    pub fn compare(&self, one: &Self, other: &Self) -> Ordering {
        if one.is_same_boot(other) == Some(true) {
            return one.since_boot_ms.cmp(&other.since_boot_ms);
        }
        let is_current = |moment: &Self| self.is_same_boot(moment) == Some(true);
        is_current(one).cmp(&is_current(other))
    }

    fn is_same_boot(&self, other: &Self) -> Option<bool> {
        Some(self.boot.as_ref()? == other.boot.as_ref()?)
    }
}

fn since_boot_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let milliseconds = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000;
    seconds.saturating_mul(1000).saturating_add(milliseconds)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A moment of the boot that this letter stands for.
    pub(crate) fn moment(boot: char, seconds: u64) -> Moment {
        let id = "00000000-0000-4000-8000-000000000000".replace('0', &boot.to_string());
        Moment {
            boot: Some(id.try_into().unwrap()),
            since_boot_ms: seconds * 1000,
        }
    }

    fn unknown(seconds: u64) -> Moment {
        Moment {
            boot: None,
            since_boot_ms: seconds * 1000,
        }
    }

    #[test]
    fn within_a_boot_time_is_exact_and_over_a_reboot_a_lower_bound() {
        let seconds = Duration::from_secs;
        for (now, earlier, age) in [
            (moment('a', 100), moment('a', 40), Age::exact(seconds(60))),
            (moment('a', 100), moment('a', 100), Age::exact(seconds(0))),
            (moment('a', 100), moment('a', 101), Age::at_least(seconds(0))),
            (moment('b', 100), moment('a', 40), Age::at_least(seconds(100))),
            (moment('b', 100), moment('a', 4000), Age::at_least(seconds(100))),
            // It may be the same boot or not: what is certain in both cases.
            (unknown(100), moment('a', 40), Age::at_least(seconds(60))),
            (unknown(100), moment('a', 4000), Age::at_least(seconds(100))),
            (moment('a', 100), unknown(40), Age::at_least(seconds(60))),
        ] {
            assert_eq!(now.since(&earlier), age, "{now:?} {earlier:?}");
        }
    }

    #[test]
    fn what_is_of_this_boot_is_later() {
        let now = moment('b', 10);
        let table = [
            (moment('b', 1), moment('b', 2), Ordering::Less),
            (moment('a', 9), moment('a', 2), Ordering::Greater),
            (moment('b', 1), moment('a', 999), Ordering::Greater),
            (moment('a', 999), moment('b', 1), Ordering::Less),
            (moment('a', 1), moment('c', 999), Ordering::Equal),
            (unknown(1), unknown(2), Ordering::Equal),
            (unknown(999), moment('b', 1), Ordering::Less),
        ];
        for (one, other, expect) in table {
            assert_eq!(now.compare(&one, &other), expect, "{one:?} {other:?}");
        }
    }

    #[test]
    fn the_kernel_tells_its_boot() {
        let now = Moment::now();
        assert!(now.boot.is_some());
        assert!(!now.later().since(&now).is_lower_bound);
    }

    #[test]
    fn only_a_uuid_is_an_id() {
        for bad in [
            "",
            "0",
            &"0".repeat(36),
            "00000000-0000-4000-8000-00000000000G",
            "ä",
        ] {
            assert_eq!(BootId::try_from(bad.to_owned()), Err(BootIdError), "{bad}");
        }
    }

    /// Whoever reads the wall clock here makes answers older or younger with it.
    #[test]
    fn nothing_in_this_room_knows_a_wall_clock() {
        let clocks = [
            "System".to_owned() + "Time",
            "Real".to_owned() + "time",
            "ji".to_owned() + "ff",
        ];
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state")];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                count += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                for clock in &clocks {
                    assert!(!text.contains(clock), "{clock} in {}", path.display());
                }
            }
        }
        assert!(count > 10, "{count} files");
    }
}
