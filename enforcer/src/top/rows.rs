//! What a pane lists: sorted, filtered, as texts.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;

use super::model::{DenialOrder, Model, NameOrder, Pane};
use super::seen::{Judged, Seen};
use super::tally::Grouping;
use super::text::{counted, shown};
use crate::control::history::Moment;
use crate::control::model::{Family, Freshness, Name, WhyMissed};

/// Marks rows that are no group; no text that is shown has a control character.
const NO_GROUP: &str = "\n";

/// A group of denials.
#[derive(Clone, Debug)]
pub(super) struct DenialRow {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) denied: u64,
    /// In the last minute; `None` where that is not known.
    pub(super) minute: Option<u64>,
    /// Seconds since the newest.
    pub(super) ago_s: Option<u64>,
    pub(super) latest: Option<Arc<Judged>>,
    /// What else is to be said.
    pub(super) note: String,
}

/// A name that is granted.
#[derive(Clone, Debug)]
pub(super) struct NameRow<'a> {
    pub(super) name: String,
    pub(super) known: &'a Name,
    /// Of the older of the answers that grant something, in seconds; and whether it may be older.
    pub(super) age_s: Option<(u64, bool)>,
    pub(super) expires_s: Option<u64>,
    pub(super) note: String,
}

/// An entry of the history.
#[derive(Clone, Debug)]
pub(super) struct EventRow<'a> {
    pub(super) id: String,
    pub(super) seen: &'a Seen,
}

impl Model {
    /// What the rows of `pane` are known by, in their order.
    pub(super) fn ids(&self, pane: Pane, now: Moment) -> Vec<String> {
        match pane {
            Pane::Denials => self.denials(now).into_iter().map(|row| row.id).collect(),
            Pane::Names => self.names(now).into_iter().map(|row| row.name).collect(),
            Pane::Events => self.events(now).into_iter().map(|row| row.id).collect(),
        }
    }

    pub(super) fn denials(&self, now: Moment) -> Vec<DenialRow> {
        let (data, at) = self.picture(now);
        let view = &self.view;
        let groups = data.tally.by(view.grouping);
        let mut rows: Vec<_> = groups
            .by_key
            .iter()
            .map(|(key, group)| DenialRow {
                id: key.clone(),
                key: key.clone(),
                denied: group.denied,
                minute: Some(group.last_minute(at.wall)),
                ago_s: Some(seconds_between(group.last, at.wall)),
                note: note(view.grouping, group.latest.as_deref()),
                latest: group.latest.clone(),
            })
            .filter(|row| view.wants(&[&row.key, &row.note]))
            .collect();
        rows.sort_by(|one, other| {
            let order = match view.denial_order {
                DenialOrder::Count => other.denied.cmp(&one.denied),
                DenialOrder::Minute => other.minute.cmp(&one.minute),
                DenialOrder::Last => one.ago_s.cmp(&other.ago_s),
                DenialOrder::Key => Ordering::Equal,
            };
            order.then_with(|| one.key.cmp(&other.key))
        });
        if view.is_reversed[Pane::Denials as usize] {
            rows.reverse();
        }
        if view.filter.is_empty() {
            rows.extend(rest("others", groups.others.denied, || {
                let counted = counted(groups.others.groups, "group");
                format!("{counted} with few denials, too many to list")
            }));
            rows.extend(rest("untold", groups.untold, || {
                "without an event of their own: more than the kernel tells of".to_owned()
            }));
        }
        rows
    }

    pub(super) fn names(&self, now: Moment) -> Vec<NameRow<'_>> {
        let (data, at) = self.picture(now);
        let Some((came, names)) = data
            .status
            .as_ref()
            .and_then(|(came, status)| Some((came, status.names.as_ref()?)))
        else {
            return Vec::new();
        };
        let since = at.monotonic.saturating_sub(came.monotonic).as_secs();
        let view = &self.view;
        let mut rows: Vec<_> = names
            .list
            .iter()
            .map(|known| NameRow {
                name: shown(&known.name),
                known,
                age_s: age(known).map(|(age, is_at_least)| (age.saturating_add(since), is_at_least)),
                expires_s: known.expires_s.map(|left| left.saturating_sub(since)),
                note: trouble(known),
            })
            .filter(|row| view.wants(&[&row.name, &row.note, state(row.known.state)]))
            .collect();
        // Where it makes no difference the order is that of the configuration.
        rows.sort_by(|one, other| match view.name_order {
            NameOrder::State => other.known.state.cmp(&one.known.state),
            NameOrder::Name => one.name.cmp(&other.name),
            NameOrder::Age => other.age_s.cmp(&one.age_s),
            NameOrder::Expiry => {
                let left = |row: &NameRow<'_>| row.expires_s.unwrap_or(u64::MAX);
                left(one).cmp(&left(other))
            }
            NameOrder::Addresses => other.known.addresses.cmp(&one.known.addresses),
        });
        if view.is_reversed[Pane::Names as usize] {
            rows.reverse();
        }
        rows
    }

    pub(super) fn events(&self, now: Moment) -> Vec<EventRow<'_>> {
        let (data, _) = self.picture(now);
        let view = &self.view;
        let rows = data.events.iter().map(|(number, seen)| EventRow {
            id: number.to_string(),
            seen,
        });
        let mut rows: Vec<_> = rows.filter(|row| view.wants(&texts(row.seen))).collect();
        if view.is_reversed[Pane::Events as usize] {
            rows.reverse();
        }
        rows
    }
}

