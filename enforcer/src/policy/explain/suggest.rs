//! What to write so that a denied target is granted, the best first.

use std::collections::BTreeSet;
use std::net::IpAddr;

use enforcer_common::Reason;
use ipnet::IpNet;

use super::Case;
use super::chain::place;
use super::model::{SuggestedChange, Suggestion};
use super::trial::{Outcome, Protocol};
use crate::config::proposal::{self, Proposal};
use crate::config::{LISTS_MAX, Names, Quic, RULES_MAX, RuleKind};
use crate::endpoints::{Condition, Scopes, Target};
use crate::names::{NameRule, ServerName};
use crate::special;

/// The suggestions for a case that does not pass.
pub(super) fn suggestions(case: &Case<'_>) -> Vec<Suggestion> {
    let is_quic_denied =
        case.query.protocol == Protocol::Udp && case.situation.config.enforce.quic == Quic::Deny;
    if !is_quic_denied {
        let denied = case.judged.iter().filter_map(|(address, outcome)| match outcome {
            Outcome::Denied(reason) => Some((*address, *reason)),
            _ => None,
        });
        return rules(case, &denied.collect::<Vec<_>>());
    }
    // UDP is denied wherever it goes; what else would deny it is the address.
    let denied: Vec<(IpAddr, Reason)> = case
        .judged
        .iter()
        .filter(|(address, _)| !case.is_granted(*address))
        .map(|(address, _)| (*address, Reason::AddressNotGranted))
        .collect();
    let rules = if case.judged.is_empty() || !denied.is_empty() {
        rules(case, &denied)
    } else {
        Vec::new()
    };
    vec![quic(rules.into_iter().next())]
}

/// UDP has to be allowed at all, before an address matters.
fn quic(rule: Option<Suggestion>) -> Suggestion {
    let mut suggestion = rule.unwrap_or_else(|| joined(Vec::new()));
    suggestion.changes.push(SuggestedChange {
        at: "[enforce]".to_owned(),
        line: "quic = \"allow\"".to_owned(),
    });
    suggestion.remarks.push(
        "then UDP is judged by its address alone, under any server name; clients fall back to TCP, so that nothing has to be done"
            .to_owned(),
    );
    suggestion
}

fn rules(case: &Case<'_>, denied: &[(IpAddr, Reason)]) -> Vec<Suggestion> {
    let known = &case.situation.config.rules;
    let mut found = Vec::new();
    if let Some(wanted) = wanted(case, denied) {
        let by_name = proposal::propose(&wanted.names, known);
        let by_name = (!by_name.is_empty()).then(|| joined(by_name));
        if wanted.is_enough {
            found.extend(by_name);
        } else {
            found.extend(pinned(case, denied, &wanted));
            found.extend(by_name.map(|mut suggestion| {
                let remark =
                    "enough only where the name resolves to the address; then it is followed when it moves";
                suggestion.remarks.push(remark.to_owned());
                suggestion
            }));
        }
    }
    if found.is_empty() {
        // No name that a rule could carry, or no room for it: the addresses as such.
        found.extend(by_addresses(denied));
    }
    let changes: Vec<SuggestedChange> = case
        .refused_names()
        .into_iter()
        .filter_map(|name| private_link(case, &name))
        .collect();
    match found.first_mut() {
        Some(first) if !changes.is_empty() => {
            first.changes.extend(changes);
            first.remarks.push(PRIVATE_ANSWERS.to_owned());
        }
        _ => {}
    }
    found.retain(|suggestion| {
        known.len()
            + suggestion
                .append
                .iter()
                .filter(|line| line.starts_with("[["))
                .count()
            <= RULES_MAX
    });
    found
}

/// What `private_link` means, where it is suggested.
const PRIVATE_ANSWERS: &str = "private addresses in answers are accepted where `private_link` says that they are expected: write \
                               the prefix of the network that the private endpoints are in";

