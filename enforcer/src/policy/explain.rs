//! Why a target passes or does not: the verdict that the kernel would reach, the whole chain behind it, and what to write.
//!
//! The verdict is not worked out a second time: packets are built and judged by the code of `enforcer-common`, over the
//! table that the policy would publish. What stands around it (rules, names, answers) is for people.

mod chain;
mod model;
mod show;
mod suggest;
mod target;
mod trial;

use std::net::IpAddr;
use std::time::Instant;

use enforcer_common::table::{Generation, Settings as Word};

pub use model::*;
pub use target::{Host, Target, TargetError};
pub use trial::Protocol;

use self::trial::Outcome;
use super::grants::grants;
use super::table::{HostTables, Table, TableError};
use crate::config::{Config, Existing, Mode, Quic, ServerNames, Upstream, is_loopback};
use crate::endpoints::{Endpoint, GrantedName};
use crate::names::ServerName;
use crate::resolve::{NameSnapshot, Snapshot};

/// What is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    /// Whom a client connects to.
    pub target: Target,
    /// The server name that its session asks for, as it is sent; empty for none. `None` is the target's name, and for an
    /// address that none is known.
    pub server_name: Option<String>,
    /// Over which protocol.
    pub protocol: Protocol,
}

/// A policy at one moment, and what is remembered beside it.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// What its rules let through.
    pub endpoints: &'a [Endpoint],
    /// The server names that sessions may carry, and where.
    pub names: &'a [GrantedName],
    /// Whom enforcer asks; none where its own packets are not judged.
    pub upstreams: &'a [Upstream],
    /// What is known about the names of the policy.
    pub answers: &'a Snapshot,
    /// What the names of the query resolve to where the policy does not ask for them: looked up for this explanation.
    pub looked_up: &'a Snapshot,
    /// The name that an address was answered for at any time since the start, and why it was refused if it was.
    pub remembered: &'a dyn Fn(IpAddr) -> Option<(ServerName, Option<String>)>,
    /// The time to which what is left of TTLs refers.
    pub now: Instant,
}

impl Situation<'_> {
    /// What the policy's answers say about `name`, otherwise what was looked up; and whether it is the former.
    fn answer(&self, name: &ServerName) -> Option<(&NameSnapshot, bool)> {
        let of = |snapshot: &'_ Snapshot| snapshot.names.iter().position(|known| known.name == *name);
        if let Some(at) = of(self.answers) {
            return Some((self.answers.names[at].as_ref(), true));
        }
        of(self.looked_up).map(|at| (self.looked_up.names[at].as_ref(), false))
    }

    /// The scopes in which a server name is granted, as a bitmap; 0 is nowhere.
    fn scopes_of(&self, name: &ServerName) -> u64 {
        let granted = self.names.iter().filter(|granted| granted.name.matches(name));
        granted.fold(0, |scopes, granted| scopes | granted.scopes.bits())
    }
}

