//! What is known, and what the user looks at.

use std::collections::VecDeque;
use std::time::Duration;

use super::seen::Seen;
use super::tally::{Grouping, Tally};
use super::text::shown;
use crate::control::history::Moment;
use crate::control::model::{Entry, Status};

/// Most events that are listed.
pub(super) const EVENTS_MAX: usize = 1000;
/// Denials a second are those of this time.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Statuses come every few seconds.
const SAMPLES_MAX: usize = 16;
/// Most characters of a filter.
pub(super) const FILTER_MAX: usize = 60;

/// What comes from the daemon.
#[derive(Debug)]
pub enum News {
    /// How the instance is.
    Status(Box<Status>),
    /// An entry of the history.
    Entry(Entry),
    /// There is no status, and why.
    StatusLost(String),
    /// Events do not come any more, and why.
    EventsLost(String),
    /// Events come again.
    EventsBack,
}

/// All of it.
#[derive(Debug)]
pub struct Model {
    instance: String,
    data: Data,
    /// What was known when the picture was stopped.
    frozen: Option<(Moment, Data)>,
    lost_status: Option<Lost>,
    lost_events: Option<Lost>,
    pub(super) view: View,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    /// The newest status, and when it came.
    pub(super) status: Option<(Moment, Status)>,
    pub(super) tally: Tally,
    /// The newest first, each with its number here.
    pub(super) events: VecDeque<(u64, Seen)>,
    /// Entries so far.
    pub(super) entries: u64,
    /// Entries that did not come in time.
    pub(super) missed: u64,
    /// All denials at some moments of the last seconds.
    totals: VecDeque<(Duration, u64)>,
}

/// Somebody does not answer.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) since: Moment,
    pub(super) why: String,
}

/// What the user looks at.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) pane: Pane,
    /// Whether that pane has all the room.
    pub(super) is_zoomed: bool,
    pub(super) grouping: Grouping,
    pub(super) denial_order: DenialOrder,
    pub(super) name_order: NameOrder,
    /// Of each pane, whether its order is the other way round.
    pub(super) is_reversed: [bool; 3],
    places: [Place; 3],
    pub(super) filter: String,
    /// Whether keys write the filter.
    pub(super) is_typing: bool,
    pub(super) overlay: Option<Overlay>,
    /// Lines of it that were scrolled away.
    pub(super) overlay_offset: usize,
}

/// A part of the screen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Pane {
    #[default]
    Denials,
    Names,
    Events,
}

/// The order of groups of denials.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum DenialOrder {
    #[default]
    Count,
    Minute,
    Last,
    Key,
}

/// The order of names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum NameOrder {
    /// What somebody has to look after first.
    #[default]
    State,
    Name,
    Age,
    Expiry,
    Addresses,
}

/// What lies over the panes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Overlay {
    Help,
    Warnings,
    /// The selected row, in full.
    Details,
}

/// Where in a list the user is.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The row that was chosen; `None` for whatever is first.
    selected: Option<String>,
    /// Where it was, for when it goes away.
    index: usize,
}

impl Model {
    /// Nothing is known of `instance` yet.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Self {
            instance: shown(instance),
            data: Data::default(),
            frozen: None,
            lost_status: None,
            lost_events: None,
            view: View::default(),
        }
    }

    /// Takes in what came at `now`.
    pub fn hear(&mut self, now: Moment, news: News) {
        match news {
            News::Status(status) => {
                self.lost_status = None;
                self.data.hear_status(now, *status);
            }
            News::Entry(entry) => self.data.hear_entry(now, entry),
            News::StatusLost(why) => lose(&mut self.lost_status, now, &why),
            News::EventsLost(why) => lose(&mut self.lost_events, now, &why),
            News::EventsBack => self.lost_events = None,
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// What is shown, and of when: it stands still while it is paused, and while the daemon does not answer.
    pub(super) fn picture(&self, now: Moment) -> (&Data, Moment) {
        match (&self.frozen, &self.lost_status) {
            (Some((at, data)), _) => (data, *at),
            (None, Some(lost)) => (&self.data, lost.since),
            (None, None) => (&self.data, now),
        }
    }

    /// Since when the picture stands still, and how many entries have come since.
    pub(super) fn paused(&self) -> Option<(Moment, u64)> {
        let (at, data) = self.frozen.as_ref()?;
        Some((*at, self.data.entries.saturating_sub(data.entries)))
    }

    pub(super) fn pause(&mut self, now: Moment) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some((now, self.data.clone())),
        };
    }

    /// The daemon that does not answer.
    pub(super) fn lost_status(&self) -> Option<&Lost> {
        self.lost_status.as_ref()
    }

    /// Events that do not come, although the daemon answers.
    pub(super) fn lost_events(&self) -> Option<&Lost> {
        self.lost_events.as_ref().filter(|_| self.lost_status.is_none())
    }
}

/// What is lost stays lost since it was.
fn lose(lost: &mut Option<Lost>, now: Moment, why: &str) {
    let since = lost.as_ref().map_or(now, |lost| lost.since);
    *lost = Some(Lost {
        since,
        why: shown(why),
    });
}

impl Data {
    fn hear_status(&mut self, now: Moment, status: Status) {
        if let Some(denials) = &status.denials {
            if self
                .totals
                .back()
                .is_some_and(|(_, total)| *total > denials.total)
            {
                // The counters have begun anew.
                self.totals.clear();
            }
            self.totals.push_back((now.monotonic, denials.total));
            let is_old = |(at, _): &(Duration, u64)| now.monotonic.saturating_sub(*at) > RATE_OVER;
            while self.totals.len() > SAMPLES_MAX || self.totals.len() > 2 && is_old(&self.totals[0]) {
                self.totals.pop_front();
            }
        }
        self.status = Some((now, status));
    }

    fn hear_entry(&mut self, now: Moment, entry: Entry) {
        let seen = Seen::new(entry, now.wall);
        self.tally.add(&seen);
        if let Seen::Missed { count, .. } = &seen {
            self.missed = self.missed.saturating_add(*count);
        }
        self.entries += 1;
        self.events.push_front((self.entries, seen));
        self.events.truncate(EVENTS_MAX);
    }

    /// Denials a second, by the counters of the kernel; `None` before they were read twice.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((begin, first), (end, last)) = (self.totals.front()?, self.totals.back()?);
        let seconds = end.checked_sub(*begin)?.as_secs_f64();
        let denials = last.saturating_sub(*first) as f64;
        (seconds > 0.0).then(|| denials / seconds)
    }
}

impl View {
    pub(super) fn place(&self, pane: Pane) -> &Place {
        &self.places[pane as usize]
    }

    pub(super) fn place_mut(&mut self, pane: Pane) -> &mut Place {
        &mut self.places[pane as usize]
    }

    /// Whether `text` passes the filter.
    pub(super) fn wants(&self, texts: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }
}

impl Pane {
    pub(super) const ALL: [Self; 3] = [Self::Denials, Self::Names, Self::Events];
}

impl Place {
    /// The row of `ids` that is selected; `None` when there is no choice, or nothing to choose from.
    pub(super) fn row(&self, ids: &[String]) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        let found = ids.iter().position(|id| id == selected);
        let last = ids.len().checked_sub(1)?;
        Some(found.unwrap_or(self.index.min(last)))
    }

    /// Chooses a row of `ids`, the last one when `row` is beyond it.
    pub(super) fn choose(&mut self, ids: &[String], row: usize) {
        self.index = row.min(ids.len().saturating_sub(1));
        self.selected = ids.get(self.index).cloned();
    }

    /// Goes with whatever is first.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
