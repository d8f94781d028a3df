//! Observations by what they were about: names that could be granted, and the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::harmless;
use super::observation::{Observation, Verdict};
use super::usage::Usage;
use crate::names::ServerName;

/// Most addresses that are kept of one name.
const ADDRESSES_MAX: usize = 64;
/// Most processes that are kept of one name or destination.
const PROCESSES_MAX: usize = 32;

/// How often something was seen, by whom and when.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Seen {
    /// How often.
    pub count: u64,
    /// How often of these it was granted already.
    pub allowed: u64,
    /// The first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// By whom, and how often: process, and unit or container; at most 32.
    pub by: BTreeMap<String, u64>,
    /// At which addresses; at most 64.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether the name was read in a session; otherwise the address was answered for it.
    pub is_asked_for: bool,
}

impl Seen {
    fn add(&mut self, observation: &Observation) {
        self.count += 1;
        self.allowed += u64::from(observation.verdict == Verdict::Allowed);
        if let Some(time) = observation.time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
        let who = who(observation);
        if self.by.len() < PROCESSES_MAX || self.by.contains_key(&who) {
            *self.by.entry(who).or_default() += 1;
        }
        if let Some(destination) = observation.destination
            && self.addresses.len() < ADDRESSES_MAX
        {
            self.addresses.insert(destination.ip().to_canonical());
        }
    }
}

/// Something that no name can be written for, or that is denied for what it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Unnamed {
    /// Where to: address and port, as far as it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// `tcp`, `udp`, ...
    pub protocol: String,
    /// The reason of the denial; absent where it was granted, by a rule with a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the session asked for, where that is no name to grant; escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// Observations by what they were about.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Names that could be granted.
    pub(super) names: BTreeMap<ServerName, Seen>,
    /// The rest, ascending.
    pub(super) unnamed: Vec<Unnamed>,
    /// The ports that were filtered, as far as they were met.
    pub(super) ports: BTreeSet<u16>,
}

impl Gathered {
    /// Adds what was used, as far as the events do not tell: they are forgotten sooner.
    pub(super) fn take_in(&mut self, usage: &Usage) {
        for used in &usage.used {
            let Some(name) = used.name.as_deref().and_then(|name| ServerName::parse(name).ok()) else {
                continue;
            };
            let seen = self.names.entry(name).or_default();
            // Denials of the same name are counted in the events alone.
            let more = used.count.saturating_sub(seen.allowed);
            seen.count += more;
            seen.allowed += more;
            seen.first = Some(seen.first.map_or(used.first, |first| first.min(used.first)));
            seen.last = Some(seen.last.map_or(used.last, |last| last.max(used.last)));
            seen.is_asked_for |= used.is_asked_for;
            if seen.by.is_empty() && more > 0 {
                seen.by.insert(harmless(&used.last_by), more);
            }
        }
    }
}

type Key = (
    Option<IpAddr>,
    Option<u16>,
    String,
    Option<String>,
    Option<String>,
);

/// Sorts observations.
pub(super) fn gather(observations: &[Observation]) -> Gathered {
    let mut gathered = Gathered::default();
    let mut unnamed: BTreeMap<Key, Seen> = BTreeMap::new();
    for observation in observations {
        if let Some(destination) = observation
            .destination
            .filter(|destination| destination.port() != 0)
        {
            gathered.ports.insert(destination.port());
        }
        if let Some((name, is_asked_for)) = name_of(observation) {
            let seen = gathered.names.entry(name).or_default();
            seen.add(observation);
            seen.is_asked_for |= is_asked_for;
            continue;
        }
        let key = (
            observation
                .destination
                .map(|destination| destination.ip().to_canonical()),
            observation.destination.map(|destination| destination.port()),
            harmless(&observation.protocol),
            observation.reason.as_deref().map(harmless),
            observation.server_name.as_deref().map(harmless),
        );
        unnamed.entry(key).or_default().add(observation);
    }
    gathered.unnamed = unnamed
        .into_iter()
        .map(|((address, port, protocol, reason, server_name), seen)| Unnamed {
            destination: address.map(|address| match (address, port) {
                (IpAddr::V4(address), port) => format!("{address}:{}", port.unwrap_or_default()),
                (IpAddr::V6(address), port) => format!("[{address}]:{}", port.unwrap_or_default()),
            }),
            protocol,
            reason,
            server_name,
            seen,
        })
        .collect();
    gathered
}

/// The name that an observation is about, and whether a session asked for it. `None` where granting a name would not grant
/// what was seen.
fn name_of(observation: &Observation) -> Option<(ServerName, bool)> {
    if observation.protocol != "tcp" {
        return None;
    }
    match observation.reason.as_deref() {
        // What else is denied is denied under any name.
        None | Some("name-not-granted" | "address-not-granted") => {}
        Some(_) => return None,
    }
    if let Some(text) = &observation.server_name {
        let name = ServerName::parse(text).ok()?;
        return (name.as_str() == text.to_ascii_lowercase()).then_some((name, true));
    }
    if observation.refused.is_some() {
        return None;
    }
    let name = ServerName::parse(observation.name.as_deref()?).ok()?;
    Some((name, false))
}

/// `skopeo (docker.service)`, `curl (docker 3f2a9c01d2e4)`.
fn who(observation: &Observation) -> String {
    const ID_CHARS: usize = 12;
    let process = match observation.process.as_str() {
        "" => "an unknown process".to_owned(),
        process => harmless(process),
    };
    match (&observation.container, &observation.unit) {
        (Some(container), _) => {
            let id: String = container.id.chars().take(ID_CHARS).collect();
            format!("{process} ({} {})", harmless(&container.runtime), harmless(&id))
        }
        (None, Some(unit)) => format!("{process} ({})", harmless(unit)),
        (None, None) => process,
    }
}
