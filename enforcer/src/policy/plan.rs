//! What the kernel would be told, and what that changes: the dry run of a policy.
//!
//! A [`Plan`] is data. Its `Display` is what `enforcer plan` prints, its serialised form is `-o json`.

mod diff;
mod form;
mod show;
mod walk;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use diff::{Change, Changed, ChangedName, Moved, Reach, Span};

use super::grants::Source;
use super::table::Range;
use crate::config::{
    Config, Existing, Mode, Place, Quic, Rule, RuleId, ServerNames, TagFileSummary, Transport, Upstream,
};
use crate::endpoints::{
    Asked, Condition, Endpoint, GrantedName, Role, Tag, Target, Unaddressed, by_rule, filtered_upstreams,
    open_tags, unaddressed,
};
use crate::names::{DomainPattern, ServerName};
use crate::resolve::{Age, FamilyState, NOT_ASKED_YET, NameSnapshot, Snapshot, Standing};

/// Layout of the serialised form; counts up when a field changes its meaning or goes. Fields may be added.
pub const VERSION: u32 = 2;

/// A policy at one moment, and what is different from what is loaded.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// What becomes of denials.
    #[serde(serialize_with = "form::mode")]
    pub mode: Mode,
    /// The filtered ports.
    pub ports: Vec<u16>,
    /// What becomes of UDP to them.
    #[serde(serialize_with = "form::quic")]
    pub quic: Quic,
    /// Whether the server name of a session is looked at.
    #[serde(serialize_with = "form::server_names")]
    pub server_names: ServerNames,
    /// What becomes of sessions from before.
    #[serde(serialize_with = "form::existing")]
    pub existing: Existing,
    /// One entry a rule, in the order of the file.
    pub rules: Vec<RulePlan>,
    /// The files of service tags that rules refer to.
    pub service_tag_files: Vec<TagFilePlan>,
    /// What its user must know of service tags, a sentence each.
    pub cautions: Vec<String>,
    /// Upstream name servers behind a filtered port, which are granted so that enforcer can ask them.
    pub upstreams: Vec<UpstreamPlan>,
    /// Compared with what is loaded.
    pub change: Change,
}

/// A file of service tags.
#[derive(Debug, Serialize)]
pub struct TagFilePlan {
    /// Where it is.
    pub file: String,
    /// Its `changeNumber`.
    pub change_number: Option<u64>,
    /// Its `cloud`.
    pub cloud: Option<String>,
    /// How many tags it has.
    pub tags: usize,
    /// All this as a person reads it.
    #[serde(skip)]
    words: String,
}

/// What one rule comes to.
#[derive(Debug, Serialize)]
pub struct RulePlan {
    /// Its number, as the kernel's table has it.
    pub rule: u32,
    /// What it says, in short.
    pub title: String,
    /// Where it stands.
    #[serde(serialize_with = "form::place")]
    pub place: Place,
    /// The reason given with `accept_exfiltration_risk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_risk: Option<String>,
    /// The server names that sessions to its addresses must carry.
    pub server_names: Asked,
    /// The service tags outside of which public answers for its names are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sanity_tags: Vec<String>,
    /// What it lets through.
    pub endpoints: Vec<EndpointPlan>,
}

/// What one endpoint comes to.
#[derive(Debug, Serialize)]
pub struct EndpointPlan {
    /// What it is to its rule.
    #[serde(serialize_with = "form::role")]
    pub role: Role,
    /// What is granted for it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What is granted for an endpoint.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its addresses.
    Name(Box<NamePlan>),
    /// The names under it, and no address: a pattern can not be resolved.
    Pattern {
        /// The pattern.
        #[serde(serialize_with = "form::text")]
        pattern: DomainPattern,
        /// What to write when no rule says where its hosts are.
        #[serde(skip_serializing_if = "Option::is_none")]
        needs: Option<String>,
    },
    /// The prefix itself.
    Prefix {
        /// The prefix.
        #[serde(serialize_with = "form::text")]
        prefix: ipnet::IpNet,
    },
    /// The prefixes of a service tag.
    ServiceTag {
        /// Its name as the file has it.
        service_tag: String,
        /// The file.
        file: String,
        /// How many prefixes of IPv4 it has.
        ipv4_prefixes: usize,
        /// How many prefixes of IPv6 it has.
        ipv6_prefixes: usize,
    },
}

