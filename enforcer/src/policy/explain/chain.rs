//! The chain behind a verdict: which rules, which names, which answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use enforcer_common::Reason;

use super::model::{
    AddressExplanation, AnswerExplanation, Answered, AnsweredAddress, CountingNames, KnownAs,
    NameExplanation, RefusedAddress, RuleExplanation, Verdict,
};
use super::trial::Outcome;
use super::{Case, Host, verdict};
use crate::config::{Config, Place, RuleKind};
use crate::elapsed::Elapsed;
use crate::endpoints::{Condition, Endpoint, GrantedName, Scopes, Target, filtered_upstreams};
use crate::names::{NameRule, ServerName};
use crate::resolve::{FamilyState, NOT_ASKED_YET, NameSnapshot, Standing};
use crate::special;

impl Case<'_> {
    /// The target and the server name, where they are names.
    pub(super) fn names(&self) -> Vec<NameExplanation> {
        let mut names: Vec<ServerName> = self.target_name().cloned().into_iter().collect();
        names.extend(self.asked_name());
        names.dedup();
        names.iter().map(|name| self.name(name)).collect()
    }

    fn name(&self, name: &ServerName) -> NameExplanation {
        let situation = self.situation;
        let mut granted_by: Vec<RuleExplanation> = situation
            .endpoints
            .iter()
            .filter(|endpoint| match &endpoint.target {
                Target::Name(granted) => granted == name,
                Target::Pattern(pattern) => pattern.matches(name),
                Target::Prefix(_) | Target::Tag(_) => false,
            })
            .map(|endpoint| rule_of(situation.config, endpoint))
            .collect();
        granted_by.extend(self.lists_with(name));
        let answer = situation
            .answer(name)
            .map(|(known, is_followed)| answer(known, is_followed, situation.now));
        NameExplanation {
            name: name.to_string(),
            granted_by,
            answer,
        }
    }

    /// The prefixes whose own list of server names has the name.
    fn lists_with(&self, name: &ServerName) -> Vec<RuleExplanation> {
        let mut found = Vec::new();
        for rule in &self.situation.config.rules {
            let RuleKind::Prefixes {
                names: crate::config::Names::List(list),
                ..
            } = &rule.kind
            else {
                continue;
            };
            let by: Vec<&NameRule> = list.iter().filter(|granted| granted.matches(name)).collect();
            let endpoint = self
                .situation
                .endpoints
                .iter()
                .find(|known| known.rule == rule.id);
            if let (Some(granted), Some(endpoint)) = (by.first(), endpoint) {
                found.push(RuleExplanation {
                    by: granted.to_string(),
                    ..rule_of(self.situation.config, endpoint)
                });
            }
        }
        found
    }

    /// What becomes of packets to `address`, and why.
    pub(super) fn address(&self, address: IpAddr, outcome: Outcome) -> AddressExplanation {
        let situation = self.situation;
        let mut condition: Option<Condition> = None;
        let mut granted_by = Vec::new();
        for endpoint in situation
            .endpoints
            .iter()
            .filter(|endpoint| self.covers(endpoint, address))
        {
            condition = Some(condition.map_or(endpoint.condition, |known| known.or(endpoint.condition)));
            granted_by.push(rule_of(situation.config, endpoint));
        }
        let ports = &situation.config.enforce.ports;
        for upstream in filtered_upstreams(situation.upstreams, ports) {
            if upstream.address.ip().to_canonical() == address {
                condition = Some(Condition::Unconditional);
                granted_by.push(RuleExplanation {
                    rule: None,
                    title: "resolver: granted so that enforcer can ask for names".to_owned(),
                    place: None,
                    role: "name server".to_owned(),
                    by: upstream.address.to_string(),
                    accepted_risk: None,
                    asks_for_names: false,
                });
            }
        }
        let server_names = match condition {
            Some(Condition::NameIn(scopes)) => Some(counting(scopes, situation.names)),
            Some(Condition::Unconditional) | None => None,
        };
        AddressExplanation {
            address,
            verdict: verdict(outcome),
            reason: match outcome {
                Outcome::Denied(reason) => Some(Reason::name(reason).to_owned()),
                _ => None,
            },
            server_names,
            special: special::judge(address, &[]).err().map(str::to_owned),
            known_as: self.known_as(address, granted_by.is_empty()),
            granted_by,
        }
    }

    /// Whether an endpoint grants the address.
    pub(super) fn covers(&self, endpoint: &Endpoint, address: IpAddr) -> bool {
        match &endpoint.target {
            Target::Name(name) => self.situation.answers.names.iter().any(|known| {
                known.name == *name
                    && known
                        .addresses
                        .iter()
                        .any(|known| known.address.to_canonical() == address)
            }),
            Target::Prefix(prefix) => prefix.contains(&address),
            Target::Tag(tag) => tag.0.prefixes.contains(address),
            Target::Pattern(_) => false,
        }
    }

    /// Whether any rule grants the address, or enforcer for itself.
    pub(super) fn is_granted(&self, address: IpAddr) -> bool {
        let situation = self.situation;
        let mut endpoints = situation.endpoints.iter();
        let mut upstreams = filtered_upstreams(situation.upstreams, &situation.config.enforce.ports);
        endpoints.any(|endpoint| self.covers(endpoint, address))
            || upstreams.any(|upstream| upstream.address.ip().to_canonical() == address)
    }

    /// The names of the policy whose answers were refused: the target, or those that were answered with it.
    pub(super) fn refused_names(&self) -> Vec<ServerName> {
        let is_meant = |known: &NameSnapshot| match &self.query.target.host {
            Host::Name(name) => known.name == *name && !known.refused.is_empty(),
            Host::Address(address) => {
                let mut refused = known.refused.iter();
                refused.any(|refused| refused.address.to_canonical() == *address)
            }
        };
        let mut names = Vec::new();
        for known in self.situation.answers.names.iter() {
            if is_meant(known) {
                names.push(known.name.clone());
            }
        }
        names
    }

    /// The names whose answers have the address; without any, the one that is remembered.
    fn known_as(&self, address: IpAddr, is_stranger: bool) -> Vec<KnownAs> {
        let situation = self.situation;
        let mut seen: BTreeSet<&ServerName> = BTreeSet::new();
        let mut found = Vec::new();
        let followed = situation.answers.names.iter().map(|known| (known, true));
        let others = situation.looked_up.names.iter().map(|known| (known, false));
        for (known, is_followed) in followed.chain(others) {
            if let Some(standing) = standing(known, is_followed, address, situation.now)
                && seen.insert(&known.name)
            {
                found.push(KnownAs {
                    name: known.name.to_string(),
                    standing,
                });
            }
        }
        if found.is_empty()
            && is_stranger
            && let Some((name, refused)) = (situation.remembered)(address)
        {
            let is_asked_for = situation.answers.names.iter().any(|known| known.name == name);
            let standing = match (refused, is_asked_for) {
                (Some(why), _) => format!("was answered with it since the start, and it was refused: {why}"),
                (None, true) => "had it in an answer since the start, and its grace period is over: the client holds on to an \
                                 old answer"
                    .to_owned(),
                (None, false) => "had it in an answer since the start, and no rule grants that name any more".to_owned(),
            };
            found.push(KnownAs {
                name: name.to_string(),
                standing,
            });
        }
        found
    }
}