/// Works out what becomes of `query`, and why.
///
/// # Errors
/// The policy does not fit the kernel's tables, so that it could not be in force.
pub fn explain(situation: &Situation<'_>, query: &Query) -> Result<Explanation, TableError> {
    let config = situation.config;
    let ports = &config.enforce.ports;
    let port = query.target.port.unwrap_or_else(|| default_port(ports));
    let grants = grants(situation.endpoints, situation.answers, situation.upstreams, ports);
    let mut table = Table::new(situation.config.enforce.capacity);
    table.fill(&grants, situation.names)?;
    let tables = HostTables {
        table: &table,
        settings: word(config),
        generation: Generation(1),
    };
    let target_name = match &query.target.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    };
    let session_name = match (&query.server_name, query.protocol) {
        (Some(text), _) => Some(text.clone()),
        (None, Protocol::Tcp) => target_name.map(ToString::to_string),
        (None, Protocol::Udp) => None,
    };
    let addresses: Vec<IpAddr> = match &query.target.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => situation.answer(name).map_or_else(Vec::new, |(known, _)| {
            known.addresses.iter().map(|known| known.address).collect()
        }),
    };
    let judged: Vec<(IpAddr, Outcome)> = addresses
        .iter()
        .map(|address| {
            // The hooks of `connect` and the kernel itself take it for loopback.
            let outcome = if address.is_unspecified() {
                Outcome::Ignored
            } else {
                trial::run(
                    &tables,
                    ports,
                    query.protocol,
                    *address,
                    port,
                    session_name.as_deref(),
                )
            };
            (*address, outcome)
        })
        .collect();
    let case = Case {
        situation,
        query,
        port,
        session_name: session_name.as_deref(),
        judged: &judged,
    };
    let verdict = case.verdict();
    let names = case.names();
    let mut suggestions = Vec::new();
    if !verdict.is_good() {
        suggestions = suggest::suggestions(&case);
    }
    let reason = judged.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Denied(reason) => Some(Why {
            name: reason.name().to_owned(),
            what: reason.explain().to_owned(),
            hint: reason.hint().to_owned(),
        }),
        _ => None,
    });
    Ok(Explanation {
        version: VERSION,
        target: query.target.host.to_string(),
        port,
        protocol: query.protocol.name().to_owned(),
        mode: match config.mode {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }
        .to_owned(),
        verdict,
        summary: case.summary(verdict, reason.as_ref()),
        reason,
        names,
        addresses: judged
            .iter()
            .map(|(address, outcome)| case.address(*address, *outcome))
            .collect(),
        notes: case.notes(verdict),
        suggestions,
        server_name: session_name,
    })
}

/// 443 where it is filtered, otherwise the first filtered port.
fn default_port(ports: &[u16]) -> u16 {
    const HTTPS: u16 = 443;
    if ports.contains(&HTTPS) {
        HTTPS
    } else {
        ports.first().copied().unwrap_or(HTTPS)
    }
}

/// The settings as the kernel's word has them.
fn word(config: &Config) -> Word {
    let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
    Word(
        bit(config.mode == Mode::Audit, Word::AUDIT)
            | bit(config.enforce.quic == Quic::Allow, Word::QUIC_ALLOWED)
            | bit(config.enforce.existing == Existing::Allow, Word::EXISTING_ALLOWED),
    )
}

/// A query with its verdicts, from which everything else is told.
struct Case<'a> {
    situation: &'a Situation<'a>,
    query: &'a Query,
    port: u16,
    /// The server name of the session, as it is sent.
    session_name: Option<&'a str>,
    /// The addresses and what becomes of packets to them.
    judged: &'a [(IpAddr, Outcome)],
}

