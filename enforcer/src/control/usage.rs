//! What granted connections were for: a few words for each name, which outlive the history and the daemon.
//!
//! The history forgets; what it takes to say "this was not used since" must not. So of each name that connections were
//! granted for, and of each rule where there is no name, the first and the last time are kept. Bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::VERSION;
use super::model::{UsageReport, Used};

/// Most names and rules that are kept.
pub const USED_MAX: usize = 1024;

/// What is used. Shared by the run loop and those who ask.
#[derive(Debug)]
pub struct Usage(Mutex<Book>);

#[derive(Debug)]
struct Book {
    since: String,
    suppressed: u64,
    beyond: u64,
    used: BTreeMap<Key, Used>,
    /// The kernel's count of granted connections without an event, as far as it is in `suppressed`.
    counted: u64,
    change: Change,
}

/// What has changed since it was saved last.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Change {
    /// Nothing.
    #[default]
    None,
    /// Times and counts.
    Known,
    /// Something was used that was not known.
    New,
}

/// A name; without one the place of the rule.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Key {
    Name(String),
    Rule(Option<String>),
}

/// What is saved.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Saved {
    /// What is known.
    #[serde(flatten)]
    pub report: UsageReport,
    /// The kernel's count of granted connections without an event, as far as it is in the report.
    pub counted: u64,
}

/// One granted connection.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The name that it was for, and whether the session asked for it.
    pub name: Option<(&'a str, bool)>,
    /// The file and line of the rule that granted it.
    pub rule_at: Option<&'a str>,
    /// When, RFC 3339.
    pub time: &'a str,
    /// By whom.
    pub by: &'a str,
}

impl Default for Usage {
    fn default() -> Self {
        Self::new(String::new(), 0)
    }
}

impl Usage {
    /// Begins at `now`, when the kernel has counted so many granted connections without an event.
    #[must_use]
    pub fn new(now: String, counted: u64) -> Self {
        Self(Mutex::new(Book {
            since: now,
            suppressed: 0,
            beyond: 0,
            used: BTreeMap::new(),
            counted,
            change: Change::New,
        }))
    }