/// What is granted for a name.
#[derive(Debug, Serialize)]
pub struct NamePlan {
    /// The name.
    #[serde(serialize_with = "form::text")]
    pub name: ServerName,
    /// CNAME targets in order.
    pub chain: Vec<String>,
    /// What is granted.
    pub addresses: Vec<AddressPlan>,
    /// What was answered and is never granted.
    pub refused: Vec<Refused>,
    /// How the question for IPv4 addresses ended.
    pub a: Answered,
    /// How the question for IPv6 addresses ended.
    pub aaaa: Answered,
}

/// A granted address of a name.
#[derive(Debug, Serialize)]
pub struct AddressPlan {
    /// The address.
    pub address: IpAddr,
    /// What is left of its TTL; zero for an address that is kept because asking fails.
    #[serde(rename = "ttl_left_s", serialize_with = "form::seconds")]
    pub ttl_left: Duration,
    /// For an address that has left the answers: what is left of its grace period.
    #[serde(rename = "retires_in_s", serialize_with = "form::maybe_seconds")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retires_in: Option<Duration>,
}

/// An address of an answer that is not granted.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// Why not.
    pub why: &'static str,
}

/// How the question for one family ended.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Answered {
    /// No answer within the time limit.
    Unasked,
    /// Addresses.
    Fresh,
    /// A good answer without addresses.
    Empty,
    /// Asking failed; the last good answer is held.
    Stale {
        /// Since the last good answer; `age_s`, and `is_at_least` where it may be more.
        #[serde(flatten, serialize_with = "form::age")]
        age: Age,
        /// What went wrong since.
        error: String,
    },
    /// Asking failed, and there never was a good answer.
    Failed {
        /// What went wrong.
        error: String,
    },
}

/// An upstream that is granted for enforcer's own questions.
#[derive(Debug, Serialize)]
pub struct UpstreamPlan {
    /// `plain`, `tls` or `https`.
    pub transport: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What is loaded at the moment.
#[derive(Clone, Copy, Debug)]
pub enum Actual<'a> {
    /// It could not be read.
    Unread {
        /// Why not, in words.
        why: &'a str,
    },
    /// No enforcer runs here.
    Nothing,
    /// A policy.
    Loaded {
        /// Its generation.
        generation: u64,
        /// Its mode.
        mode: Mode,
        /// What it grants.
        granted: Granted<'a>,
    },
}

/// What a policy grants.
#[derive(Clone, Copy, Debug)]
pub struct Granted<'a> {
    /// The addresses, disjoint and ascending.
    pub ranges: &'a [Range],
    /// The server names, which the conditions of the ranges are about.
    pub names: &'a [GrantedName],
}

impl Granted<'_> {
    /// Nothing at all.
    pub const NOTHING: Self = Self {
        ranges: &[],
        names: &[],
    };
}

impl Plan {
    /// Puts together what `config` comes to with `answers` at `now`.
    ///
    /// `desired` is what the kernel would be told of the same endpoints and answers.
    #[must_use]
    pub fn new(
        config: &Config,
        endpoints: &[Endpoint],
        upstreams: &[Upstream],
        answers: &Snapshot,
        now: Instant,
        desired: Granted<'_>,
        actual: Actual<'_>,
    ) -> Self {
        let unaddressed = unaddressed(config, endpoints);
        let unaddressed: HashMap<_, _> = unaddressed
            .iter()
            .map(|known| ((known.rule, &known.pattern), known))
            .collect();
        let known: HashMap<_, _> = answers
            .names
            .iter()
            .map(|known| (&known.name, known.as_ref()))
            .collect();
        let of_rule = by_rule(endpoints);
        let mut asked: HashMap<Condition, Asked> = HashMap::new();
        let mut asked = |endpoint: &Endpoint| {
            let condition = endpoint.condition;
            let asked = asked.entry(condition);
            asked
                .or_insert_with(|| Asked::of(condition, desired.names))
                .clone()
        };
        let rule_plan = |rule: &Rule| {
            let endpoints = of_rule.get(&rule.id).copied().unwrap_or_default();
            RulePlan {
                rule: rule.id.0,
                title: rule.kind.to_string(),
                place: rule.place.clone(),
                accepted_risk: rule.accepted_risk.clone(),
                server_names: endpoints.first().map_or(Asked::Nothing, &mut asked),
                sanity_tags: rule.sanity_tags.iter().map(|tag| tag.name.clone()).collect(),
                endpoints: endpoints
                    .iter()
                    .map(|endpoint| EndpointPlan {
                        role: endpoint.role,
                        outcome: outcome(endpoint, &unaddressed, &known, now),
                    })
                    .collect(),
            }
        };
        Self {
            version: VERSION,
            mode: config.mode,
            ports: config.enforce.ports.clone(),
            quic: config.enforce.quic,
            server_names: config.enforce.server_names,
            existing: config.enforce.existing,
            rules: config.rules.iter().map(rule_plan).collect(),
            service_tag_files: config.tag_files.iter().map(tag_file).collect(),
            cautions: open_tags(config).iter().map(ToString::to_string).collect(),
            upstreams: filtered_upstreams(upstreams, &config.enforce.ports)
                .map(|upstream| UpstreamPlan {
                    transport: transport(&upstream.transport),
                    address: upstream.address,
                })
                .collect(),
            change: Change::between(desired, actual, config.mode),
        }
    }

