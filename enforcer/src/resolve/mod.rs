//! From names to addresses: upstreams, schedule, answer hygiene, and the last good answer of every name.
//!
//! What this room tells the others is a [`Snapshot`]: per name the chain, the addresses that may be granted now, what
//! was refused, and how each family's last question ended. Times are [`Instant`]s of the monotonic clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::names::ServerName;

/// A name to resolve, and where its answers may lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// The name.
    pub name: ServerName,
    /// Prefixes in which special-purpose addresses are accepted as its answers.
    pub private_link: Vec<IpNet>,
}

/// Everything that is known about the names, at one moment. In the order of the questions.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// One entry a question.
    pub names: Vec<NameSnapshot>,
}

/// What is known about one name.
#[derive(Clone, Debug)]
pub struct NameSnapshot {
    /// The name that was asked for.
    pub name: ServerName,
    /// The CNAME targets in order, the last one owns the addresses. Empty without a CNAME.
    pub chain: Vec<ServerName>,
    /// The addresses to grant, ascending: those of the last good answers, and retired ones in their grace period.
    pub addresses: Vec<KnownAddress>,
    /// Addresses that were in an answer and are not granted.
    pub refused: Vec<RefusedAddress>,
    /// How the last A question ended.
    pub v4: FamilyState,
    /// How the last AAAA question ended.
    pub v6: FamilyState,
}

/// An address that a name has, or had until a moment ago.
#[derive(Clone, Debug, Eq, PartialEq)]
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

/// How the last question for one family of a name ended, and what is held for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum FamilyState {
    /// Not asked yet.
    #[default]
    Unasked,
    /// A good answer with addresses.
    Fresh,
    /// A good answer: the name has no addresses of this family (NODATA or NXDOMAIN), and never had here.
    Empty,
    /// Asking failed; the last good answer is held.
    Stale {
        /// When the last good answer came.
        answered: Instant,
        /// What went wrong since, in words.
        error: String,
    },
    /// Asking failed, and there never was a good answer.
    Failed {
        /// What went wrong, in words.
        error: String,
    },
}

impl KnownAddress {
    /// What is left of its TTL at `now`; zero when it has run out.
    #[must_use]
    pub fn ttl_left(&self, now: Instant) -> Duration {
        self.expires.saturating_duration_since(now)
    }
}
