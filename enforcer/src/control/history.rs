//! The last events, numbered and bounded.
//!
//! The run loop adds and never waits; readers take from where they are. Who is too slow is told how many entries went
//! by, and holds nothing up. Denials and granted connections have a share each: however many connections are granted, no
//! denial is forgotten for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::filter::Since;
use super::model::{Entry, Event, Kept, Missed, Suppressed, Verdict, WhyMissed};

/// Most entries about denials that are kept.
pub const ENTRIES_MAX: usize = 4096;
/// Most bytes that they take, nearly.
pub const BYTES_MAX: usize = 3 << 20;
/// Most entries about granted connections.
pub const GRANTED_ENTRIES_MAX: usize = 4096;
/// Most bytes that they take, nearly.
pub const GRANTED_BYTES_MAX: usize = 3 << 20;

/// When something happened, by two clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Since boot (`CLOCK_MONOTONIC`), as events of the kernel have it.
    pub monotonic: Duration,
    /// The time of day.
    pub wall: Timestamp,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self {
            monotonic: Duration::new(
                now.tv_sec.try_into().unwrap_or_default(),
                now.tv_nsec.try_into().unwrap_or_default(),
            ),
            wall: Timestamp::now(),
        }
    }

    /// What was at `monotonic`, when it is now `self`.
    #[must_use]
    pub fn back_to(self, monotonic: Duration) -> Self {
        let ago = self.monotonic.saturating_sub(monotonic);
        Self {
            monotonic,
            // A clock that began a moment ago has no time before that.
            wall: self.wall.checked_sub(ago).unwrap_or(self.wall),
        }
    }

    /// RFC 3339 in UTC, with milliseconds.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:.3}", self.wall)
    }
}

/// Which shares of the history somebody reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shares {
    /// What was denied, or would have been.
    pub denied: bool,
    /// What was granted.
    pub granted: bool,
}

impl Shares {
    /// Both.
    pub const ALL: Self = Self {
        denied: true,
        granted: true,
    };

    /// The one that an entry is in.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let granted = match entry {
            Entry::Event(event) => event.verdict == Verdict::Allowed,
            Entry::Suppressed(suppressed) => suppressed.granted,
            Entry::Missed(_) => false,
        };
        Self {
            denied: !granted,
            granted,
        }
    }

    fn has(self, share: usize) -> bool {
        [self.denied, self.granted][share]
    }
}

/// The history. Shared by the run loop and the readers.
#[derive(Debug)]
pub struct History {
    rings: Mutex<Rings>,
    /// The number of the newest entry.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Rings {
    /// Denials, granted connections.
    shares: [Ring; 2],
    /// The number of the next entry.
    next: u64,
}

#[derive(Debug)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    /// How many are kept no more: the place of the first one that is.
    forgotten: u64,
    /// The number of the newest of those, and when it happened.
    newest_forgotten: Option<(u64, Moment)>,
    entries_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Record {
    number: u64,
    moment: Moment,
    bytes: usize,
    entry: Arc<Entry>,
}

/// Where a reader is: the place in each share.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place([u64; 2]);

/// What a reader gets at a time.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Entries that went by before these.
    pub missed: Option<Missed>,
    /// In their order.
    pub entries: Vec<Arc<Entry>>,
    /// Where to go on.
    pub next: Place,
    /// The number of the last entry; 0 without one.
    pub last: u64,
}

impl Default for History {
    fn default() -> Self {
        Self::new((ENTRIES_MAX, BYTES_MAX), (GRANTED_ENTRIES_MAX, GRANTED_BYTES_MAX))
    }
}

impl History {
    /// One that keeps so many entries and bytes of denials, and of granted connections.
    #[must_use]
    pub fn new(denied: (usize, usize), granted: (usize, usize)) -> Self {
        Self {
            rings: Mutex::new(Rings {
                shares: [Ring::new(denied), Ring::new(granted)],
                next: 1,
            }),
            newest: watch::Sender::new(0),
        }
    }

    /// Adds an event, which gets its number here.
    pub fn push(&self, moment: Moment, mut event: Event) {
        self.add(moment, |number| {
            event.number = number;
            Entry::Event(Box::new(event))
        });
    }

    /// Adds what became of denials without an event.
    pub fn push_suppressed(&self, moment: Moment, reason: &str, count: u64) {
        self.add(moment, |number| {
            Entry::Suppressed(Suppressed {
                number,
                time: moment.text(),
                reason: reason.to_owned(),
                granted: false,
                count,
            })
        });
    }

    /// Adds how many granted connections had no event.
    pub fn push_suppressed_granted(&self, moment: Moment, count: u64) {
        self.add(moment, |number| {
            Entry::Suppressed(Suppressed {
                number,
                time: moment.text(),
                reason: "granted".to_owned(),
                granted: true,
                count,
            })
        });
    }

    fn add(&self, moment: Moment, entry: impl FnOnce(u64) -> Entry) {
        let mut rings = self.rings();
        let number = rings.next;
        rings.next += 1;
        let entry = entry(number);
        let share = usize::from(Shares::of(&entry).granted);
        rings.shares[share].push(number, moment, entry);
        drop(rings);
        self.newest.send_replace(number);
    }