    /// Begins anew at `now`.
    pub fn begin(&self, now: String, counted: u64) {
        let new = Self::new(now, counted);
        *self.book() = new.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// Goes on with what was saved.
    pub fn go_on(&self, saved: Saved) {
        let mut book = self.book();
        book.since = saved.report.since;
        book.suppressed = saved.report.suppressed;
        book.beyond = saved.report.beyond;
        book.counted = saved.counted;
        let used = saved.report.used.into_iter().take(USED_MAX);
        book.used = used.map(|used| (Key::of(&used), used)).collect();
        book.change = Change::None;
    }

    /// Takes in a granted connection.
    pub fn note(&self, of: Use<'_>) {
        let mut book = self.book();
        let key = match of.name {
            Some((name, _)) => Key::Name(name.to_owned()),
            None => Key::Rule(of.rule_at.map(str::to_owned)),
        };
        let is_full = book.used.len() >= USED_MAX;
        let Some(used) = book.used.get_mut(&key) else {
            if is_full {
                book.beyond += 1;
                book.change = book.change.max(Change::Known);
                return;
            }
            book.used.insert(
                key,
                Used {
                    name: of.name.map(|(name, _)| name.to_owned()),
                    is_asked_for: of.name.is_some_and(|(_, is_asked_for)| is_asked_for),
                    rule_at: of.rule_at.map(str::to_owned),
                    first: of.time.to_owned(),
                    last: of.time.to_owned(),
                    count: 1,
                    last_by: of.by.to_owned(),
                },
            );
            book.change = Change::New;
            return;
        };
        used.count = used.count.saturating_add(1);
        used.is_asked_for |= of.name.is_some_and(|(_, is_asked_for)| is_asked_for);
        of.time.clone_into(&mut used.last);
        of.by.clone_into(&mut used.last_by);
        used.rule_at = of.rule_at.map(str::to_owned);
        book.change = book.change.max(Change::Known);
    }

    /// Takes in what the kernel has counted of granted connections without an event, since its maps were made: those of
    /// while no daemon ran as well. A count that is lower is that of new maps.
    pub fn note_suppressed(&self, counted: u64) {
        let mut book = self.book();
        let more = counted.checked_sub(book.counted).unwrap_or(counted);
        if counted != book.counted {
            book.counted = counted;
            book.change = book.change.max(Change::Known);
        }
        book.suppressed = book.suppressed.saturating_add(more);
    }

    /// What is known.
    #[must_use]
    pub fn report(&self) -> UsageReport {
        self.book().report()
    }

    /// What is to be saved, where at least `change` has changed.
    #[must_use]
    pub fn to_save(&self, change: Change) -> Option<Saved> {
        let mut book = self.book();
        if book.change == Change::None || book.change < change {
            return None;
        }
        book.change = Change::None;
        Some(Saved {
            report: book.report(),
            counted: book.counted,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it is held, and what is in it is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn report(&self) -> UsageReport {
        UsageReport {
            version: VERSION,
            since: self.since.clone(),
            suppressed: self.suppressed,
            beyond: self.beyond,
            used: self.used.values().cloned().collect(),
        }
    }
}

impl Key {
    fn of(used: &Used) -> Self {
        match &used.name {
            Some(name) => Self::Name(name.clone()),
            None => Self::Rule(used.rule_at.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn use_of<'a>(name: Option<(&'a str, bool)>, time: &'a str) -> Use<'a> {
        Use {
            name,
            rule_at: Some("enforcer.toml:3"),
            time,
            by: "skopeo",
        }
    }

    #[test]
    fn what_is_used_is_kept_by_name_and_by_rule() {
        let usage = Usage::new("t0".into(), 5);
        usage.note(use_of(Some(("a.example.com", false)), "t1"));
        usage.note(use_of(Some(("a.example.com", true)), "t2"));
        usage.note(use_of(None, "t3"));
        usage.note_suppressed(5);
        let report = usage.report();
        assert_eq!(
            (report.since.as_str(), report.suppressed, report.beyond),
            ("t0", 0, 0)
        );
        let [named, unnamed] = report.used.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!(
            (named.first.as_str(), named.last.as_str(), named.count),
            ("t1", "t2", 2)
        );
        assert!(named.is_asked_for);
        assert_eq!(
            (&unnamed.name, unnamed.rule_at.as_deref()),
            (&None, Some("enforcer.toml:3"))
        );
    }

    #[test]
    fn it_goes_on_over_a_restart_and_counts_what_nobody_told_meanwhile() {
        let usage = Usage::new("t0".into(), 5);
        usage.note(use_of(Some(("a.example.com", true)), "t1"));
        usage.note_suppressed(7);
        let saved = serde_json::to_string(&usage.to_save(Change::None).unwrap()).unwrap();
        assert!(usage.to_save(Change::None).is_none(), "nothing has changed since");

        let next = Usage::new("t9".into(), 12);
        next.go_on(serde_json::from_str(&saved).unwrap());
        next.note_suppressed(12);
        let report = next.report();
        assert_eq!((report.since.as_str(), report.suppressed), ("t0", 2 + 5));
        assert_eq!(report.used, usage.report().used);
        // New maps count from the beginning.
        next.note_suppressed(3);
        assert_eq!(next.report().suppressed, 7 + 3);
    }

    #[test]
    fn it_is_bounded() {
        let usage = Usage::new("t0".into(), 0);
        for number in 0..USED_MAX + 10 {
            usage.note(use_of(Some((&format!("n{number}.example.com"), true)), "t1"));
        }
        usage.note(use_of(Some(("n0.example.com", true)), "t2"));
        let report = usage.report();
        assert_eq!((report.used.len(), report.beyond), (USED_MAX, 10));
        assert!(report.used.iter().any(|used| used.count == 2));
    }

    #[test]
    fn what_is_new_is_saved_sooner() {
        let usage = Usage::new("t0".into(), 0);
        assert!(usage.to_save(Change::New).is_some());
        usage.note(use_of(None, "t1"));
        assert!(usage.to_save(Change::New).is_some());
        usage.note(use_of(None, "t2"));
        assert!(usage.to_save(Change::New).is_none());
        assert!(usage.to_save(Change::Known).is_some());
    }
}
