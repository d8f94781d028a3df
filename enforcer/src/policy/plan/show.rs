//! A plan as a person reads it.

use std::fmt;

use super::diff::{Against, Moved, Reach};
use super::{Answered, Change, ChangedName, EndpointPlan, NamePlan, Outcome, Plan, RulePlan, UpstreamPlan};
use crate::config::{Existing, Mode, Place, Quic, ServerNames};
use crate::elapsed::Elapsed;

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let udp = match self.quic {
            Quic::Deny => "UDP to them denied",
            Quic::Allow => "UDP judged by its address",
        };
        let names = match self.server_names {
            ServerNames::Require => "server names required",
            ServerNames::Off => "SERVER NAMES NOT LOOKED AT",
        };
        let before = match (self.server_names, self.existing) {
            (ServerNames::Require, Existing::Allow) => ", connections from before let be",
            (ServerNames::Require, Existing::Deny) | (ServerNames::Off, _) => "",
        };
        writeln!(
            out,
            "mode {}, ports {}, {udp}, {names}{before}",
            mode(self.mode),
            ports.join(" ")
        )?;
        for file in &self.service_tag_files {
            writeln!(out, "service tags {}", file.words)?;
        }
        for caution in &self.cautions {
            writeln!(out, "CAUTION: {caution}")?;
        }
        for rule in &self.rules {
            writeln!(out, "\n{rule}")?;
        }
        if !self.upstreams.is_empty() {
            writeln!(out, "\nresolver: granted so that enforcer can ask for names")?;
            for upstream in &self.upstreams {
                writeln!(out, "  {upstream}")?;
            }
        }
        write!(out, "\n{}", self.change)
    }
}

impl fmt::Display for RulePlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "rule {}: {}  ({})",
            self.rule,
            self.title,
            place(&self.place)
        )?;
        if let Some(reason) = &self.accepted_risk {
            write!(out, "\n  exfiltration risk accepted: {reason}")?;
        }
        write!(out, "\n  server names: {}", self.server_names)?;
        if !self.sanity_tags.is_empty() {
            let tags = self.sanity_tags.join(", ");
            write!(out, "\n  public answers are refused outside of {tags}")?;
        }
        for endpoint in &self.endpoints {
            write!(out, "\n{endpoint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for EndpointPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.words();
        match &self.outcome {
            Outcome::Name(name) => write!(out, "  {role} {name}"),
            Outcome::Pattern { pattern, needs } => {
                write!(out, "  {role} {pattern}")?;
                match needs {
                    Some(advice) => write!(
                        out,
                        "\n    no addresses yet, for a pattern can not be resolved: {advice}"
                    ),
                    None => Ok(()),
                }
            }
            Outcome::Prefix { prefix } => write!(out, "  {role} {prefix}"),
            Outcome::ServiceTag {
                service_tag,
                ipv4_prefixes,
                ipv6_prefixes,
                ..
            } => write!(
                out,
                "  {role} {service_tag} ({ipv4_prefixes} IPv4 and {ipv6_prefixes} IPv6 prefixes)"
            ),
        }
    }
}

impl fmt::Display for NamePlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.name)?;
        for target in &self.chain {
            write!(out, "\n    -> {target}")?;
        }
        let width = self
            .addresses
            .iter()
            .map(|known| known.address.to_string().len())
            .chain(
                self.refused
                    .iter()
                    .map(|refused| refused.address.to_string().len()),
            )
            .max()
            .unwrap_or(0);
        for known in &self.addresses {
            let address = known.address.to_string();
            write!(out, "\n    {address:width$}  ttl {}", Elapsed(known.ttl_left))?;
            if let Some(left) = known.retires_in {
                write!(out, ", left the answers, kept for {}", Elapsed(left))?;
            }
        }
        for refused in &self.refused {
            let address = refused.address.to_string();
            write!(out, "\n    {address:width$}  refused: {}", refused.why)?;
        }
        answered(out, "IPv4", &self.a)?;
        answered(out, "IPv6", &self.aaaa)?;
        if self.addresses.is_empty() {
            write!(out, "\n    nothing is granted for it")?;
        }
        Ok(())
    }
}

/// What is worth a line about one family; that a name has no addresses of it is not.
fn answered(out: &mut fmt::Formatter<'_>, family: &str, state: &Answered) -> fmt::Result {
    match state {
        Answered::Fresh | Answered::Empty => Ok(()),
        Answered::Unasked => write!(out, "\n    {family}: no answer within the time limit"),
        Answered::Stale { age, error } => {
            write!(out, "\n    {family}: stale, last answered {age} ago: {error}")
        }
        Answered::Failed { error } => write!(out, "\n    {family}: {error}"),
    }
}

impl fmt::Display for UpstreamPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.address, self.transport)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.against {
            Against::Unread { why } => {
                write!(
                    out,
                    "what is loaded could not be read ({why}), compared with nothing:"
                )?;
            }
            Against::Nothing => write!(out, "no enforcer runs here, compared with nothing:")?,
            Against::Policy {
                generation,
                mode_changes,
            } => {
                write!(out, "compared with generation {generation}, which is loaded:")?;
                if *mode_changes {
                    write!(out, "\n  ~ the mode changes")?;
                }
            }
        }
        let lines: Vec<_> = self
            .additions
            .iter()
            .map(|added| ('+', added.span.to_string(), added.source.to_string()))
            .chain(
                self.removals
                    .iter()
                    .map(|removed| ('-', removed.span.to_string(), removed.source.to_string())),
            )
            .chain(
                self.moves
                    .iter()
                    .map(|moved| ('~', moved.span.to_string(), moved.to_string())),
            )
            .chain(self.names_added.iter().map(|name| name_line('+', name)))
            .chain(self.names_removed.iter().map(|name| name_line('-', name)))
            .collect();
        let width = lines.iter().map(|(_, what, _)| what.len()).max().unwrap_or(0);
        for (sign, what, whose) in lines {
            write!(out, "\n  {sign} {what:width$}  {whose}")?;
        }
        write!(
            out,
            "\n{} to add, {} to remove, {} to move to another rule or other names, {} unchanged; names: {} to add, {} to remove",
            self.additions.len(),
            self.removals.len(),
            self.moves.len(),
            self.unchanged,
            self.names_added.len(),
            self.names_removed.len()
        )
    }
}

fn name_line(sign: char, changed: &ChangedName) -> (char, String, String) {
    let whose = match changed.at {
        Reach::Policy => "a server name of the policy",
        Reach::Prefixes => "a server name at prefixes",
    };
    (sign, changed.name.clone(), whose.to_owned())
}

impl fmt::Display for Moved {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.from)?;
        if self.to != self.from {
            write!(out, " -> {}", self.to)?;
        }
        if self.to_names != self.from_names {
            write!(out, "; server names: {} -> {}", self.from_names, self.to_names)?;
        }
        Ok(())
    }
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
    }
}

pub(super) fn place(place: &Place) -> String {
    format!("{}:{}", place.file.display(), place.line)
}