/// Whole seconds from `then` to `now`; none when the clock was set back meanwhile.
fn seconds_between(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second().saturating_sub(then.as_second())).unwrap_or_default()
}

fn rest(what: &str, denied: u64, note: impl FnOnce() -> String) -> Option<DenialRow> {
    (denied > 0).then(|| DenialRow {
        id: format!("{NO_GROUP}{what}"),
        key: format!("({what})"),
        denied,
        minute: None,
        ago_s: None,
        latest: None,
        note: note(),
    })
}

/// The newest denial of a group, without what it is grouped by.
fn note(grouping: Grouping, latest: Option<&Judged>) -> String {
    let Some(latest) = latest else {
        return "without an event of their own: more than the kernel tells of".to_owned();
    };
    let (process, to, reason) = (latest.process_and_pid(), latest.to(), &latest.reason);
    match grouping {
        Grouping::Process => format!("{to}, {reason}"),
        Grouping::Name => format!("{process}, {reason}"),
        Grouping::Reason => format!("{process} to {to}"),
        Grouping::Unit | Grouping::Container => format!("{process} to {to}, {reason}"),
    }
}

/// How old the older of the two answers is that grant something.
fn age(name: &Name) -> Option<(u64, bool)> {
    let counts = |family: &&Family| matches!(family.state, Freshness::Fresh | Freshness::Stale);
    let families = [&name.a, &name.aaaa].into_iter().filter(counts);
    families
        .filter_map(|family| Some((family.age_s?, family.age_is_at_least)))
        .max()
}

/// What is wrong with a name.
fn trouble(name: &Name) -> String {
    let mut words: Vec<String> = Vec::new();
    match (&name.a.error, &name.aaaa.error) {
        (Some(a), Some(aaaa)) if a == aaaa => words.push(a.clone()),
        (a, aaaa) => {
            words.extend(a.as_ref().map(|error| format!("IPv4: {error}")));
            words.extend(aaaa.as_ref().map(|error| format!("IPv6: {error}")));
        }
    }
    if name.retired > 0 {
        words.push(format!("{} left the answers", name.retired));
    }
    if name.refused > 0 {
        words.push(format!("{} refused", name.refused));
    }
    shown(&words.join("; "))
}

/// The word for a freshness.
pub(super) fn state(state: Freshness) -> &'static str {
    match state {
        Freshness::Fresh | Freshness::Empty => "fresh",
        Freshness::Unasked => "unasked",
        Freshness::Stale => "STALE",
        Freshness::Failed => "FAILED",
    }
}

/// What a filter looks at.
fn texts(seen: &Seen) -> Vec<&str> {
    match seen {
        Seen::Judged(judged) => {
            let mut texts = vec![
                judged.process.as_str(),
                &judged.reason,
                &judged.unit,
                judged.verdict.as_str(),
            ];
            let more = [&judged.name, &judged.destination, &judged.container];
            texts.extend(more.into_iter().flatten().map(String::as_str));
            texts
        }
        Seen::Untold { reason, .. } => vec![reason],
        Seen::Missed { .. } => Vec::new(),
    }
}

/// What there is to say of entries that are no events.
pub(super) fn loss(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Judged(_) => None,
        Seen::Untold { reason, count, .. } => Some(format!(
            "{} without an event of their own: {reason}",
            counted(*count, "more denial")
        )),
        Seen::Missed { count, why, .. } => Some(match why {
            WhyMissed::SlowReader => format!("{count} events are missing: they were not read in time"),
            WhyMissed::Forgotten => format!("up to {count} older events are gone"),
        }),
    }
}
