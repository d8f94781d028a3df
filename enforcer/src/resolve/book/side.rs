//! One family of a name: its last good answer, and what left it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::answer::{DnsName, Settled};
use super::super::saved::{SavedAddress, SavedFamily};
use super::super::{
    Age, Family, FamilyState, KnownAddress, LastAnswer, LastGood, Question, RefusedAddress, Standing,
};
use super::{Limits, Next};

/// How many retired addresses one family of a name may hold, in answers of the largest size. Those whose grace period
/// ends first go first beyond that, so that a name that rotates fast and wide can not fill the tables.
pub(super) const RETIRED_ANSWERS_MAX: usize = 16;

/// One family of a name.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) chain: Vec<DnsName>,
    /// Ascending, each address once. Never changed in place: snapshots share it.
    pub(super) held: Arc<[KnownAddress]>,
    pub(super) refused: Vec<RefusedAddress>,
    /// When the last good answer came.
    answered: Option<LastAnswer>,
    pub(super) state: FamilyState,
}

/// `None` when its grace period is over. Whatever was saved, nothing is held for longer than these limits say.
fn restored(saved: &SavedAddress, limits: Limits, now: Instant) -> Option<KnownAddress> {
    let standing = match saved.grace_left_ms.map(Duration::from_millis) {
        None => Standing::Current,
        Some(left) => {
            let left = left.min(limits.grace);
            if left.is_zero() {
                return None;
            }
            Standing::Retired { until: now + left }
        }
    };
    Some(KnownAddress {
        address: saved.address,
        expires: now + Duration::from_millis(saved.ttl_left_ms).min(limits.ttl_max),
        standing,
    })
}

/// Both lists as one. An IPv4 address may come out of an AAAA record as well (IPv4-mapped): the better claim to it counts.
pub(super) fn merged(one: &Arc<[KnownAddress]>, other: &Arc<[KnownAddress]>) -> Arc<[KnownAddress]> {
    if other.is_empty() {
        return Arc::clone(one);
    }
    if one.is_empty() {
        return Arc::clone(other);
    }
    let mut all: Vec<KnownAddress> = one.iter().chain(other.iter()).copied().collect();
    best_of_each(&mut all);
    all.into()
}

/// Sorts, and leaves the better claim to each address.
fn best_of_each(all: &mut Vec<KnownAddress>) {
    all.sort_by_key(|known| known.address);
    all.dedup_by(|next, kept| {
        let is_same = next.address == kept.address;
        if is_same && outlives(next, kept) {
            *kept = *next;
        }
        is_same
    });
}

fn outlives(one: &KnownAddress, other: &KnownAddress) -> bool {
    match (one.standing, other.standing) {
        (Standing::Current, Standing::Current) => one.expires > other.expires,
        (Standing::Current, Standing::Retired { .. }) => true,
        (Standing::Retired { .. }, Standing::Current) => false,
        (Standing::Retired { until: ours }, Standing::Retired { until: theirs }) => ours > theirs,
    }
}

impl Side {
    /// Takes in an answer, or says in words why it is not good. Nothing changes then but the list of refused addresses.
    pub(super) fn take_in(
        &mut self,
        settled: Settled,
        family: Family,
        question: &Question,
        limits: Limits,
        now: Instant,
    ) -> Result<Next, String> {
        match settled {
            Settled::Addresses {
                chain,
                addresses,
                ttl,
            } => {
                let (accepted, refused) = judge_all(&addresses, question, limits.addresses_max);
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
                if self.has_current() {
                    return Err(what);
                }
                self.refused.clear();
                if missing {
                    self.fail(what);
                } else {
                    self.chain = chain;
                    self.answered = Some(now.into());
                    self.state = FamilyState::Empty;
                }
                Ok(Next::AfterNothing { ttl })
            }
        }
    }