    /// Where a reader of `shares` begins, and what he can not get any more.
    #[must_use]
    pub fn begin(&self, since: Option<Since>, now: Moment, shares: Shares) -> (Place, Option<Missed>) {
        let rings = self.rings();
        let from = |is_before: &dyn Fn(&Moment) -> bool| {
            let place = rings.shares.each_ref().map(|ring| {
                let at = ring.records.partition_point(|record| is_before(&record.moment));
                ring.forgotten + at as u64
            });
            let lacks = |ring: &&Ring| {
                ring.newest_forgotten
                    .is_some_and(|(_, forgotten)| !is_before(&forgotten))
            };
            let lacking = rings.wanted(shares).filter(lacks);
            let count = lacking.map(|ring| ring.forgotten).sum();
            let why = WhyMissed::Forgotten;
            (Place(place), (count > 0).then_some(Missed { count, why }))
        };
        match since {
            None => (Place(rings.shares.each_ref().map(|ring| ring.forgotten)), None),
            Some(Since::After(number)) => (
                Place(rings.shares.each_ref().map(|ring| ring.after(number))),
                None,
            ),
            Some(Since::Ago(ago)) => {
                let first = now.monotonic.saturating_sub(ago);
                from(&|moment| moment.monotonic < first)
            }
            // A clock that was set back makes the order wrong here; then a little too much or too little is shown.
            Some(Since::At(time)) => from(&|moment| moment.wall < time),
        }
    }

    /// At most `max` entries of `shares` from a place on.
    #[must_use]
    pub fn read(&self, from: Place, max: usize, shares: Shares) -> Batch {
        let rings = self.rings();
        let mut place = from;
        let mut count = 0;
        for (share, ring) in rings.shares.iter().enumerate() {
            if shares.has(share) {
                count += ring.forgotten.saturating_sub(place.0[share]);
            }
            place.0[share] = place.0[share].max(ring.forgotten);
        }
        let why = WhyMissed::SlowReader;
        let mut batch = Batch {
            missed: (count > 0).then_some(Missed { count, why }),
            ..Batch::default()
        };
        while batch.entries.len() < max {
            // The older of the next ones.
            let next = (0..rings.shares.len())
                .filter(|share| shares.has(*share))
                .filter_map(|share| Some((rings.shares[share].at(place.0[share])?, share)))
                .min_by_key(|(record, _)| record.number);
            let Some((record, share)) = next else { break };
            place.0[share] += 1;
            batch.last = record.number;
            batch.entries.push(Arc::clone(&record.entry));
        }
        batch.next = place;
        batch
    }

    /// The number of the newest entry, and a notice when there is a newer one.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// How much is kept.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let rings = self.rings();
        let [denied, granted] = &rings.shares;
        Kept {
            entries: denied.records.len() as u64,
            forgotten: denied.forgotten,
            granted_entries: granted.records.len() as u64,
            granted_forgotten: granted.forgotten,
        }
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        // Nothing panics while it is held, and what is in it is whole at any time.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    fn wanted(&self, shares: Shares) -> impl Iterator<Item = &Ring> {
        let wanted = self.shares.iter().enumerate();
        wanted
            .filter(move |(share, _)| shares.has(*share))
            .map(|(_, ring)| ring)
    }
}

impl Ring {
    fn new((entries_max, bytes_max): (usize, usize)) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            forgotten: 0,
            newest_forgotten: None,
            entries_max,
            bytes_max,
        }
    }

    /// The place of the first entry behind the one with this number. Where some of these are forgotten it lies before what
    /// is kept, by as many as that can be.
    fn after(&self, number: u64) -> u64 {
        let lost = match self.newest_forgotten {
            Some((newest, _)) => newest.saturating_sub(number).min(self.forgotten),
            None => 0,
        };
        if lost > 0 {
            return self.forgotten - lost;
        }
        let at = self.records.partition_point(|record| record.number <= number);
        self.forgotten + at as u64
    }

    fn at(&self, place: u64) -> Option<&Record> {
        let at = place.checked_sub(self.forgotten)?;
        self.records.get(usize::try_from(at).ok()?)
    }

    fn push(&mut self, number: u64, moment: Moment, entry: Entry) {
        let bytes = size_of::<Record>() + size(&entry);
        self.bytes += bytes;
        self.records.push_back(Record {
            number,
            moment,
            bytes,
            entry: Arc::new(entry),
        });
        while self.records.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes;
            self.forgotten += 1;
            self.newest_forgotten = Some((oldest.number, oldest.moment));
        }
    }
}

/// The memory that an entry takes, without what the allocator adds.
fn size(entry: &Entry) -> usize {
    let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let owned = match entry {
        Entry::Event(event) => {
            let owner = &event.owner;
            let container = owner.container.as_ref();
            size_of::<Event>()
                + event.time.len()
                + event.protocol.len()
                + event.process.len()
                + of(&event.name)
                + of(&event.refused)
                + of(&event.server_name)
                + of(&event.rule_at)
                + of(&owner.cgroup)
                + of(&owner.unit)
                + of(&owner.user_unit)
                + of(&owner.pod)
                + container.map_or(0, |container| container.id.len() + container.runtime.len())
        }
        Entry::Suppressed(suppressed) => suppressed.reason.len() + suppressed.time.len(),
        Entry::Missed(_) => 0,
    };
    size_of::<Entry>() + owned
}

#[cfg(test)]
pub(super) mod tests;