/// Names that are to be granted.
struct Wanted {
    /// Those that no rule resolves yet.
    names: BTreeSet<ServerName>,
    /// The name that a session would ask for.
    session: ServerName,
    /// Whether granting the names grants the target, whatever they resolve to later.
    is_enough: bool,
}

/// What to grant by name; `None` where nothing can be.
fn wanted(case: &Case<'_>, denied: &[(IpAddr, Reason)]) -> Option<Wanted> {
    let is_resolved = |name: &ServerName| {
        let mut endpoints = case.situation.endpoints.iter();
        endpoints.any(|endpoint| endpoint.target == Target::Name(name.clone()))
    };
    let session = match (case.session_name, case.query.protocol) {
        (Some(_), Protocol::Tcp) => case.asked_name()?,
        _ => match case.target_name() {
            Some(name) => name.clone(),
            None => known_name(case, denied)?,
        },
    };
    let mut names = BTreeSet::new();
    // Its addresses have to be granted for somebody.
    if let Some(target) = case.target_name()
        && !is_resolved(target)
        && (denied.is_empty()
            || denied
                .iter()
                .any(|(_, reason)| *reason == Reason::AddressNotGranted))
    {
        names.insert(target.clone());
    }
    if !is_resolved(&session) {
        names.insert(session.clone());
    }
    // A name that a rule has already and that has no address does not get one by granting another.
    let is_waiting = denied.is_empty() && case.target_name().is_some_and(is_resolved);
    let mut is_enough = !names.is_empty() && !is_waiting;
    for (address, reason) in denied {
        // An address that the target's own name brings, or that is granted for names of the policy already.
        let brought = names.iter().any(|name| resolves_to(case, name, *address));
        let counts = *reason != Reason::AddressNotGranted
            && asks_for_policy(case, *address)
            && names.contains(&session);
        is_enough &= brought || counts;
    }
    Some(Wanted {
        names,
        session,
        is_enough,
    })
}

/// The name that an address without one is known by: only one that no rule grants is of use.
fn known_name(case: &Case<'_>, denied: &[(IpAddr, Reason)]) -> Option<ServerName> {
    let (address, _) = denied.first()?;
    let (name, refused) = (case.situation.remembered)(*address)?;
    refused.is_none().then_some(name)
}

fn resolves_to(case: &Case<'_>, name: &ServerName, address: IpAddr) -> bool {
    case.situation.answer(name).is_some_and(|(known, _)| {
        known
            .addresses
            .iter()
            .any(|known| known.address.to_canonical() == address)
    })
}

/// Whether names of the policy count at an address that is granted.
fn asks_for_policy(case: &Case<'_>, address: IpAddr) -> bool {
    let mut endpoints = case.situation.endpoints.iter();
    endpoints.any(|endpoint| {
        let asks = matches!(endpoint.condition, Condition::NameIn(scopes) if scopes.meets(Scopes::POLICY));
        asks && case.covers(endpoint, address)
    })
}

/// Granting the name at the very addresses.
fn pinned(case: &Case<'_>, denied: &[(IpAddr, Reason)], wanted: &Wanted) -> Option<Suggestion> {
    let addresses: Vec<IpAddr> = if denied.is_empty() {
        case.target_name()
            .map_or_else(Vec::new, |target| refused_addresses(case, target))
    } else {
        denied.iter().map(|(address, _)| *address).collect()
    };
    if addresses.is_empty() || !has_room_for_list(case, &wanted.session) {
        return None;
    }
    let proposals = addresses
        .iter()
        .map(|address| proposal::name_at(&wanted.session, IpNet::from(*address)))
        .collect();
    let mut suggestion = joined(proposals);
    warn_special(&addresses, &mut suggestion);
    Some(suggestion)
}

/// Whether the file may have one more list of server names, or has this one already.
fn has_room_for_list(case: &Case<'_>, name: &ServerName) -> bool {
    let only = [NameRule::Name(name.clone())];
    let lists: BTreeSet<&[NameRule]> = case
        .situation
        .config
        .rules
        .iter()
        .filter_map(|rule| match &rule.kind {
            RuleKind::Prefixes {
                names: Names::List(list),
                ..
            } => Some(&list[..]),
            _ => None,
        })
        .collect();
    lists.len() < LISTS_MAX || lists.contains(&only[..])
}

