//! The last events, numbered and bounded.
//!
//! The run loop adds and never waits; readers take from where they are. Who is too slow is told how many entries went
//! by, and holds nothing up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::filter::Since;
use super::model::{Entry, Event, Kept, Missed, Suppressed, WhyMissed};

/// Most entries that are kept.
pub const ENTRIES_MAX: usize = 4096;
/// Most bytes that they take, nearly.
pub const BYTES_MAX: usize = 3 << 20;

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

/// The history. Shared by the run loop and the readers.
#[derive(Debug)]
pub struct History {
    ring: Mutex<Ring>,
    /// The number of the newest entry.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    /// The number of the next entry.
    next: u64,
    /// When the newest of those happened that are kept no more.
    forgotten: Option<Moment>,
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

/// What a reader gets at a time.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Entries that went by before these.
    pub missed: Option<Missed>,
    /// In their order.
    pub entries: Vec<Arc<Entry>>,
    /// Where to go on.
    pub next: u64,
}

impl Default for History {
    fn default() -> Self {
        Self::new(ENTRIES_MAX, BYTES_MAX)
    }
}

impl History {
    /// One that keeps so much.
    #[must_use]
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            ring: Mutex::new(Ring {
                records: VecDeque::new(),
                bytes: 0,
                next: 1,
                forgotten: None,
                entries_max,
                bytes_max,
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
                count,
            })
        });
    }

    fn add(&self, moment: Moment, entry: impl FnOnce(u64) -> Entry) {
        let mut ring = self.ring();
        let number = ring.next;
        let entry = entry(number);
        ring.push(moment, entry);
        drop(ring);
        self.newest.send_replace(number);
    }

    /// Where a reader begins, and what he can not get any more.
    #[must_use]
    pub fn begin(&self, since: Option<Since>, now: Moment) -> (u64, Option<Missed>) {
        let ring = self.ring();
        let first = ring.first();
        let begin_at = |is_before: &dyn Fn(&Moment) -> bool| {
            let at = ring.records.partition_point(|record| is_before(&record.moment));
            let number = ring.records.get(at).map_or(ring.next, |record| record.number);
            let lacks = ring.forgotten.is_some_and(|forgotten| !is_before(&forgotten));
            let missed = lacks.then_some(Missed {
                count: first - 1,
                why: WhyMissed::Forgotten,
            });
            (number, missed)
        };
        match since {
            None => (first, None),
            Some(Since::After(number)) => (number.saturating_add(1).min(ring.next), None),
            Some(Since::Ago(ago)) => {
                let from = now.monotonic.saturating_sub(ago);
                begin_at(&|moment| moment.monotonic < from)
            }
            // A clock that was set back makes the order wrong here; then a little too much or too little is shown.
            Some(Since::At(time)) => begin_at(&|moment| moment.wall < time),
        }
    }

    /// At most `max` entries from the number `from` on.
    #[must_use]
    pub fn read(&self, from: u64, max: usize) -> Batch {
        let ring = self.ring();
        let first = ring.first();
        let missed = first
            .checked_sub(from)
            .filter(|count| *count > 0)
            .map(|count| Missed {
                count,
                why: WhyMissed::SlowReader,
            });
        let from = from.max(first);
        let skip = usize::try_from(from - first).unwrap_or(usize::MAX);
        let entries: Vec<_> = ring
            .records
            .iter()
            .skip(skip)
            .take(max)
            .map(|record| Arc::clone(&record.entry))
            .collect();
        Batch {
            missed,
            next: from + entries.len() as u64,
            entries,
        }
    }

    /// The number of the newest entry, and a notice when there is a newer one.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// How much is kept.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let ring = self.ring();
        Kept {
            entries: ring.records.len() as u64,
            forgotten: ring.first() - 1,
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it is held, and what is in it is whole at any time.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// The number of the oldest entry that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.records.front().map_or(self.next, |record| record.number)
    }

    fn push(&mut self, moment: Moment, entry: Entry) {
        let bytes = size_of::<Record>() + size(&entry);
        self.bytes += bytes;
        self.records.push_back(Record {
            number: self.next,
            moment,
            bytes,
            entry: Arc::new(entry),
        });
        self.next += 1;
        while self.records.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes;
            self.forgotten = Some(oldest.moment);
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
pub(super) mod tests {
    use super::super::model::{Owner, Verdict};
    use super::*;

    /// An event of curl to `destination`.
    pub(in super::super) fn event(destination: &str) -> Event {
        Event {
            number: 0,
            time: "2026-01-31T12:00:00.000Z".into(),
            verdict: Verdict::Denied,
            reason: Some("address-not-granted".into()),
            explanation: Some("no rule of the policy grants this address".into()),
            hook: "connect".into(),
            protocol: "tcp".into(),
            source: None,
            destination: Some(destination.parse().unwrap()),
            name: None,
            refused: None,
            server_name: None,
            rule: None,
            pid: Some(812),
            process: "curl".into(),
            cgroup_id: 1,
            owner: Owner::default(),
        }
    }

    /// The moment `seconds` after the start.
    pub(in super::super) fn at(seconds: u64) -> Moment {
        Moment {
            monotonic: Duration::from_secs(1000 + seconds),
            wall: Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        }
    }

    fn filled(count: u64) -> History {
        let history = History::new(8, BYTES_MAX);
        for seconds in 0..count {
            history.push(at(seconds), event("192.0.2.1:443"));
        }
        history
    }

    fn numbers(batch: &Batch) -> Vec<u64> {
        let number = |entry: &Arc<Entry>| match &**entry {
            Entry::Event(event) => event.number,
            Entry::Suppressed(suppressed) => suppressed.number,
            Entry::Missed(_) => 0,
        };
        batch.entries.iter().map(number).collect()
    }

    #[test]
    fn entries_are_numbered_and_read_in_pieces() {
        let history = filled(5);
        history.push_suppressed(at(9), "not-tls", 17);
        let batch = history.read(1, 4);
        assert_eq!(
            (numbers(&batch), batch.next, batch.missed),
            (vec![1, 2, 3, 4], 5, None)
        );
        let batch = history.read(batch.next, 4);
        assert_eq!((numbers(&batch), batch.next), (vec![5, 6], 7));
        assert!(history.read(7, 4).entries.is_empty());
        assert_eq!(*history.newest().borrow(), 6);
    }

    #[test]
    fn a_slow_reader_is_told_what_went_by() {
        let history = filled(20);
        let batch = history.read(3, 2);
        let missed = batch.missed.unwrap();
        assert_eq!((missed.count, missed.why), (10, WhyMissed::SlowReader));
        assert_eq!(numbers(&batch), [13, 14]);
        assert_eq!(
            history.kept(),
            Kept {
                entries: 8,
                forgotten: 12
            }
        );
    }

    #[test]
    fn the_past_begins_where_somebody_wants_it_to() {
        let history = filled(20);
        let begin = |since: &str| history.begin(Some(since.parse().unwrap()), at(20));
        assert_eq!(history.begin(None, at(20)), (13, None));
        assert_eq!(begin("3s"), (18, None));
        assert_eq!(begin("0s"), (21, None));
        assert_eq!(begin("#15"), (16, None));
        assert_eq!(begin("#99"), (21, None));
        assert_eq!(begin("2023-11-14T22:13:35Z"), (16, None));
        let forgotten = Missed {
            count: 12,
            why: WhyMissed::Forgotten,
        };
        assert_eq!(begin("1h"), (13, Some(forgotten)));
        assert_eq!(begin("2020-01-01T00:00:00Z"), (13, Some(forgotten)));
        // What never was is not missed.
        assert_eq!(filled(3).begin(Some("1h".parse().unwrap()), at(20)), (1, None));
        assert_eq!(
            History::default().begin(Some("1h".parse().unwrap()), at(20)),
            (1, None)
        );
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let history = History::new(ENTRIES_MAX, 64 << 10);
        for seconds in 0..1000 {
            let mut event = event("192.0.2.1:443");
            event.server_name = Some("x".repeat(4096));
            history.push(at(seconds), event);
        }
        let kept = history.kept();
        assert!((10..=16).contains(&kept.entries), "{kept:?}");
        assert_eq!(kept.entries + kept.forgotten, 1000);
        // One that is too large alone is not kept, and nothing else goes wrong.
        let mut huge = event("192.0.2.1:443");
        huge.server_name = Some("x".repeat(1 << 20));
        history.push(at(1000), huge);
        assert_eq!(history.kept().entries, 0);
        assert_eq!(history.read(1, 8).missed.unwrap().count, 1001);
    }

    #[test]
    fn the_time_of_day_is_reckoned_from_that_since_boot() {
        let moment = at(10).back_to(at(4).monotonic);
        assert_eq!(moment, at(4));
        assert_eq!(moment.text(), "2023-11-14T22:13:24.000Z");
        assert_eq!(at(10).back_to(at(11).monotonic).wall, at(10).wall);
    }
}
