//! Whether blob storage can be done without: the last step of the way to dedicated data endpoints.
//!
//! The documentation's order is: add the data endpoints to the firewall, enable them on the registry, watch that nothing uses
//! blob storage any more, then remove the wildcard. This is the watching.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::gather::{Gathered, Seen};
use super::observation::Coverage;
use super::usage::Usage;
use super::{minute, times};
use crate::config::open_names::{Instead, Openness, pattern_openness};
use crate::config::proposal::Risk;
use crate::config::{Cloud, Config, RuleKind};
use crate::elapsed::Elapsed;
use crate::names::{DomainPattern, ServerName};

/// The least time of observation from which anything follows: a day, in which what happens daily has happened.
const OBSERVED_MIN: Duration = Duration::from_secs(24 * 3600);

/// What the observations say about blob storage.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Migration {
    /// What follows.
    pub outcome: Outcome,
    /// The rules that grant blob storage to anybody, with file and line.
    pub wildcards: Vec<String>,
    /// Storage accounts that were asked for.
    pub blob_storage: BTreeMap<String, Seen>,
    /// Dedicated data endpoints that were asked for.
    pub data_endpoints: BTreeMap<String, Seen>,
    /// Dedicated data endpoints of the configuration that nobody asked for.
    pub unused_data_endpoints: Vec<String>,
    /// Why the observations are not enough, a sentence each without full stops.
    pub doubts: Vec<String>,
    /// Since when was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_from: Option<Timestamp>,
    /// How long was observed, in seconds.
    pub observed_s: u64,
}

/// What follows for the wildcard.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Blob storage was not used, and dedicated data endpoints were.
    CanGo,
    /// Blob storage was used.
    MustStay,
    /// What was observed is not enough to tell.
    NotEnough,
    /// Nothing grants blob storage to anybody, and nobody asked for it.
    NotGranted,
}

/// Looks for blob storage and data endpoints in what was gathered.
pub(super) fn check(
    gathered: &Gathered,
    coverage: &Coverage,
    usage: Option<&Usage>,
    running: Option<&Config>,
) -> Migration {
    let is_blob = |name: &ServerName| Risk::of(name).is_some_and(Risk::is_blob_storage);
    let named = |is_meant: &dyn Fn(&ServerName) -> bool| -> BTreeMap<String, Seen> {
        let meant = gathered.names.iter().filter(|(name, _)| is_meant(name));
        meant
            .map(|(name, seen)| (name.to_string(), seen.clone()))
            .collect()
    };
    let blob_storage = named(&is_blob);
    let data_endpoints = named(&is_data_endpoint);
    let wildcards = running.map(wildcards).unwrap_or_default();
    let unused_data_endpoints: Vec<String> = running
        .map(configured_data_endpoints)
        .unwrap_or_default()
        .into_iter()
        .filter(|name| !data_endpoints.contains_key(name))
        .collect();
    let reach = Reach::of(coverage, usage);
    let mut doubts = match usage {
        Some(usage) => doubts_of_usage(usage),
        None => doubts_of_events(coverage),
    };
    if reach.observed < OBSERVED_MIN {
        let observed = Elapsed(reach.observed);
        doubts.insert(
            0,
            format!("this reaches over {observed} only; what happens once a day may be missing"),
        );
    }
    if data_endpoints.is_empty() {
        doubts.push("no dedicated data endpoint was asked for: perhaps nothing was pulled at all".to_owned());
    }
    let outcome = if !blob_storage.is_empty() {
        Outcome::MustStay
    } else if running.is_some() && wildcards.is_empty() {
        Outcome::NotGranted
    } else if doubts.is_empty() {
        Outcome::CanGo
    } else {
        Outcome::NotEnough
    };
    Migration {
        outcome,
        wildcards,
        blob_storage,
        data_endpoints,
        unused_data_endpoints,
        doubts,
        observed_from: reach.from,
        observed_s: reach.observed.as_secs(),
    }
}

/// Since when, and how long, was observed.
struct Reach {
    from: Option<Timestamp>,
    observed: Duration,
}

impl Reach {
    fn of(coverage: &Coverage, usage: Option<&Usage>) -> Self {
        let from = usage.map(|usage| usage.since).or(coverage.from);
        let seconds = match (from, coverage.to) {
            (Some(from), Some(to)) => to.as_second() - from.as_second(),
            _ => 0,
        };
        Self {
            from,
            observed: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        }
    }
}

/// Where the daemon has kept what was used, only what it could not keep leaves a doubt.
fn doubts_of_usage(usage: &Usage) -> Vec<String> {
    let mut doubts = Vec::new();
    doubts.extend(doubt_of_suppressed(usage.suppressed));
    if usage.beyond > 0 {
        doubts.push(format!(
            "{} granted connections were to more names than are kept",
            usage.beyond
        ));
    }
    doubts
}

fn doubt_of_suppressed(granted: u64) -> Option<String> {
    (granted > 0).then(|| {
        format!(
            "{granted} granted connections were too many to be told of, and blob storage may have been one"
        )
    })
}

