//! From names to addresses: upstreams, schedule, answer hygiene, and the last good answer of every name.
//!
//! What this room tells the others is a [`Snapshot`]: per name the chain, the addresses that may be granted now, what
//! was refused, and how each family's last question ended. Times are [`Instant`]s of the monotonic clock.
//!
//! ```text
//! schedule (when) -> failover (whom) -> upstream (asks) -> chain (what counts) -> special, sanity (what is refused)
//!                                                                   |
//!                     driver (the task; owns all of it)  <-  book (what is known)  ->  Snapshot
//! ```
//!
//! [`age`], [`answer`], [`book`], [`chain`], [`health`], [`list`], [`sanity`], [`saved`], [`schedule`] and [`system`] do no I/O
//! and read no clock: `now` is a parameter and randomness is given. [`upstream`] and [`driver`] are the shell around them.

pub mod age;
pub mod answer;
pub mod book;
pub mod chain;
pub mod driver;
pub mod failover;
pub mod health;
pub mod list;
pub mod sanity;
pub mod saved;
pub mod schedule;
pub mod system;
pub mod upstream;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::names::ServerName;

pub use age::{Age, LastAnswer};
pub use answer::DnsName;
pub use driver::{Service, resolve_once};
pub use list::NameList;
pub use sanity::Sanity;
pub use saved::SavedAnswers;

/// The two kinds of address, which are asked for, scheduled and reported apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4: A records.
    V4,
    /// IPv6: AAAA records.
    V6,
}

impl Family {
    /// Both, in the order they are asked.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The name of its record type.
    #[must_use]
    pub fn record_type(self) -> &'static str {
        match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A name to resolve, and where its answers may lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// The name.
    pub name: ServerName,
    /// Prefixes in which special-purpose addresses are accepted as its answers.
    pub private_link: Vec<IpNet>,
    /// Where its public answers must lie.
    pub sanity: Sanity,
}

/// Everything that is known about the names, at one moment. In the order of the questions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// One entry a question. Questions for the same name are one, at the place of the first. A name of which nothing became
    /// known is the same entry as in the snapshot before.
    pub names: NameList,
}

/// What is known about one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameSnapshot {
    /// The name that was asked for.
    pub name: ServerName,
    /// The CNAME targets in order, the last one owns the addresses. Empty without a CNAME. That of the IPv4 answer
    /// where the families differ. To be shown, never to be granted as a server name.
    pub chain: Vec<DnsName>,
    /// The addresses to grant, ascending: those of the last good answers, and retired ones in their grace period.
    /// Shared with the family's own list where only one family has any.
    pub addresses: Arc<[KnownAddress]>,
    /// Addresses that were in an answer and are not granted.
    pub refused: Vec<RefusedAddress>,
    /// How the last A question ended.
    pub v4: FamilyState,
    /// How the last AAAA question ended.
    pub v6: FamilyState,
    /// What is held for A, to be saved.
    pub good_v4: LastGood,
    /// What is held for AAAA, to be saved.
    pub good_v6: LastGood,
}

/// What is held for one family of a name. [`NameSnapshot::addresses`] is both families together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LastGood {
    /// When the last good answer came; `None` when there never was one.
    pub answered: Option<LastAnswer>,
    /// Its CNAME targets in order.
    pub chain: Vec<DnsName>,
    /// Its addresses and those that left it a moment ago, ascending.
    pub addresses: Arc<[KnownAddress]>,
}

/// An address that a name has, or had until a moment ago.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnownAddress {
    /// The address, never an IPv4-mapped one.
    pub address: IpAddr,
    /// When its TTL, clamped, runs out. In the past for an address that is kept because asking fails.
    pub expires: Instant,
    /// Whether it is in the newest answer.
    pub standing: Standing,
}

/// Why an address is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is in the newest good answer.
    Current,
    /// It has left the answers, and is kept until the grace period ends at this time.
    Retired {
        /// End of the grace period.
        until: Instant,
    },
}

/// An address of an answer that is never granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusedAddress {
    /// The address as it was answered.
    pub address: IpAddr,
    /// Why, in the words of the special-purpose registries: `private (RFC 1918)`, `loopback`, ...
    pub why: &'static str,
}

