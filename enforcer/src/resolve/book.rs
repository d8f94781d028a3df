//! What is known about the names: the last good answer of each family, and the addresses that left it a moment ago.
//!
//! No failure takes an address away. An address goes when a good answer no longer has it **and** its grace period is
//! over, when the configuration stops asking for its name, or when `private_link` or `sanity_tag` stop covering it.

mod side;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config;
use crate::names::ServerName;

use super::answer::Settled;
use super::saved::{SavedAnswers, SavedName};
use super::{Family, FamilyState, NameList, NameSnapshot, Question, Snapshot};

use side::Side;

/// Grace periods that end within this of each other are swept together: each sweep is a new snapshot.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The limits that the book keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// A shorter TTL is taken as this.
    pub ttl_min: Duration,
    /// A longer TTL is taken as this.
    pub ttl_max: Duration,
    /// How long an address is kept after it left the answers.
    pub grace: Duration,
    /// Most addresses of one answer.
    pub addresses_max: usize,
}

impl Limits {
    /// Most retired addresses of one family of a name.
    fn retired_max(&self) -> usize {
        self.addresses_max.saturating_mul(side::RETIRED_ANSWERS_MAX)
    }
}

impl From<&config::Resolver> for Limits {
    fn from(resolver: &config::Resolver) -> Self {
        Self {
            ttl_min: resolver.ttl_min,
            ttl_max: resolver.ttl_max.max(resolver.ttl_min),
            grace: resolver.grace,
            addresses_max: resolver.addresses_max,
        }
    }
}

/// What the schedule has to know about an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// It was good, and holds this long (not clamped).
    After {
        /// The TTL of what was answered.
        ttl: Duration,
    },
    /// It said, plausibly, that there is nothing.
    AfterNothing {
        /// The negative TTL, where there was one.
        ttl: Option<Duration>,
    },
    /// It was of no use: ask again soon, with back-off.
    Retry,
}

/// The names, their addresses, and how they came to be known.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    entries: Vec<Entry>,
    index: HashMap<ServerName, usize>,
    /// What is told of the entries, in their order.
    told: NameList,
    dirty: bool,
    urgent: bool,
    /// When a grace period of an entry ends. Those that are not the entry's own `sweep_at` are out of date.
    sweeps: BinaryHeap<Reverse<(Instant, usize)>>,
    swept: Option<Instant>,
}

/// One name.
#[derive(Debug)]
struct Entry {
    question: Question,
    v4: Side,
    v6: Side,
    /// When the next of its grace periods ends.
    sweep_at: Option<Instant>,
}

impl Book {
    /// A book in which nothing is known yet.
    #[must_use]
    pub fn new(questions: Vec<Question>, limits: Limits) -> Self {
        let mut book = Self {
            limits,
            entries: Vec::new(),
            index: HashMap::new(),
            told: NameList::default(),
            dirty: true,
            urgent: true,
            sweeps: BinaryHeap::new(),
            swept: None,
        };
        book.set_questions(questions, limits);
        book
    }