    /// The names for which nothing can be granted at the moment.
    ///
    /// The bare name that a registry's certificate carries is left out: registries work without its addresses.
    #[must_use]
    pub fn unresolved(&self) -> Vec<&ServerName> {
        let mut names: Vec<_> = self
            .rules
            .iter()
            .flat_map(|rule| &rule.endpoints)
            .filter(|endpoint| endpoint.role != Role::CertificateName)
            .filter_map(|endpoint| match &endpoint.outcome {
                Outcome::Name(name) if name.addresses.is_empty() => Some(&name.name),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn tag_file(file: &TagFileSummary) -> TagFilePlan {
    TagFilePlan {
        file: file.file.to_string_lossy().into_owned(),
        change_number: file.change_number,
        cloud: file.cloud.clone(),
        tags: file.tags,
        words: file.to_string(),
    }
}

fn outcome(
    endpoint: &Endpoint,
    unaddressed: &HashMap<(RuleId, &DomainPattern), &Unaddressed>,
    known: &HashMap<&ServerName, &NameSnapshot>,
    now: Instant,
) -> Outcome {
    match &endpoint.target {
        Target::Name(name) => Outcome::Name(Box::new(name_plan(name, known.get(name).copied(), now))),
        Target::Pattern(pattern) => Outcome::Pattern {
            pattern: pattern.clone(),
            needs: unaddressed
                .get(&(endpoint.rule, pattern))
                .map(|unaddressed| unaddressed.advice()),
        },
        Target::Prefix(prefix) => Outcome::Prefix { prefix: *prefix },
        Target::Tag(Tag(tag)) => Outcome::ServiceTag {
            service_tag: tag.name.clone(),
            file: tag.file.to_string_lossy().into_owned(),
            ipv4_prefixes: tag.prefixes.v4_count(),
            ipv6_prefixes: tag.prefixes.v6_count(),
        },
    }
}

fn name_plan(name: &ServerName, known: Option<&NameSnapshot>, now: Instant) -> NamePlan {
    let Some(known) = known else {
        return NamePlan {
            name: name.clone(),
            chain: Vec::new(),
            addresses: Vec::new(),
            refused: Vec::new(),
            a: Answered::Unasked,
            aaaa: Answered::Unasked,
        };
    };
    NamePlan {
        name: name.clone(),
        chain: known.chain.iter().map(ToString::to_string).collect(),
        addresses: known
            .addresses
            .iter()
            .map(|address| AddressPlan {
                address: address.address,
                ttl_left: address.ttl_left(now),
                retires_in: match address.standing {
                    Standing::Current => None,
                    Standing::Retired { until } => Some(until.saturating_duration_since(now)),
                },
            })
            .collect(),
        refused: known
            .refused
            .iter()
            .map(|refused| Refused {
                address: refused.address,
                why: refused.why,
            })
            .collect(),
        a: answered(&known.v4, now),
        aaaa: answered(&known.v6, now),
    }
}

fn answered(state: &FamilyState, now: Instant) -> Answered {
    match state {
        FamilyState::Unasked => Answered::Unasked,
        FamilyState::Fresh => Answered::Fresh,
        FamilyState::Empty => Answered::Empty,
        FamilyState::Restored { answered } => Answered::Stale {
            age: answered.age(now),
            error: NOT_ASKED_YET.to_owned(),
        },
        FamilyState::Stale { answered, error } => Answered::Stale {
            age: answered.age(now),
            error: error.clone(),
        },
        FamilyState::Failed { error } => Answered::Failed { error: error.clone() },
    }
}

fn transport(transport: &Transport) -> &'static str {
    match transport {
        Transport::Plain => "plain",
        Transport::Tls { .. } => "tls",
        Transport::Https { .. } => "https",
    }
}

#[cfg(test)]
mod tests;
