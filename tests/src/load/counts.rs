//! What the load counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many words about what went wrong are kept.
const WORDS_MAX: usize = 8;

/// What was sent and what came of it, as the load sees it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Counts {
    /// What nothing grants, by kind.
    pub denied: BTreeMap<String, Denied>,
    /// What is granted, by kind: exchanges of long-lived flows, whole short sessions, single segments.
    pub granted: BTreeMap<String, u64>,
    /// What is granted and went wrong, by the same kinds: flows that ended or stood still, sessions that did not come
    /// about, segments that were refused.
    pub wrongly_dropped: BTreeMap<String, u64>,
    /// The first few of these, in words.
    pub words: Vec<String>,
    /// The longest that an exchange of a long-lived flow took, in milliseconds.
    pub slowest_ms: u64,
}

/// Attempts at something that nothing grants.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Denied {
    /// All of them.
    pub sent: u64,
    /// Those that failed with an error, as they should.
    pub refused: u64,
    /// Those that the load took for successful; of the others it heard nothing. What has arrived the server says.
    pub passed: u64,
}

impl Counts {
    pub(super) fn sent(&mut self, kind: &str) -> &mut Denied {
        let denied = self.denied.entry(kind.to_owned()).or_default();
        denied.sent += 1;
        denied
    }

    pub(super) fn went(&mut self, kind: &str) {
        *self.granted.entry(kind.to_owned()).or_default() += 1;
    }

    pub(super) fn wrong(&mut self, kind: &str, words: &str) {
        *self.wrongly_dropped.entry(kind.to_owned()).or_default() += 1;
        if self.words.len() < WORDS_MAX {
            self.words.push(format!("{kind}: {words}"));
        }
    }

    /// All attempts at what nothing grants.
    #[must_use]
    pub fn all_sent(&self) -> u64 {
        self.denied.values().map(|denied| denied.sent).sum()
    }

    /// All that was granted and went as it should.
    #[must_use]
    pub fn all_granted(&self) -> u64 {
        self.granted.values().sum()
    }

    /// All that was granted and went wrong.
    #[must_use]
    pub fn all_wrongly_dropped(&self) -> u64 {
        self.wrongly_dropped.values().sum()
    }

    /// A part that has not moved since `before`: it did nothing, and nothing went wrong either.
    pub(super) fn stuck_since(&self, before: &Self) -> Option<&'static str> {
        if self.all_wrongly_dropped() > before.all_wrongly_dropped() {
            return None;
        }
        let sent = |counts: &Self, kind: &str| counts.denied.get(kind).map(|denied| denied.sent);
        let went = |counts: &Self, kind: &str| counts.granted.get(kind).copied();
        let denied = super::denied::KINDS
            .into_iter()
            .find(|kind| sent(self, kind) <= sent(before, kind));
        let granted = super::program::GRANTED_KINDS
            .into_iter()
            .find(|kind| went(self, kind) <= went(before, kind));
        denied.or(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_stands_still_is_named() {
        let mut counts = Counts::default();
        for kind in super::super::denied::KINDS {
            counts.sent(kind);
        }
        for kind in super::super::program::GRANTED_KINDS {
            counts.went(kind);
        }
        assert_eq!(counts.stuck_since(&Counts::default()), None);
        let before = counts.clone();
        assert!(counts.stuck_since(&before).is_some());
        counts.wrong("session 4", "refused");
        assert_eq!(counts.stuck_since(&before), None, "it moved, if badly");
    }
}
