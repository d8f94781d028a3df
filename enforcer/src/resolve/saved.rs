//! What is known about the names as plain data: what a daemon hands to the next one.
//!
//! Pure. [`SavedAnswers::of`] takes it out of a [`Snapshot`], [`SavedAnswers::aged`] lets time pass over it, and
//! [`super::book::Book::restore`] takes it back. All times are spans: ages, and what is left of something.

mod runs;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::age::Age;
use super::answer::DnsName;
use super::{KnownAddress, LastGood, NameSnapshot, Snapshot, Standing};
use crate::names::ServerName;

/// Everything worth saving, in the order of the names.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedAnswers {
    /// The names of which something is known.
    pub names: Vec<SavedName>,
}

/// One name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedName {
    /// The name.
    #[serde(serialize_with = "text", deserialize_with = "server_name")]
    pub name: ServerName,
    /// What its A records were.
    pub v4: SavedFamily,
    /// What its AAAA records were.
    pub v6: SavedFamily,
}

/// One family of a name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFamily {
    /// How old its last good answer is; `None` when there never was one.
    pub age: Option<SavedAge>,
    /// The CNAME targets of that answer in order.
    #[serde(serialize_with = "texts", deserialize_with = "dns_names")]
    pub chain: Vec<DnsName>,
    /// What is held of it, and what left it a moment ago.
    #[serde(with = "runs")]
    pub addresses: Vec<SavedAddress>,
}

/// An [`Age`] in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedAge {
    /// Milliseconds.
    pub ms: u64,
    /// Whether it may be more.
    pub is_lower_bound: bool,
}

/// One address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SavedAddress {
    /// The address.
    pub address: IpAddr,
    /// What is left of its TTL in milliseconds; 0 when it has run out.
    pub ttl_left_ms: u64,
    /// `None` for an address of the last good answer; otherwise what is left of the grace period in milliseconds.
    pub grace_left_ms: Option<u64>,
}

impl SavedAnswers {
    /// What `snapshot` knows at `now`, which is of the same clock as its times.
    #[must_use]
    pub fn of(snapshot: &Snapshot, now: Instant) -> Self {
        Self {
            names: names(snapshot, now).collect(),
        }
    }

    /// The same when `passed` has gone by. Where that is a lower bound, ages are too, and what is left of something
    /// may be less. Addresses whose grace period is over by then are gone.
    #[must_use]
    pub fn aged(mut self, passed: Age) -> Self {
        for name in &mut self.names {
            name.v4.pass(passed);
            name.v6.pass(passed);
        }
        self
    }

    /// Whether the same is granted for both: they differ in nothing but ages, TTLs, and what is left of them.
    #[must_use]
    pub fn grants_as(&self, other: &Self) -> bool {
        let same_family = |ours: &SavedFamily, theirs: &SavedFamily| {
            let held = |family: &SavedFamily| -> Vec<(IpAddr, bool)> {
                let addresses = family.addresses.iter();
                addresses
                    .map(|saved| (saved.address, saved.grace_left_ms.is_some()))
                    .collect()
            };
            ours.age.is_some() == theirs.age.is_some() && held(ours) == held(theirs)
        };
        self.names.len() == other.names.len()
            && self.names.iter().zip(&other.names).all(|(ours, theirs)| {
                ours.name == theirs.name
                    && same_family(&ours.v4, &theirs.v4)
                    && same_family(&ours.v6, &theirs.v6)
            })
    }
}

/// What [`SavedAnswers::of`] would be, to be written without ever being there.
#[derive(Clone, Copy, Debug)]
pub struct Streamed<'a> {
    /// What is known.
    pub snapshot: &'a Snapshot,
    /// The time, of the same clock as its times.
    pub now: Instant,
}

impl Serialize for Streamed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Names<'a>(&'a Streamed<'a>);
        impl Serialize for Names<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Streamed { snapshot, now } = *self.0;
                serializer.collect_seq(names(snapshot, now))
            }
        }
        let mut answers = serializer.serialize_struct("SavedAnswers", 1)?;
        answers.serialize_field("names", &Names(self))?;
        answers.end()
    }
}

fn names(snapshot: &Snapshot, now: Instant) -> impl Iterator<Item = SavedName> {
    let names = snapshot.names.iter().map(move |known| SavedName::of(known, now));
    names.filter(|name| name.v4.is_something() || name.v6.is_something())
}

impl SavedName {
    /// What is known of the name at `now`, which is of the same clock as its times.
    #[must_use]
    pub fn of(known: &NameSnapshot, now: Instant) -> Self {
        Self {
            name: known.name.clone(),
            v4: SavedFamily::of(&known.good_v4, now),
            v6: SavedFamily::of(&known.good_v6, now),
        }
    }
}

impl SavedFamily {
    fn of(good: &LastGood, now: Instant) -> Self {
        let address = |known: &KnownAddress| SavedAddress {
            address: known.address,
            ttl_left_ms: milliseconds(known.ttl_left(now)),
            grace_left_ms: match known.standing {
                Standing::Current => None,
                Standing::Retired { until } => Some(milliseconds(until.saturating_duration_since(now))),
            },
        };
        Self {
            age: good.answered.map(|answered| answered.age(now).into()),
            chain: good.chain.clone(),
            addresses: good.addresses.iter().map(address).collect(),
        }
    }

    fn is_something(&self) -> bool {
        self.age.is_some() || !self.addresses.is_empty()
    }

    fn pass(&mut self, passed: Age) {
        let passed_ms = milliseconds(passed.duration);
        self.age = self.age.map(|age| Age::from(age).plus(passed).into());
        for saved in &mut self.addresses {
            saved.ttl_left_ms = saved.ttl_left_ms.saturating_sub(passed_ms);
            saved.grace_left_ms = saved.grace_left_ms.map(|left| left.saturating_sub(passed_ms));
        }
        self.addresses.retain(|saved| saved.grace_left_ms != Some(0));
    }
}

impl From<Age> for SavedAge {
    fn from(age: Age) -> Self {
        Self {
            ms: milliseconds(age.duration),
            is_lower_bound: age.is_lower_bound,
        }
    }
}

impl From<SavedAge> for Age {
    fn from(saved: SavedAge) -> Self {
        Self {
            duration: Duration::from_millis(saved.ms),
            is_lower_bound: saved.is_lower_bound,
        }
    }
}

/// Whole milliseconds; 585 million years at the most.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn texts<S: Serializer>(values: &[DnsName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(DnsName::as_str))
}

fn server_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServerName, D::Error> {
    let text = String::deserialize(deserializer)?;
    ServerName::parse(&text).map_err(serde::de::Error::custom)
}

fn dns_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DnsName>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.iter().map(|text| DnsName::new(text)).collect())
}

#[cfg(test)]
mod tests;