    /// Drops retired addresses whose grace period is over; whether there were any.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let is_over =
            |known: &KnownAddress| matches!(known.standing, Standing::Retired { until } if until <= now);
        if !self.held.iter().any(is_over) {
            return false;
        }
        self.held = self
            .held
            .iter()
            .filter(|known| !is_over(known))
            .copied()
            .collect();
        true
    }

    /// When the next grace period is over.
    pub(super) fn sweep_at(&self) -> Option<Instant> {
        let until = |known: &KnownAddress| match known.standing {
            Standing::Retired { until } => Some(until),
            Standing::Current => None,
        };
        self.held.iter().filter_map(until).min()
    }

    fn has_current(&self) -> bool {
        self.held.iter().any(KnownAddress::is_current)
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
        let current = |address: IpAddr| KnownAddress {
            address,
            expires: now + ttl.clamp(limits.ttl_min, limits.ttl_max),
            standing: Standing::Current,
        };
        let mut held = Vec::with_capacity(self.held.len() + addresses.len());
        let mut new = addresses.iter().copied().peekable();
        for old in self.held.iter() {
            while let Some(address) = new.next_if(|address| *address < old.address) {
                held.push(current(address));
            }
            if new.next_if_eq(&old.address).is_some() {
                held.push(current(old.address));
            } else if !limits.grace.is_zero() {
                let standing = match old.standing {
                    Standing::Current => Standing::Retired { until },
                    retired @ Standing::Retired { .. } => retired,
                };
                held.push(KnownAddress { standing, ..*old });
            }
        }
        held.extend(new.map(current));
        forget_retired_beyond(&mut held, limits.retired_max());
        self.held = held.into();
        self.chain = chain;
        self.answered = Some(now.into());
        self.state = FamilyState::Fresh;
    }

    /// Takes back what was saved, unless something is known already.
    pub(super) fn restore(
        &mut self,
        saved: &SavedFamily,
        family: Family,
        question: &Question,
        limits: Limits,
        now: Instant,
    ) {
        if self.state != FamilyState::Unasked || !self.held.is_empty() {
            return;
        }
        let (mut had_current, mut has_current) = (false, false);
        let mut held = Vec::with_capacity(saved.addresses.len());
        for saved in &saved.addresses {
            let Some(known) = restored(saved, limits, now) else {
                continue;
            };
            had_current |= known.is_current();
            match question.judge(saved.address) {
                // An IPv4 address may come out of an AAAA record, never the other way round.
                Ok(address) if family == Family::V6 || address.is_ipv4() => {
                    has_current |= known.is_current();
                    held.push(KnownAddress { address, ..known });
                }
                Err(why) if self.refused.len() < limits.addresses_max => self.refused.push(RefusedAddress {
                    address: saved.address,
                    why,
                }),
                Ok(_) | Err(_) => {}
            }
        }
        best_of_each(&mut held);
        forget_current_beyond(&mut held, limits.addresses_max);
        forget_retired_beyond(&mut held, limits.retired_max());
        self.held = held.into();
        if had_current && !has_current {
            return;
        }
        self.chain.clone_from(&saved.chain);
        // Addresses without an age were saved by nobody here; they are not fresh in any case.
        let unknown = has_current.then_some(Age::at_least(Duration::ZERO));
        let age = saved.age.map(Age::from).or(unknown);
        self.answered = age.map(|age| LastAnswer::restored(age, now));
        if let Some(answered) = self.answered {
            self.state = FamilyState::Restored { answered };
        }
    }

    /// What is held, to be saved.
    pub(super) fn last_good(&self) -> LastGood {
        LastGood {
            answered: self.answered,
            chain: self.chain.clone(),
            addresses: Arc::clone(&self.held),
        }
    }

    /// Notes a failure; whether anything changed by it.
    pub(super) fn fail(&mut self, error: String) -> bool {
        let state = match self.answered {
            Some(answered) => FamilyState::Stale { answered, error },
            None => FamilyState::Failed { error },
        };
        let changed = self.state != state;
        self.state = state;
        changed
    }

    /// Takes away what a changed question no longer accepts.
    pub(super) fn judge_again(&mut self, question: &Question) {
        let before = self.held.len();
        let mut held = self.held.to_vec();
        held.retain(|known| match question.judge(known.address) {
            Ok(_) => true,
            Err(why) => {
                self.refused.push(RefusedAddress {
                    address: known.address,
                    why,
                });
                false
            }
        });
        self.held = held.into();
        if self.held.len() != before && !self.has_current() {
            self.answered = None;
            self.state = FamilyState::Unasked;
        }
    }
}

fn forget_current_beyond(held: &mut Vec<KnownAddress>, max: usize) {
    let mut count = 0;
    held.retain(|known| {
        count += usize::from(known.is_current());
        !known.is_current() || count <= max
    });
}

fn forget_retired_beyond(held: &mut Vec<KnownAddress>, max: usize) {
    let mut retired: Vec<(Instant, IpAddr)> = held
        .iter()
        .filter_map(|known| match known.standing {
            Standing::Retired { until } => Some((until, known.address)),
            Standing::Current => None,
        })
        .collect();
    let surplus = retired.len().saturating_sub(max);
    if surplus > 0 {
        retired.sort_unstable();
        let mut gone: Vec<IpAddr> = retired[..surplus].iter().map(|(_, address)| *address).collect();
        gone.sort_unstable();
        held.retain(|known| known.is_current() || gone.binary_search(&known.address).is_err());
    }
}

/// The addresses to grant, each once, and at most `refused_max` of those that are refused.
fn judge_all(
    addresses: &[IpAddr],
    question: &Question,
    refused_max: usize,
) -> (Vec<IpAddr>, Vec<RefusedAddress>) {
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for address in addresses {
        match question.judge(*address) {
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
        "every address of the answer is refused: {}{more}",
        list.join(", ")
    )
}
