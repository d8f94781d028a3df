//! Denials, grouped by what they have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use enforcer_common::Reason;

use super::Listed;
use crate::config::RuleId;
use crate::daemon::attempt::Protocol;
use crate::daemon::denial::Denial;
use crate::daemon::names::KnownAs;

/// Most groups that are kept; denials of further ones are only counted.
const GROUPS_MAX: usize = 4096;
/// Process ids that one group keeps.
const PIDS_MAX: usize = 16;

/// The denials of one run.
#[derive(Debug, Default)]
pub struct Tally {
    groups: BTreeMap<Key, Group>,
    beyond: u64,
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    process: String,
    protocol: Protocol,
    destination: Option<SocketAddr>,
    server_name: Option<String>,
    reason: Reason,
}

/// Denials that have everything but time and process id in common.
#[derive(Debug)]
pub struct Group {
    count: u64,
    pids: BTreeSet<u32>,
    known_as: Option<KnownAs>,
    rule: Option<RuleId>,
    first: Duration,
    last: Duration,
}

impl Tally {
    /// Takes in one denial.
    pub fn add(&mut self, denial: Denial) {
        let attempt = denial.attempt;
        let key = Key {
            process: attempt.process,
            protocol: attempt.protocol,
            destination: attempt.destination,
            server_name: attempt.server_name,
            reason: denial.reason,
        };
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            self.beyond += 1;
            return;
        }
        let group = self.groups.entry(key).or_insert(Group {
            count: 0,
            pids: BTreeSet::new(),
            known_as: None,
            rule: None,
            first: attempt.time,
            last: attempt.time,
        });
        group.count += 1;
        if group.pids.len() < PIDS_MAX {
            group.pids.extend(attempt.pid);
        }
        group.known_as = attempt.known_as.or(group.known_as.take());
        group.rule = denial.rule.or(group.rule);
        group.first = group.first.min(attempt.time);
        group.last = group.last.max(attempt.time);
    }

    /// How many denials were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.beyond + self.groups.values().map(|group| group.count).sum::<u64>()
    }

    /// The groups, the most frequent first; times since `started`.
    #[must_use]
    pub fn groups(&self, started: Duration) -> Vec<Listed> {
        let since_ms =
            |time: Duration| u64::try_from(time.saturating_sub(started).as_millis()).unwrap_or(u64::MAX);
        let mut listed: Vec<_> = self
            .groups
            .iter()
            .map(|(key, group)| Listed {
                process: key.process.clone(),
                pids: group.pids.iter().copied().collect(),
                protocol: key.protocol.to_string(),
                destination: key.destination.map(|destination| destination.ip()),
                port: key.destination.map(|destination| destination.port()),
                name: group.known_as.as_ref().map(|known| known.name.to_string()),
                server_name: key.server_name.clone(),
                rule: group.rule.map(|rule| rule.0),
                refused: group.known_as.as_ref().and_then(|known| known.refused),
                reason: key.reason.name(),
                count: group.count,
                first_ms: since_ms(group.first),
                last_ms: since_ms(group.last),
            })
            .collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.count));
        listed
    }
}