    /// The names, in the order of the questions.
    pub fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.entries.iter().map(|entry| &entry.question.name)
    }

    /// The names of which the last question failed, or that were not asked for yet.
    pub fn failing(&self) -> impl Iterator<Item = &ServerName> {
        let is_good = |state: &FamilyState| matches!(state, FamilyState::Fresh | FamilyState::Empty);
        self.entries
            .iter()
            .filter(move |entry| !is_good(&entry.v4.state) || !is_good(&entry.v6.state))
            .map(|entry| &entry.question.name)
    }

    /// Replaces the questions and the limits. What is known of names that stay is kept, except addresses that
    /// their questions no longer accept. Returns the names of which something has to be asked at once: those whose
    /// questions changed. (New names are for the caller to see.)
    pub fn set_questions(&mut self, questions: Vec<Question>, limits: Limits) -> Vec<ServerName> {
        let mut old: HashMap<ServerName, Entry> = std::mem::take(&mut self.entries)
            .into_iter()
            .map(|entry| (entry.question.name.clone(), entry))
            .collect();
        let mut changed = Vec::new();
        self.limits = limits;
        self.index.clear();
        self.dirty = true;
        for question in merged(questions) {
            let mut entry = old.remove(&question.name).unwrap_or_else(|| Entry {
                question: question.clone(),
                v4: Side::default(),
                v6: Side::default(),
                sweep_at: None,
            });
            if entry.question != question {
                changed.push(question.name.clone());
                entry.v4.judge_again(&question);
                entry.v6.judge_again(&question);
                entry.question = question;
            }
            self.index.insert(entry.question.name.clone(), self.entries.len());
            self.entries.push(entry);
        }
        self.told = self.entries.iter().map(Entry::snapshot).collect();
        self.urgent = true;
        self.plan_sweeps();
        changed
    }

    /// Takes in how a question ended. One about a name that is no longer asked for is ignored.
    pub fn settle(
        &mut self,
        name: &ServerName,
        family: Family,
        outcome: Result<Settled, String>,
        now: Instant,
    ) -> Next {
        let Some(place) = self.index.get(name).copied() else {
            return Next::Retry;
        };
        let entry = &mut self.entries[place];
        let side = match family {
            Family::V4 => &mut entry.v4,
            Family::V6 => &mut entry.v6,
        };
        let limits = self.limits;
        let question = &entry.question;
        let (next, is_news) =
            match outcome.and_then(|settled| side.take_in(settled, family, question, limits, now)) {
                Ok(next) => (next, true),
                Err(error) => (Next::Retry, side.fail(error)),
            };
        if is_news {
            self.tell(place);
            self.plan_sweep(place);
        }
        next
    }

    /// Takes what is known of an entry into the next snapshot.
    fn tell(&mut self, place: usize) {
        let known = self.entries[place].snapshot();
        let old = &self.told[place];
        self.urgent |= !known.holds_as(old) || known.v4 != old.v4 || known.v6 != old.v6;
        self.told.set(place, Arc::new(known));
        self.dirty = true;
    }

    fn plan_sweep(&mut self, place: usize) {
        let entry = &mut self.entries[place];
        // One that is too early costs a look at one name, once.
        if let Some(next) = entry.next_sweep()
            && entry.sweep_at.is_none_or(|planned| next < planned)
        {
            entry.sweep_at = Some(next);
            self.sweeps.push(Reverse((next, place)));
        }
    }

    fn plan_sweeps(&mut self) {
        self.sweeps.clear();
        for place in 0..self.entries.len() {
            self.entries[place].sweep_at = None;
            self.plan_sweep(place);
        }
    }

    /// Takes back what an earlier process knew of the names that are asked for and not known yet.
    ///
    /// Every address is judged again, and the limits of now apply: of more than `addresses_max` the lowest stay, which is
    /// better than none until the name answers. Families of which something is held become [`FamilyState::Restored`],
    /// with the age that they had.
    pub fn restore(&mut self, saved: &SavedAnswers, now: Instant) {
        for SavedName { name, v4, v6 } in &saved.names {
            let Some(entry) = self.index.get(name).map(|index| &mut self.entries[*index]) else {
                continue;
            };
            let question = &entry.question;
            entry.v4.restore(v4, Family::V4, question, self.limits, now);
            entry.v6.restore(v6, Family::V6, question, self.limits, now);
        }
        self.told = self.entries.iter().map(Entry::snapshot).collect();
        self.dirty = true;
        self.urgent = true;
        self.plan_sweeps();
    }

    /// Drops retired addresses whose grace period is over. Costs nothing before [`Self::sweep_at`], and then only the names
    /// that have any.
    pub fn sweep(&mut self, now: Instant) {
        if self.sweep_at().is_none_or(|at| at > now) {
            return;
        }
        self.swept = Some(now);
        while let Some(Reverse((at, place))) = self.sweeps.peek().copied() {
            if at > now {
                return;
            }
            self.sweeps.pop();
            let entry = &mut self.entries[place];
            if entry.sweep_at != Some(at) {
                continue;
            }
            entry.sweep_at = None;
            let is_news = [entry.v4.sweep(now), entry.v6.sweep(now)];
            if is_news.contains(&true) {
                self.tell(place);
            }
            self.plan_sweep(place);
        }
    }

    /// When [`Self::sweep`] has to be called next.
    #[must_use]
    pub fn sweep_at(&self) -> Option<Instant> {
        let Reverse((at, _)) = self.sweeps.peek()?;
        Some(
            self.swept
                .map_or(*at, |swept| (*at).max(swept + SWEEP_INTERVAL_MIN)),
        )
    }

    /// Whether a [`Self::snapshot`] would differ from the one before the last call of this.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Whether more than times and refused addresses is different since the last call of this.
    pub fn take_urgent(&mut self) -> bool {
        std::mem::take(&mut self.urgent)
    }

    /// Everything that is known. What has not changed is shared with the snapshots before.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            names: self.told.clone(),
        }
    }

    /// How the last question for one family of `name` ended.
    #[must_use]
    pub fn state(&self, name: &ServerName, family: Family) -> Option<&FamilyState> {
        let entry = &self.entries[*self.index.get(name)?];
        Some(match family {
            Family::V4 => &entry.v4.state,
            Family::V6 => &entry.v6.state,
        })
    }
}

impl Entry {
    fn next_sweep(&self) -> Option<Instant> {
        [self.v4.sweep_at(), self.v6.sweep_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn snapshot(&self) -> NameSnapshot {
        let chain = if self.v4.chain.is_empty() {
            &self.v6.chain
        } else {
            &self.v4.chain
        };
        NameSnapshot {
            name: self.question.name.clone(),
            chain: chain.clone(),
            addresses: side::merged(&self.v4.held, &self.v6.held),
            refused: self.v4.refused.iter().chain(&self.v6.refused).cloned().collect(),
            v4: self.v4.state.clone(),
            v6: self.v6.state.clone(),
            good_v4: self.v4.last_good(),
            good_v6: self.v6.last_good(),
        }
    }
}

/// Questions for one name are one question that accepts what any of them accepts.
fn merged(questions: Vec<Question>) -> Vec<Question> {
    let mut places: HashMap<ServerName, usize> = HashMap::new();
    let mut merged: Vec<Question> = Vec::with_capacity(questions.len());
    for question in questions {
        if let Some(place) = places.get(&question.name) {
            merged[*place].sanity.or(&question.sanity);
            let nets = &mut merged[*place].private_link;
            nets.extend(question.private_link);
            nets.sort_unstable();
            nets.dedup();
        } else {
            places.insert(question.name.clone(), merged.len());
            merged.push(question);
        }
    }
    merged
}

#[cfg(test)]
mod tests;
