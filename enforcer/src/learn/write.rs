//! The configuration that is written: rules with what was seen beside them, and the rest as comments.
//!
//! A name is written only where it is a valid [`ServerName`], which has no character that means anything to TOML. Whatever
//! else was observed stands in comments, as printable ASCII.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::gather::{Gathered, Seen, Unnamed};
use super::observation::Coverage;
use super::{minute, times};
use crate::config::proposal::{Proposal, propose};
use crate::config::{Mode, PORTS_MAX, RULES_MAX};
use crate::names::ServerName;
use crate::special;

/// Most lines about what has no name.
const UNNAMED_MAX: usize = 500;
/// Most processes that are named in one line.
const SHOWN_MAX: usize = 4;
/// Where a remark is broken into lines.
const WIDTH: usize = 116;

/// The text of a configuration that grants what was gathered, as far as that can be named.
#[must_use]
pub fn configuration(gathered: &Gathered, coverage: &Coverage, mode: Mode) -> String {
    let mut text = String::new();
    head(&mut text, coverage, mode);
    let names: BTreeSet<ServerName> = gathered.names.keys().cloned().collect();
    let (risky, mut granted): (Vec<_>, Vec<_>) = propose(&names, &[]).into_iter().partition(|proposal| {
        proposal
            .risk
            .is_some_and(|risk| risk.is_shared || risk.is_blob_storage())
    });
    let too_many = granted.split_off(granted.len().min(RULES_MAX));
    if granted.is_empty() {
        remark(
            &mut text,
            "Nothing was seen that could be granted by name. A configuration needs a rule: this is an address that nobody has.",
        );
        text.push_str("[[allow]]\nprefix = \"192.0.2.0/32\"\n\n");
    }
    for proposal in &granted {
        rule(&mut text, proposal, gathered, "");
    }
    for proposal in &too_many {
        remark(
            &mut text,
            &format!("NOT GRANTED: a configuration has {RULES_MAX} rules at the most."),
        );
        rule(&mut text, proposal, gathered, "# ");
    }
    if !risky.is_empty() {
        remark(
            &mut text,
            "NOT GRANTED, for it lets through what anybody can have. Take the marks away in front of what can not be avoided.",
        );
        text.push('\n');
    }
    for proposal in &risky {
        rule(&mut text, proposal, gathered, "# ");
    }
    unnamed(&mut text, &gathered.unnamed);
    ports(&mut text, &gathered.ports);
    while text.ends_with("\n\n") {
        text.pop();
    }
    text
}

fn head(text: &mut String, coverage: &Coverage, mode: Mode) {
    let when = match (coverage.from, coverage.to) {
        (Some(from), Some(to)) => format!(" from {} to {} UTC", minute(from), minute(to)),
        _ => String::new(),
    };
    remark(
        text,
        &format!(
            "Written by `enforcer learn` from {} events{when}.",
            coverage.events
        ),
    );
    remark(
        text,
        "Read it before it is enforced: whatever was asked for is in it, also what should not have been.",
    );
    if coverage.suppressed > 0 {
        remark(
            text,
            &format!(
                "INCOMPLETE: {} more denials were too many to be told of; what they were about may be missing.",
                coverage.suppressed
            ),
        );
    }
    if coverage.suppressed_granted > 0 {
        remark(
            text,
            &format!(
                "INCOMPLETE: {} more granted connections were too many to be told of.",
                coverage.suppressed_granted
            ),
        );
    }
    if coverage.missed > 0 {
        remark(
            text,
            &format!(
                "INCOMPLETE: {} events were forgotten before they were read.",
                coverage.missed
            ),
        );
    }
    if coverage.unreadable > 0 {
        remark(
            text,
            &format!("INCOMPLETE: {} lines could not be read.", coverage.unreadable),
        );
    }
    if !coverage.has_allowed {
        remark(
            text,
            "Granted connections were not told of: what the policy of that time let through may be missing.",
        );
    }
    text.push_str(match mode {
        Mode::Audit => "mode = \"audit\"      # \"enforce\" when nothing is reported any more\n\n",
        Mode::Enforce => "mode = \"enforce\"\n\n",
    });
}

