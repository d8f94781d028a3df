//! One family of a name: its last good answer, and what left it.

use std::collections::BTreeMap;
use std::net::IpAddr;
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
    pub(super) held: BTreeMap<IpAddr, Held>,
    pub(super) refused: Vec<RefusedAddress>,
    /// When the last good answer came.
    answered: Option<LastAnswer>,
    pub(super) state: FamilyState,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) expires: Instant,
    pub(super) standing: Standing,
}

impl Held {
    fn is_current(&self) -> bool {
        self.standing == Standing::Current
    }

    pub(super) fn known(self, address: IpAddr) -> KnownAddress {
        KnownAddress {
            address,
            expires: self.expires,
            standing: self.standing,
        }
    }

    /// `None` when its grace period is over. Whatever was saved, nothing is held for longer than these limits say.
    fn restored(saved: &SavedAddress, limits: Limits, now: Instant) -> Option<Self> {
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
        Some(Self {
            expires: now + Duration::from_millis(saved.ttl_left_ms).min(limits.ttl_max),
            standing,
        })
    }

    pub(super) fn outlives(&self, other: &Self) -> bool {
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
                if self.held.values().any(Held::is_current) {
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

    /// Drops retired addresses whose grace period is over. Whether there were any, and when the next one is over.
    pub(super) fn sweep(&mut self, now: Instant) -> (bool, Option<Instant>) {
        let before = self.held.len();
        let mut next: Option<Instant> = None;
        self.held.retain(|_, held| match held.standing {
            Standing::Retired { until } if until <= now => false,
            Standing::Retired { until } => {
                next = Some(next.map_or(until, |next| next.min(until)));
                true
            }
            Standing::Current => true,
        });
        (self.held.len() != before, next)
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
        self.answered = Some(now.into());
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
        for saved in &saved.addresses {
            let Some(held) = Held::restored(saved, limits, now) else {
                continue;
            };
            had_current |= held.is_current();
            match question.judge(saved.address) {
                // An IPv4 address may come out of an AAAA record, never the other way round.
                Ok(address) if family == Family::V6 || address.is_ipv4() => {
                    has_current |= held.is_current();
                    self.held.insert(address, held);
                }
                Err(why) if self.refused.len() < limits.addresses_max => self.refused.push(RefusedAddress {
                    address: saved.address,
                    why,
                }),
                Ok(_) | Err(_) => {}
            }
        }
        self.forget_current_beyond(limits.addresses_max);
        self.forget_retired_beyond(limits.addresses_max.saturating_mul(RETIRED_ANSWERS_MAX));
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
            addresses: self
                .held
                .iter()
                .map(|(address, held)| held.known(*address))
                .collect(),
        }
    }

    fn forget_current_beyond(&mut self, max: usize) {
        let mut count = 0;
        self.held.retain(|_, held| {
            count += usize::from(held.is_current());
            !held.is_current() || count <= max
        });
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
        self.held.retain(|address, _| match question.judge(*address) {
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
