//! What is different between two sets of ranges, address by address and in as few spans as possible.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{Ipv4Subnets, Ipv6Subnets};
use serde::{Serialize, Serializer};

use super::walk::{Cursor, Meanings, pieces};
use super::{Actual, Granted, Source};
use crate::config::Mode;
use crate::endpoints::{Asked, GrantedName, Scopes};

/// What a plan changes.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it was compared with.
    #[serde(flatten)]
    pub against: Against,
    /// Granted by the plan and not loaded.
    pub additions: Vec<Changed>,
    /// Loaded and not granted by the plan.
    pub removals: Vec<Changed>,
    /// Granted by both, by different rules or under different server names.
    pub moves: Vec<Moved>,
    /// Spans that stay as they are.
    pub unchanged: usize,
    /// Server names that the plan grants and what is loaded does not.
    pub names_added: Vec<ChangedName>,
    /// Server names that are loaded and that the plan does not grant.
    pub names_removed: Vec<ChangedName>,
}

/// A server name that one side grants and the other does not.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ChangedName {
    /// The name or pattern.
    pub name: String,
    /// Where it counts.
    pub at: Reach,
}

/// Where a server name counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Wherever names of the policy are asked for.
    Policy,
    /// At prefixes whose rules list it.
    Prefixes,
}

/// What a plan was compared with.
#[derive(Debug, Serialize)]
#[serde(tag = "loaded", rename_all = "kebab-case")]
pub enum Against {
    /// What is loaded could not be read: everything counts as an addition.
    Unread {
        /// Why not.
        why: String,
    },
    /// No enforcer runs here: everything counts as an addition.
    Nothing,
    /// A policy that is in force.
    Policy {
        /// Its generation.
        generation: u64,
        /// Whether it is in audit mode and the plan is not, or the other way round.
        mode_changes: bool,
    },
}

/// A span that one side has and the other has not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Changed {
    /// The addresses.
    pub span: Span,
    /// Who grants them.
    #[serde(serialize_with = "super::form::source")]
    pub source: Source,
    /// The server names that are asked for.
    #[serde(serialize_with = "asked")]
    pub server_names: Arc<Asked>,
}

/// A span that both sides grant, for different rules or under different conditions.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Moved {
    /// The addresses.
    pub span: Span,
    /// Who grants them in what is loaded.
    #[serde(serialize_with = "super::form::source")]
    pub from: Source,
    /// Who grants them in the plan.
    #[serde(serialize_with = "super::form::source")]
    pub to: Source,
    /// The server names that are asked for in what is loaded.
    #[serde(serialize_with = "asked")]
    pub from_names: Arc<Asked>,
    /// The server names that the plan asks for.
    #[serde(serialize_with = "asked")]
    pub to_names: Arc<Asked>,
}

fn asked<S: Serializer>(value: &Arc<Asked>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

/// Addresses from the first to the last, both included and of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl fmt::Display for Span {
    /// One address, one prefix, or `first - last`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(out, "{}", self.first);
        }
        let only_prefix = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => only(Ipv4Subnets::new(first, last, 0)).map(Into::into),
            (IpAddr::V6(first), IpAddr::V6(last)) => only(Ipv6Subnets::new(first, last, 0)).map(Into::into),
            _ => None,
        };
        match only_prefix {
            Some(ipnet::IpNet::V4(prefix)) => write!(out, "{prefix}"),
            Some(ipnet::IpNet::V6(prefix)) => write!(out, "{prefix}"),
            None => write!(out, "{} - {}", self.first, self.last),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    if items.next().is_some() { None } else { first }
}

impl Change {
    /// Compares what the kernel would be told with what it holds. The ranges of both are disjoint and ascending.
    #[must_use]
    pub fn between(desired: Granted<'_>, actual: Actual<'_>, mode: Mode) -> Self {
        let (against, loaded) = match actual {
            Actual::Unread { why } => (Against::Unread { why: why.to_owned() }, Granted::NOTHING),
            Actual::Nothing => (Against::Nothing, Granted::NOTHING),
            Actual::Loaded {
                generation,
                mode: loaded_mode,
                granted,
            } => (
                Against::Policy {
                    generation,
                    mode_changes: loaded_mode != mode,
                },
                granted,
            ),
        };
        let (new_names, old_names) = (reaches(desired.names), reaches(loaded.names));
        let mut change = Self {
            against,
            additions: Vec::new(),
            removals: Vec::new(),
            moves: Vec::new(),
            unchanged: 0,
            names_added: new_names.difference(&old_names).cloned().collect(),
            names_removed: old_names.difference(&new_names).cloned().collect(),
        };
        let mut meanings = Meanings::default();
        let plan = pieces(desired, &mut meanings);
        let old = pieces(loaded, &mut meanings);
        let mut plan = Cursor::new(&plan, &meanings);
        let mut old = Cursor::new(&old, &meanings);
        loop {
            match (plan.current, old.current) {
                (None, None) => return change,
                (Some(new), None) => change.additions.push(plan.take(new.last)),
                (None, Some(gone)) => change.removals.push(old.take(gone.last)),
                (Some(new), Some(gone)) if new.first < gone.first => {
                    change
                        .additions
                        .push(plan.take(new.last.min(gone.first.previous())));
                }
                (Some(new), Some(gone)) if gone.first < new.first => {
                    change
                        .removals
                        .push(old.take(gone.last.min(new.first.previous())));
                }
                (Some(new), Some(gone)) => {
                    let last = new.last.min(gone.last);
                    let (to, from) = (plan.take(last), old.take(last));
                    if (new.source, new.asked) == (gone.source, gone.asked) {
                        change.unchanged += 1;
                    } else {
                        change.moves.push(Moved {
                            span: to.span,
                            from: from.source,
                            to: to.source,
                            from_names: from.server_names,
                            to_names: to.server_names,
                        });
                    }
                }
            }
        }
    }
}

/// Names with where they count.
fn reaches(names: &[GrantedName]) -> BTreeSet<ChangedName> {
    let reach = |granted: &GrantedName, at, scopes| {
        granted.scopes.meets(scopes).then(|| ChangedName {
            name: granted.name.to_string(),
            at,
        })
    };
    let lists = Scopes::from_bits(!Scopes::POLICY.bits());
    names
        .iter()
        .flat_map(|granted| {
            [
                reach(granted, Reach::Policy, Scopes::POLICY),
                reach(granted, Reach::Prefixes, lists),
            ]
        })
        .flatten()
        .collect()
}
