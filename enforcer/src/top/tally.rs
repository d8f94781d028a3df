//! Denials counted by who, where to and why. However many there are of each, the memory is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::seen::{Judged, Seen};
use crate::control::model::Verdict;

/// Most groups of each kind; those with the fewest denials make room and are counted together.
pub(super) const GROUPS_MAX: usize = 500;
/// A minute is counted in so many parts.
const PARTS: usize = 12;
/// Seconds of one part.
const PART_S: i64 = 5;

/// What denials are grouped by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Grouping {
    /// The name of the thread.
    #[default]
    Process,
    /// The name that was asked for, otherwise that of the address, otherwise the address.
    Name,
    /// Why.
    Reason,
    /// The unit, otherwise the cgroup.
    Unit,
    /// The container, otherwise the pod.
    Container,
}

/// All counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    groups: [Groups; Grouping::ALL.len()],
    /// The oldest event that is counted.
    pub(super) first: Option<Timestamp>,
}

/// The groups of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub(super) by_key: HashMap<String, Group>,
    pub(super) others: Others,
    /// Denials without an event, of which nobody knows the group.
    pub(super) untold: u64,
}

/// Groups that had to make room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Others {
    /// How many; one that came back counts again.
    pub(super) groups: u64,
    pub(super) denied: u64,
}

/// One group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Denials, those that audit mode let through among them.
    pub(super) denied: u64,
    /// The newest.
    pub(super) last: Timestamp,
    /// The newest event.
    pub(super) latest: Option<Arc<Judged>>,
    minute: Minute,
}

/// What was counted in the last minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    /// The number of the newest part, since 1970.
    newest: i64,
    counts: [u64; PARTS],
}

impl Grouping {
    pub(super) const ALL: [Self; 5] = [
        Self::Process,
        Self::Name,
        Self::Reason,
        Self::Unit,
        Self::Container,
    ];

    /// Its word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Name => "name",
            Self::Reason => "reason",
            Self::Unit => "unit",
            Self::Container => "container",
        }
    }

    fn key(self, judged: &Judged) -> &str {
        match self {
            Self::Process => &judged.process,
            Self::Name => judged.to(),
            Self::Reason => &judged.reason,
            Self::Unit => &judged.unit,
            Self::Container => judged.container.as_deref().unwrap_or("no container"),
        }
    }
}

impl Tally {
    /// Counts what was seen.
    pub(super) fn add(&mut self, seen: &Seen) {
        match seen {
            Seen::Judged(judged) if judged.verdict == Verdict::Allowed => {}
            Seen::Judged(judged) => {
                for grouping in Grouping::ALL {
                    let groups = &mut self.groups[grouping as usize];
                    let group = groups.group(grouping.key(judged), judged.time);
                    group.count(judged.time, 1);
                    group.latest = Some(Arc::clone(judged));
                }
            }
            Seen::Untold { time, reason, count } => {
                for grouping in Grouping::ALL {
                    let groups = &mut self.groups[grouping as usize];
                    if grouping == Grouping::Reason {
                        groups.group(reason, *time).count(*time, *count);
                    } else {
                        groups.untold = groups.untold.saturating_add(*count);
                    }
                }
            }
            Seen::Missed { .. } => return,
        }
        let time = seen.time();
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
    }

    pub(super) fn by(&self, grouping: Grouping) -> &Groups {
        &self.groups[grouping as usize]
    }
}

impl Groups {
    /// The group `key`, for which another makes room when there are too many.
    fn group(&mut self, key: &str, time: Timestamp) -> &mut Group {
        if !self.by_key.contains_key(key) && self.by_key.len() >= GROUPS_MAX {
            let least = self
                .by_key
                .iter()
                .min_by_key(|(key, group)| (group.denied, group.last, *key))
                .map(|(key, _)| key.clone());
            if let Some(gone) = least.and_then(|least| self.by_key.remove(&least)) {
                self.others.groups += 1;
                self.others.denied = self.others.denied.saturating_add(gone.denied);
            }
        }
        self.by_key.entry(key.to_owned()).or_insert_with(|| Group {
            denied: 0,
            last: time,
            latest: None,
            minute: Minute::default(),
        })
    }
}

impl Group {
    fn count(&mut self, time: Timestamp, count: u64) {
        self.denied = self.denied.saturating_add(count);
        self.last = self.last.max(time);
        self.minute.add(time, count);
    }

    /// Denials in the minute before `now`, by five seconds exact.
    pub(super) fn last_minute(&self, now: Timestamp) -> u64 {
        self.minute.sum(now)
    }
}

impl Minute {
    fn add(&mut self, time: Timestamp, count: u64) {
        let part = time.as_second().div_euclid(PART_S);
        if part > self.newest {
            let gone = part.saturating_sub(self.newest).min(PARTS as i64);
            for number in part - gone + 1..=part {
                self.counts[index(number)] = 0;
            }
            self.newest = part;
        }
        if part > self.newest - PARTS as i64 {
            let counted = &mut self.counts[index(part)];
            *counted = counted.saturating_add(count);
        }
    }

    fn sum(&self, now: Timestamp) -> u64 {
        let now = now.as_second().div_euclid(PART_S);
        let parts = self.newest - PARTS as i64 + 1..=self.newest;
        parts
            .filter(|part| *part > now - PARTS as i64)
            .map(|part| self.counts[index(part)])
            .fold(0, u64::saturating_add)
    }
}

fn index(part: i64) -> usize {
    usize::try_from(part.rem_euclid(PARTS as i64)).unwrap_or_default()
}