/// The server names that count in these scopes.
fn counting(scopes: Scopes, names: &[GrantedName]) -> CountingNames {
    let counting = names.iter().filter(|granted| granted.scopes.meets(scopes));
    let mut names: Vec<String> = counting.map(|granted| granted.name.to_string()).collect();
    let omitted = names.len().saturating_sub(CountingNames::NAMES_MAX);
    names.truncate(CountingNames::NAMES_MAX);
    CountingNames {
        policy: scopes.meets(Scopes::POLICY),
        names,
        omitted,
    }
}

fn rule_of(config: &Config, endpoint: &Endpoint) -> RuleExplanation {
    let rule = config.rules.iter().find(|rule| rule.id == endpoint.rule);
    RuleExplanation {
        rule: Some(endpoint.rule.0),
        title: rule.map_or_else(String::new, |rule| rule.kind.to_string()),
        place: rule.map(|rule| place(&rule.place)),
        role: endpoint.role.words().to_owned(),
        by: match &endpoint.target {
            Target::Name(name) => name.to_string(),
            Target::Pattern(pattern) => pattern.to_string(),
            Target::Prefix(prefix) => prefix.to_string(),
            Target::Tag(tag) => tag.0.to_string(),
        },
        accepted_risk: rule.and_then(|rule| rule.accepted_risk.clone()),
        asks_for_names: endpoint.condition != Condition::Unconditional,
    }
}