fn by_addresses(denied: &[(IpAddr, Reason)]) -> Option<Suggestion> {
    if denied.is_empty() {
        return None;
    }
    let addresses: Vec<IpAddr> = denied.iter().map(|(address, _)| *address).collect();
    let proposals = addresses
        .iter()
        .map(|address| proposal::prefix(IpNet::from(*address)));
    let mut suggestion = joined(proposals.collect());
    warn_special(&addresses, &mut suggestion);
    Some(suggestion)
}

fn warn_special(addresses: &[IpAddr], suggestion: &mut Suggestion) {
    for address in addresses {
        if let Err(why) = special::judge(*address, &[]) {
            suggestion.risks.push(format!(
                "{address} is special ({why}): no answer gets it granted, for names are pointed there to attack; be sure that it \
                 is meant"
            ));
        }
    }
}

fn refused_addresses(case: &Case<'_>, name: &ServerName) -> Vec<IpAddr> {
    case.situation.answer(name).map_or_else(Vec::new, |(known, _)| {
        let refused = known.refused.iter().map(|refused| refused.address.to_canonical());
        let addresses: BTreeSet<IpAddr> = refused.collect();
        addresses.into_iter().collect()
    })
}

/// Where a rule asks for the name, and its answer was refused for being private: `private_link` there.
fn private_link(case: &Case<'_>, name: &ServerName) -> Option<SuggestedChange> {
    let networks: BTreeSet<IpNet> = refused_addresses(case, name)
        .into_iter()
        // What a prefix can cover; loopback and its like never are.
        .filter(|address| special::judge(*address, &[IpNet::from(*address)]).is_ok())
        .map(network)
        .collect();
    let mut endpoints = case.situation.endpoints.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.target == Target::Name(name.clone()))?;
    let mut rules = case.situation.config.rules.iter();
    let rule = rules.find(|rule| rule.id == endpoint.rule)?;
    if networks.is_empty() {
        return None;
    }
    let all: BTreeSet<IpNet> = rule.private_link.iter().copied().chain(networks).collect();
    let quoted: Vec<String> = all.iter().map(|net| format!("\"{net}\"")).collect();
    Some(SuggestedChange {
        at: format!("the rule at {}", place(&rule.place)),
        line: format!("private_link = [{}]", quoted.join(", ")),
    })
}

/// The network that an address is likely to be in.
fn network(address: IpAddr) -> IpNet {
    const SUBNET_V4: u8 = 24;
    const SUBNET_V6: u8 = 64;
    let length = if address.is_ipv4() { SUBNET_V4 } else { SUBNET_V6 };
    IpNet::new(address, length).map_or_else(|_| IpNet::from(address), |net| net.trunc())
}

/// Several rules as one suggestion.
fn joined(proposals: Vec<Proposal>) -> Suggestion {
    let mut suggestion = Suggestion {
        append: Vec::new(),
        changes: Vec::new(),
        remarks: Vec::new(),
        risks: Vec::new(),
    };
    for proposal in proposals {
        if !suggestion.append.is_empty() {
            suggestion.append.push(String::new());
        }
        suggestion.append.extend(proposal.lines);
        if let Some(change) = proposal.change {
            let change = SuggestedChange {
                at: format!("the rule at {}", place(&change.place)),
                line: change.line,
            };
            if !suggestion.changes.contains(&change) {
                suggestion.changes.push(change);
            }
        }
        for remark in proposal.remarks {
            if !suggestion.remarks.contains(&remark) {
                suggestion.remarks.push(remark);
            }
        }
        if let (Some(risk), Some(name)) = (proposal.risk, proposal.names.first()) {
            let words = risk.words(name);
            if !suggestion.risks.contains(&words) {
                suggestion.risks.push(words);
            }
        }
    }
    suggestion
}