fn doubts_of_events(coverage: &Coverage) -> Vec<String> {
    let mut doubts = Vec::new();
    if !coverage.has_allowed {
        doubts.push("granted connections were not told of, and blob storage may have been one".to_owned());
    }
    if coverage.suppressed > 0 {
        doubts.push(format!(
            "{} denials were too many to be told of",
            coverage.suppressed
        ));
    }
    doubts.extend(doubt_of_suppressed(coverage.suppressed_granted));
    if coverage.missed > 0 {
        doubts.push(format!(
            "{} events were forgotten before they were read",
            coverage.missed
        ));
    }
    if coverage.unreadable > 0 {
        doubts.push(format!("{} lines could not be read", coverage.unreadable));
    }
    doubts
}

/// `<registry>.<region>.data.<domain>`.
fn is_data_endpoint(name: &ServerName) -> bool {
    Cloud::of(name).is_some_and(|cloud| {
        let suffix = format!("data.{}", cloud.registry_domain());
        name.is_below(&suffix)
    })
}

/// The rules with a pattern under which blob storage of anybody lies.
fn wildcards(config: &Config) -> Vec<String> {
    let is_blob = |pattern: &DomainPattern| matches!(pattern_openness(pattern), Some(Openness::Known(open)) if open.instead == Instead::DataEndpoints);
    let mut found = Vec::new();
    for rule in &config.rules {
        let patterns: Vec<&DomainPattern> = match &rule.kind {
            RuleKind::Pattern(pattern) => vec![pattern],
            RuleKind::Registry(registry) => registry.data_patterns.iter().collect(),
            RuleKind::Prefixes {
                names: crate::config::Names::List(names),
                ..
            } => names
                .iter()
                .filter_map(|name| match name {
                    crate::names::NameRule::Pattern(pattern) => Some(pattern),
                    crate::names::NameRule::Name(_) => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        for pattern in patterns.into_iter().filter(|pattern| is_blob(pattern)) {
            found.push(format!(
                "`{pattern}` at {}:{}",
                rule.place.file.display(),
                rule.place.line
            ));
        }
    }
    found
}

fn configured_data_endpoints(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for rule in &config.rules {
        if let RuleKind::Registry(registry) = &rule.kind {
            let derived = registry.data_regions.iter();
            let derived = derived.map(|region| registry.login_server.data_endpoint(region));
            let all = derived.chain(registry.data_endpoints.iter().cloned());
            found.extend(all.map(|name| name.to_string()));
        }
    }
    found
}

impl fmt::Display for Migration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let observed = Elapsed(Duration::from_secs(self.observed_s));
        if self.blob_storage.is_empty() {
            write!(out, "blob storage: not used in the {observed} that were observed")?;
            if let Some(from) = self.observed_from {
                write!(out, ", since {} UTC", minute(from))?;
            }
        } else {
            write!(out, "blob storage: used")?;
            list(out, &self.blob_storage)?;
        }
        if self.data_endpoints.is_empty() {
            write!(out, "\ndedicated data endpoints: none was used")?;
        } else {
            write!(out, "\ndedicated data endpoints: used")?;
            list(out, &self.data_endpoints)?;
        }
        for name in &self.unused_data_endpoints {
            write!(
                out,
                "\n  {name}: not used; a replica may answer only when another one fails"
            )?;
        }
        let whose = "whether it was for the layers of a registry can not be told from outside the session";
        let wildcard = match &self.wildcards[..] {
            [] => "the wildcard".to_owned(),
            wildcards => wildcards.join(", "),
        };
        match self.outcome {
            Outcome::CanGo => write!(
                out,
                "\n{wildcard} can go: remove it, run in audit mode for a while, and look at `enforcer observe`"
            ),
            Outcome::MustStay if self.wildcards.is_empty() => {
                write!(out, "\nblob storage is still asked for; {whose}")
            }
            Outcome::MustStay => write!(
                out,
                "\n{wildcard} must stay as long as these accounts are needed, or name those that are yours; {whose}"
            ),
            Outcome::NotGranted => write!(out, "\nno rule grants blob storage to anybody: nothing has to go"),
            Outcome::NotEnough => write!(out, "\nthat is not enough to tell whether {wildcard} can go:"),
        }?;
        if self.outcome == Outcome::NotEnough {
            for doubt in &self.doubts {
                write!(out, "\n  {doubt}")?;
            }
        }
        Ok(())
    }
}

fn list(out: &mut fmt::Formatter<'_>, seen: &BTreeMap<String, Seen>) -> fmt::Result {
    const SHOWN_MAX: usize = 20;
    for (name, seen) in seen.iter().take(SHOWN_MAX) {
        write!(out, "\n  {name}: {}", times(seen.count))?;
        if let Some(last) = seen.last {
            write!(out, ", last {} UTC", minute(last))?;
        }
        if let Some((who, _)) = seen.by.iter().max_by_key(|(_, count)| **count) {
            let others = if seen.by.len() > 1 { " and others" } else { "" };
            write!(out, ", by {who}{others}")?;
        }
    }
    if seen.len() > SHOWN_MAX {
        write!(out, "\n  ... and {} more", seen.len() - SHOWN_MAX)?;
    }
    Ok(())
}