/// Why a [`FamilyState::Restored`] is no better than stale.
pub const NOT_ASKED_YET: &str = "not asked yet since the start";

/// How the last question for one family of a name ended, and what is held for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum FamilyState {
    /// Not asked yet.
    #[default]
    Unasked,
    /// A good answer with addresses.
    Fresh,
    /// A good answer: the name exists without addresses of this family (NODATA), and never had any here.
    Empty,
    /// Not asked yet in this process: the last good answer of an earlier one is held. Shown as stale, with
    /// [`NOT_ASKED_YET`] as its reason.
    Restored {
        /// When the last good answer came.
        answered: LastAnswer,
    },
    /// Asking failed; the last good answer is held. Also where a name that had addresses has none any more
    /// (NXDOMAIN, NODATA): that alone takes nothing away.
    Stale {
        /// When the last good answer came.
        answered: LastAnswer,
        /// What went wrong since, in words.
        error: String,
    },
    /// Asking failed, or the name does not exist (NXDOMAIN), and there never was a good answer.
    Failed {
        /// What went wrong, in words.
        error: String,
    },
}

impl Snapshot {
    /// Whether every name has been asked for once in both families, whatever came of it. One that was restored has not.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.names
            .iter()
            .all(|name| name.v4.is_settled() && name.v6.is_settled())
    }
}

impl Snapshot {
    /// The names of which something else is known than in `old`, each behind what was known then. Costs what is different,
    /// as long as the same names are asked for.
    #[must_use]
    pub fn news_since<'a>(
        &'a self,
        old: &'a Self,
    ) -> Vec<(Option<&'a Arc<NameSnapshot>>, &'a Arc<NameSnapshot>)> {
        if let Some(changes) = self.names.changes_since(&old.names) {
            return changes.into_iter().map(|(old, new)| (Some(old), new)).collect();
        }
        let old: HashMap<_, _> = old.names.iter().map(|known| (&known.name, known)).collect();
        let news = self
            .names
            .iter()
            .map(|known| (old.get(&known.name).copied(), known));
        news.filter(|(old, new)| old.is_none_or(|old| !Arc::ptr_eq(old, new)))
            .collect()
    }
}

impl FamilyState {
    /// Whether this process has asked.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Unasked | Self::Restored { .. } => false,
            Self::Fresh | Self::Empty | Self::Stale { .. } | Self::Failed { .. } => true,
        }
    }

    /// The state to show when there was no time to wait for an answer.
    #[must_use]
    pub(crate) fn given_up(&self, error: String) -> Self {
        match self {
            Self::Unasked => Self::Failed { error },
            Self::Restored { answered } => Self::Stale {
                answered: *answered,
                error,
            },
            Self::Fresh | Self::Empty | Self::Stale { .. } | Self::Failed { .. } => self.clone(),
        }
    }
}

impl NameSnapshot {
    /// Whether the same addresses are held, family by family, and the same of them are current: nothing that is granted or
    /// has to be saved differs but times.
    #[must_use]
    pub fn holds_as(&self, other: &Self) -> bool {
        self.good_v4.holds_as(&other.good_v4) && self.good_v6.holds_as(&other.good_v6)
    }

    /// How the last question for `family` ended.
    #[must_use]
    pub fn state(&self, family: Family) -> &FamilyState {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl LastGood {
    fn holds_as(&self, other: &Self) -> bool {
        let held = |known: &KnownAddress| (known.address, known.is_current());
        self.answered.is_some() == other.answered.is_some()
            && (Arc::ptr_eq(&self.addresses, &other.addresses)
                || self
                    .addresses
                    .iter()
                    .map(held)
                    .eq(other.addresses.iter().map(held)))
    }
}

impl KnownAddress {
    /// Whether its name's newest answer has it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.standing == Standing::Current
    }

    /// What is left of its TTL at `now`; zero when it has run out.
    #[must_use]
    pub fn ttl_left(&self, now: Instant) -> Duration {
        self.expires.saturating_duration_since(now)
    }
}