/// `agent.toml:3`.
pub(super) fn place(place: &Place) -> String {
    format!("{}:{}", place.file.display(), place.line)
}

fn standing(
    known: &NameSnapshot,
    is_followed: bool,
    address: IpAddr,
    now: std::time::Instant,
) -> Option<String> {
    let refused = known
        .refused
        .iter()
        .find(|refused| refused.address.to_canonical() == address);
    if let Some(refused) = refused {
        return Some(format!(
            "was answered with it, and it is refused: {}",
            refused.why
        ));
    }
    let held = known
        .addresses
        .iter()
        .find(|held| held.address.to_canonical() == address)?;
    Some(match held.standing {
        _ if !is_followed => "has it in its answer; no rule asks for that name".to_owned(),
        Standing::Current => format!("has it in its answer, ttl {}", Elapsed(held.ttl_left(now))),
        Standing::Retired { until } => format!(
            "had it in an answer that is no longer the newest; kept for {}",
            Elapsed(until.saturating_duration_since(now))
        ),
    })
}

fn answer(known: &NameSnapshot, is_followed: bool, now: std::time::Instant) -> AnswerExplanation {
    AnswerExplanation {
        is_followed,
        chain: known.chain.iter().map(ToString::to_string).collect(),
        addresses: known
            .addresses
            .iter()
            .map(|address| AnsweredAddress {
                address: address.address,
                ttl_left_s: address.ttl_left(now).as_secs(),
                retires_in_s: match address.standing {
                    Standing::Current => None,
                    Standing::Retired { until } => Some(until.saturating_duration_since(now).as_secs()),
                },
            })
            .collect(),
        refused: known
            .refused
            .iter()
            .map(|refused| RefusedAddress {
                address: refused.address,
                why: refused.why.to_owned(),
            })
            .collect(),
        a: answered(&known.v4, now),
        aaaa: answered(&known.v6, now),
    }
}

fn answered(state: &FamilyState, now: std::time::Instant) -> Answered {
    let stale = |answered: &crate::resolve::LastAnswer, error: &str| {
        let age = answered.age(now);
        Answered::Stale {
            age_s: age.duration.as_secs(),
            is_at_least: age.is_lower_bound,
            error: error.to_owned(),
        }
    };
    match state {
        FamilyState::Unasked => Answered::Unasked,
        FamilyState::Fresh => Answered::Fresh,
        FamilyState::Empty => Answered::Empty,
        FamilyState::Restored { answered } => stale(answered, NOT_ASKED_YET),
        FamilyState::Stale { answered, error } => stale(answered, error),
        FamilyState::Failed { error } => Answered::Failed { error: error.clone() },
    }
}

impl Verdict {
    /// The mark in front of a line.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::NotJudged | Self::Passes | Self::PassesUnderNames => "+",
            Self::Partly | Self::Unknown => "~",
            Self::Denied => "-",
        }
    }
}