impl Case<'_> {
    fn target_name(&self) -> Option<&ServerName> {
        match &self.query.target.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// The name that a session asks for, where it is one that a rule could carry.
    fn asked_name(&self) -> Option<ServerName> {
        let text = self.session_name?;
        // Otherwise the kernel would see another name than this one.
        ServerName::parse(text)
            .ok()
            .filter(|name| name.as_str().eq_ignore_ascii_case(text))
    }

    fn is_filtered(&self) -> bool {
        self.situation.config.enforce.ports.contains(&self.port)
    }

    fn verdict(&self) -> Verdict {
        let verdicts: Vec<Verdict> = self.judged.iter().map(|(_, outcome)| verdict(*outcome)).collect();
        let Some(first) = verdicts.first().copied() else {
            return self.verdict_without_address();
        };
        if verdicts.iter().all(|verdict| *verdict == first) {
            first
        } else if verdicts.iter().all(|verdict| verdict.is_good()) {
            Verdict::Passes
        } else {
            Verdict::Partly
        }
    }

    /// What holds whatever the address of the target: where its name counts nowhere it is denied, unless an address is
    /// granted without a name.
    fn verdict_without_address(&self) -> Verdict {
        if !self.is_filtered() {
            return Verdict::NotJudged;
        }
        if self.query.protocol == Protocol::Udp && self.situation.config.enforce.quic == Quic::Deny {
            return Verdict::Denied;
        }
        let is_followed = self
            .target_name()
            .is_some_and(|name| matches!(self.situation.answer(name), Some((_, true))));
        if is_followed {
            // Its addresses would be granted, but there are none.
            return Verdict::Denied;
        }
        let is_open = self
            .situation
            .endpoints
            .iter()
            .any(|endpoint| endpoint.condition == crate::endpoints::Condition::Unconditional);
        let counts = self
            .asked_name()
            .is_some_and(|name| self.situation.scopes_of(&name) != 0);
        if is_open || counts {
            Verdict::Unknown
        } else {
            Verdict::Denied
        }
    }

    fn summary(&self, verdict: Verdict, reason: Option<&Why>) -> String {
        match verdict {
            Verdict::NotJudged if !self.is_filtered() => format!(
                "port {} is not filtered: enforcer looks at {} only",
                self.port,
                list(&self.situation.config.enforce.ports)
            ),
            Verdict::NotJudged => "what goes to loopback is not judged".to_owned(),
            Verdict::Passes | Verdict::PassesUnderNames if self.judged.len() > 1 => {
                format!("all of its {} addresses are granted", self.judged.len())
            }
            Verdict::Passes => "its address is granted".to_owned(),
            Verdict::PassesUnderNames => {
                "the address is granted for TLS sessions that ask for one of the server names below; others are denied"
                    .to_owned()
            }
            Verdict::Denied if self.judged.is_empty() => self.why_without_address(),
            Verdict::Denied => reason.map_or_else(String::new, |reason| reason.what.clone()),
            Verdict::Partly => {
                let good = self.judged.iter().filter(|(_, outcome)| verdict_is_good(*outcome));
                format!("{} of its {} addresses pass", good.count(), self.judged.len())
            }
            Verdict::Unknown => {
                "its addresses are not known here: it passes only at addresses that the policy grants".to_owned()
            }
        }
    }

    fn why_without_address(&self) -> String {
        if self.query.protocol == Protocol::Udp && self.situation.config.enforce.quic == Quic::Deny {
            return enforcer_common::Reason::QuicDenied.explain().to_owned();
        }
        let is_followed = self
            .target_name()
            .is_some_and(|name| matches!(self.situation.answer(name), Some((_, true))));
        if is_followed {
            "a rule grants it, but it has no address that could be granted".to_owned()
        } else {
            "no rule grants this name, and its addresses are not known here".to_owned()
        }
    }

    fn notes(&self, verdict: Verdict) -> Vec<String> {
        let config = self.situation.config;
        let mut notes = Vec::new();
        if config.mode == Mode::Audit && !verdict.is_good() {
            notes.push("the mode is `audit`: it is reported, and passes all the same".to_owned());
        }
        if config.enforce.server_names == ServerNames::Off && self.query.protocol == Protocol::Tcp {
            notes.push(
                "server names are not looked at (`server_name = \"off\"` under [enforce]): whoever shares an address with what \
                 is granted is reached too"
                    .to_owned(),
            );
        }
        if self.query.protocol == Protocol::Udp && self.is_filtered() {
            notes.push(match config.enforce.quic {
                Quic::Deny => "clients that are denied UDP fall back to TCP".to_owned(),
                Quic::Allow => "UDP is judged by its address alone: no server name is asked for".to_owned(),
            });
        }
        for (address, _) in self.judged {
            if address.is_unspecified() {
                notes.push(format!("the kernel takes {address} for loopback"));
            } else if is_loopback(*address) && self.target_name().is_some() {
                notes.push(format!("{address} is loopback, which is not judged"));
            }
        }
        if let Some(name) = &self.query.server_name
            && !name.is_empty()
            && self.asked_name().is_none()
        {
            notes.push(format!("{} is no name that a rule can grant", shown(name)));
        }
        notes
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Ignored => Verdict::NotJudged,
        Outcome::Granted => Verdict::Passes,
        Outcome::GrantedUnderNames => Verdict::PassesUnderNames,
        Outcome::Denied(_) => Verdict::Denied,
    }
}

fn verdict_is_good(outcome: Outcome) -> bool {
    verdict(outcome).is_good()
}

/// Text that somebody else chose, as a terminal may be given it.
fn shown(text: &str) -> String {
    format!("`{}`", text.escape_default())
}

fn list(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

#[cfg(test)]
mod tests;
