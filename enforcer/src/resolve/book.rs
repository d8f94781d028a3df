//! What is known about the names: the last good answer of each family, and the addresses that left it a moment ago.
//!
//! No failure takes an address away. An address goes when a good answer no longer has it **and** its grace period is
//! over, when the configuration stops asking for its name, or when `private_link` stops covering it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config;
use crate::names::ServerName;

use super::answer::{DnsName, Settled};
use super::{
    Family, FamilyState, KnownAddress, NameSnapshot, Question, RefusedAddress, Snapshot, Standing, special,
};

/// How many retired addresses one family of a name may hold, in answers of the largest size. Those whose grace period
/// ends first go first beyond that, so that a name that rotates fast and wide can not fill the tables.
const RETIRED_ANSWERS_MAX: usize = 16;

/// Grace periods that end within this of each other are swept together: a look at every address is not for free.
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
    dirty: bool,
    sweep_at: Option<Instant>,
}

/// One name.
#[derive(Debug)]
struct Entry {
    question: Question,
    v4: Side,
    v6: Side,
}

/// One family of a name.
#[derive(Debug, Default)]
struct Side {
    chain: Vec<DnsName>,
    held: BTreeMap<IpAddr, Held>,
    refused: Vec<RefusedAddress>,
    /// When the last good answer came.
    answered: Option<Instant>,
    state: FamilyState,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    expires: Instant,
    standing: Standing,
}

impl Book {
    /// A book in which nothing is known yet.
    #[must_use]
    pub fn new(questions: Vec<Question>, limits: Limits) -> Self {
        let mut book = Self {
            limits,
            entries: Vec::new(),
            index: HashMap::new(),
            dirty: true,
            sweep_at: None,
        };
        book.set_questions(questions, limits);
        book
    }

    /// The names, in the order of the questions.
    pub fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.entries.iter().map(|entry| &entry.question.name)
    }

    /// Replaces the questions and the limits. What is known of names that stay is kept, except addresses that
    /// `private_link` no longer covers. Returns the names of which something has to be asked at once: those whose
    /// `private_link` changed. (New names are for the caller to see.)
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
            });
            if entry.question.private_link != question.private_link {
                changed.push(question.name.clone());
                entry.v4.judge_again(&question.private_link);
                entry.v6.judge_again(&question.private_link);
                entry.question = question;
            }
            self.index.insert(entry.question.name.clone(), self.entries.len());
            self.entries.push(entry);
        }
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
        let Some(entry) = self.index.get(name).map(|index| &mut self.entries[*index]) else {
            return Next::Retry;
        };
        let side = match family {
            Family::V4 => &mut entry.v4,
            Family::V6 => &mut entry.v6,
        };
        let limits = self.limits;
        let private_link = &entry.question.private_link;
        match outcome.and_then(|settled| side.take_in(settled, family, private_link, limits, now)) {
            Ok(next) => {
                self.dirty = true;
                // A lower bound is enough: it may cost a sweep that finds nothing.
                let until = now + limits.grace;
                self.sweep_at = Some(self.sweep_at.map_or(until, |at| at.min(until)));
                next
            }
            Err(error) => {
                self.dirty |= side.fail(error);
                Next::Retry
            }
        }
    }

    /// Drops retired addresses whose grace period is over. Costs nothing before [`Self::sweep_at`].
    pub fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        let mut next: Option<Instant> = None;
        for side in self
            .entries
            .iter_mut()
            .flat_map(|entry| [&mut entry.v4, &mut entry.v6])
        {
            let before = side.held.len();
            side.held.retain(|_, held| match held.standing {
                Standing::Retired { until } if until <= now => false,
                Standing::Retired { until } => {
                    next = Some(next.map_or(until, |next| next.min(until)));
                    true
                }
                Standing::Current => true,
            });
            self.dirty |= side.held.len() != before;
        }
        self.sweep_at = next.map(|next| next.max(now + SWEEP_INTERVAL_MIN));
    }

    /// When [`Self::sweep`] has to be called next.
    #[must_use]
    pub fn sweep_at(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Whether a [`Self::snapshot`] would differ from the one before the last call of this.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Everything that is known.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            names: self.entries.iter().map(Entry::snapshot).collect(),
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
    fn snapshot(&self) -> NameSnapshot {
        let mut addresses: BTreeMap<IpAddr, Held> = BTreeMap::new();
        // An IPv4 address may come out of an AAAA record as well (IPv4-mapped): the better claim to it counts.
        for (address, held) in self.v4.held.iter().chain(&self.v6.held) {
            let entry = addresses.entry(*address).or_insert(*held);
            if held.outlives(entry) {
                *entry = *held;
            }
        }
        let chain = if self.v4.chain.is_empty() {
            &self.v6.chain
        } else {
            &self.v4.chain
        };
        NameSnapshot {
            name: self.question.name.clone(),
            chain: chain.clone(),
            addresses: addresses
                .into_iter()
                .map(|(address, held)| KnownAddress {
                    address,
                    expires: held.expires,
                    standing: held.standing,
                })
                .collect(),
            refused: self.v4.refused.iter().chain(&self.v6.refused).cloned().collect(),
            v4: self.v4.state.clone(),
            v6: self.v6.state.clone(),
        }
    }
}

impl Held {
    fn is_current(&self) -> bool {
        self.standing == Standing::Current
    }