/// One rule, behind what was seen of its names; each of its lines behind `mark`.
fn rule(text: &mut String, proposal: &Proposal, gathered: &Gathered, mark: &str) {
    for name in &proposal.names {
        if let Some(seen) = gathered.names.get(name) {
            remark(text, &format!("{name}: {}", words(seen)));
            if !seen.is_asked_for {
                remark(
                    text,
                    "  (no session told this name: the addresses were answered for it)",
                );
            }
        }
    }
    for sentence in &proposal.remarks {
        remark(text, &format!("Note: {sentence}."));
    }
    if let (Some(risk), Some(name)) = (proposal.risk, proposal.names.first()) {
        remark(text, &format!("Risk: {}.", risk.words(name)));
    }
    let private = private_link(proposal, gathered);
    for line in proposal.lines.iter().chain(&private) {
        let _ = writeln!(text, "{mark}{line}");
    }
    text.push('\n');
}

/// Where answers for its names may lie, when they were seen at private addresses.
fn private_link(proposal: &Proposal, gathered: &Gathered) -> Option<String> {
    let seen = proposal.names.iter().filter_map(|name| gathered.names.get(name));
    let networks: BTreeSet<IpNet> = seen
        .flat_map(|seen| &seen.addresses)
        .filter(|address| {
            special::judge(**address, &[]).is_err()
                && special::judge(**address, &[IpNet::from(**address)]).is_ok()
        })
        .map(|address| network(*address))
        .collect();
    if networks.is_empty() {
        return None;
    }
    let quoted: Vec<String> = networks.iter().map(|net| format!("\"{net}\"")).collect();
    Some(format!("private_link = [{}]", quoted.join(", ")))
}

/// The network that an address is likely to be in. It grants nothing by itself.
fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 64 };
    IpNet::new(address, length).map_or_else(|_| IpNet::from(address), |net| net.trunc())
}

/// `12 times by skopeo (docker.service), last 2026-11-22 14:10`.
fn words(seen: &Seen) -> String {
    let mut by: Vec<(&String, &u64)> = seen.by.iter().collect();
    by.sort_by(|one, two| two.1.cmp(one.1).then_with(|| one.0.cmp(two.0)));
    let more = by.len().saturating_sub(SHOWN_MAX);
    let shown: Vec<&str> = by.iter().take(SHOWN_MAX).map(|(who, _)| who.as_str()).collect();
    let mut words = format!("{} by {}", times(seen.count), shown.join(", "));
    if more > 0 {
        let _ = write!(words, " and {more} more");
    }
    if let Some(last) = seen.last {
        let _ = write!(words, ", last {}", minute(last));
    }
    words
}

fn unnamed(text: &mut String, list: &[Unnamed]) {
    if list.is_empty() {
        return;
    }
    remark(text, "What can not be granted by name, and is not granted here:");
    for unnamed in list.iter().take(UNNAMED_MAX) {
        let destination = unnamed.destination.as_deref().unwrap_or("an unknown destination");
        let mut line = format!("  {destination} over {}", unnamed.protocol);
        if let Some(name) = &unnamed.server_name {
            let _ = write!(line, ", asking for {name}");
        }
        let _ = write!(line, ": {}", words(&unnamed.seen));
        match unnamed.reason.as_deref() {
            Some(reason) => {
                let _ = write!(line, " [{reason}]");
            }
            None => line.push_str(" [granted without a name then]"),
        }
        remark(text, &line);
    }
    if list.len() > UNNAMED_MAX {
        remark(text, &format!("  ... and {} more", list.len() - UNNAMED_MAX));
    }
    remark(
        text,
        "Look each of them up with `enforcer explain ADDRESS`. UDP is QUIC, and clients fall back to TCP without it.",
    );
    text.push('\n');
}

fn ports(text: &mut String, ports: &BTreeSet<u16>) {
    let quoted: Vec<String> = ports.iter().map(u16::to_string).collect();
    if ports.len() > PORTS_MAX {
        remark(
            text,
            &format!(
                "{} ports were met, {PORTS_MAX} are the most that can be filtered.",
                ports.len()
            ),
        );
    } else if !ports.is_empty() && quoted != ["443"] {
        let mut all = ports.clone();
        if all.len() < PORTS_MAX {
            all.insert(443);
        }
        let quoted: Vec<String> = all.iter().map(u16::to_string).collect();
        let _ = write!(text, "[enforce]\nports = [{}]\n\n", quoted.join(", "));
    }
}

/// A comment, broken into lines between words.
fn remark(text: &mut String, words: &str) {
    let indent: String = words.chars().take_while(|character| *character == ' ').collect();
    let mut line = format!("# {indent}");
    let mut is_first = true;
    for word in words.split_ascii_whitespace() {
        if !is_first && line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = format!("#   {indent}{word}");
            continue;
        }
        if !is_first {
            line.push(' ');
        }
        line.push_str(word);
        is_first = false;
    }
    let _ = writeln!(text, "{line}");
}