    fn outlives(&self, other: &Self) -> bool {
        match (self.standing, other.standing) {
            (Standing::Current, Standing::Current) => self.expires > other.expires,
            (Standing::Current, Standing::Retired { .. }) => true,
            (Standing::Retired { .. }, Standing::Current) => false,
            (Standing::Retired { until: ours }, Standing::Retired { until: theirs }) => ours > theirs,
        }
    }
}

impl Side {
    /// Takes in an answer, or says in words why it is not good. Nothing changes then but the list of refused addresses.
    fn take_in(
        &mut self,
        settled: Settled,
        family: Family,
        private_link: &[ipnet::IpNet],
        limits: Limits,
        now: Instant,
    ) -> Result<Next, String> {
        match settled {
            Settled::Addresses {
                chain,
                addresses,
                ttl,
            } => {
                let (accepted, refused) = judge_all(&addresses, private_link, limits.addresses_max);
                if accepted.len() > limits.addresses_max {
                    return Err(format!(
                        "the answer has {} addresses, {} are the most (addresses_max)",
                        accepted.len(),
                        limits.addresses_max
                    ));
                }
                self.refused = refused;
                if accepted.is_empty() {
                    return Err(all_refused(&self.refused));
                }
                self.install(chain, &accepted, ttl, limits, now);
                Ok(Next::After { ttl })
            }
            Settled::Nothing { chain, missing, ttl } => {
                let what = if missing {
                    "the name does not exist (NXDOMAIN)".to_owned()
                } else {
                    format!("the name has no {} records (NODATA)", family.record_type())
                };
                if self.held.values().any(Held::is_current) {
                    return Err(what);
                }
                self.refused.clear();
                if missing {
                    self.fail(what);
                } else {
                    self.chain = chain;
                    self.answered = Some(now);
                    self.state = FamilyState::Empty;
                }
                Ok(Next::AfterNothing { ttl })
            }
        }
    }

    fn install(
        &mut self,
        chain: Vec<DnsName>,
        addresses: &[IpAddr],
        ttl: Duration,
        limits: Limits,
        now: Instant,
    ) {
        let until = now + limits.grace;
        for held in self.held.values_mut().filter(|held| held.is_current()) {
            held.standing = Standing::Retired { until };
        }
        let current = Held {
            expires: now + ttl.clamp(limits.ttl_min, limits.ttl_max),
            standing: Standing::Current,
        };
        self.held
            .extend(addresses.iter().map(|address| (*address, current)));
        self.forget_retired_beyond(limits.addresses_max.saturating_mul(RETIRED_ANSWERS_MAX));
        if limits.grace.is_zero() {
            self.held.retain(|_, held| held.is_current());
        }
        self.chain = chain;
        self.answered = Some(now);
        self.state = FamilyState::Fresh;
    }

    fn forget_retired_beyond(&mut self, max: usize) {
        let mut retired: Vec<(Instant, IpAddr)> = self
            .held
            .iter()
            .filter_map(|(address, held)| match held.standing {
                Standing::Retired { until } => Some((until, *address)),
                Standing::Current => None,
            })
            .collect();
        let surplus = retired.len().saturating_sub(max);
        if surplus > 0 {
            retired.sort_unstable();
            for (_, address) in &retired[..surplus] {
                self.held.remove(address);
            }
        }
    }

    /// Notes a failure; whether anything changed by it.
    fn fail(&mut self, error: String) -> bool {
        let state = match self.answered {
            Some(answered) => FamilyState::Stale { answered, error },
            None => FamilyState::Failed { error },
        };
        let changed = self.state != state;
        self.state = state;
        changed
    }

    /// Takes away what a changed `private_link` no longer covers.
    fn judge_again(&mut self, private_link: &[ipnet::IpNet]) {
        let before = self.held.len();
        self.held
            .retain(|address, _| match special::judge(*address, private_link) {
                Ok(_) => true,
                Err(why) => {
                    self.refused.push(RefusedAddress {
                        address: *address,
                        why,
                    });
                    false
                }
            });
        if self.held.len() != before && !self.held.values().any(Held::is_current) {
            self.answered = None;
            self.state = FamilyState::Unasked;
        }
    }
}

/// Questions for one name are one question that accepts what any of them accepts.
fn merged(questions: Vec<Question>) -> Vec<Question> {
    let mut places: HashMap<ServerName, usize> = HashMap::new();
    let mut merged: Vec<Question> = Vec::with_capacity(questions.len());
    for question in questions {
        if let Some(place) = places.get(&question.name) {
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

/// The addresses to grant, each once, and at most `refused_max` of those that are refused.
fn judge_all(
    addresses: &[IpAddr],
    private_link: &[ipnet::IpNet],
    refused_max: usize,
) -> (Vec<IpAddr>, Vec<RefusedAddress>) {
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for address in addresses {
        match special::judge(*address, private_link) {
            Ok(address) => accepted.push(address),
            Err(why) if refused.len() < refused_max => refused.push(RefusedAddress {
                address: *address,
                why,
            }),
            Err(_) => {}
        }
    }
    accepted.sort_unstable();
    accepted.dedup();
    (accepted, refused)
}

fn all_refused(refused: &[RefusedAddress]) -> String {
    let list: Vec<String> = refused
        .iter()
        .take(3)
        .map(|refused| format!("{} is {}", refused.address, refused.why))
        .collect();
    let more = if refused.len() > list.len() { ", ..." } else { "" };
    format!(
        "the answer has special-purpose addresses only: {}{more}",
        list.join(", ")
    )
}

#[cfg(test)]
mod tests;
