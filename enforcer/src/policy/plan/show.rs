//! A plan as a person reads it.

use std::fmt;
use std::time::Duration;

use super::diff::Against;
use super::{Answered, Change, EndpointPlan, NamePlan, Outcome, Plan, RulePlan, UpstreamPlan};
use crate::config::{Mode, Place, Quic};

/// A duration in its largest unit or two: `9 s`, `3 min`, `2 h 5 min`, `4 d`.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match (seconds, minutes % 60) {
            (0..60, _) => write!(out, "{seconds} s"),
            (60..3600, _) => write!(out, "{minutes} min"),
            (3600..86_400, 0) => write!(out, "{hours} h"),
            (3600..86_400, minutes) => write!(out, "{hours} h {minutes} min"),
            _ => write!(out, "{} d", hours / 24),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let udp = match self.quic {
            Quic::Deny => "UDP to them denied",
            Quic::Allow => "UDP judged by its address",
        };
        writeln!(out, "mode {}, ports {}, {udp}", mode(self.mode), ports.join(" "))?;
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
            Outcome::Pattern { pattern } => write!(
                out,
                "  {role} {pattern}\n    not yet resolvable: enforced by name in a later version, nothing is granted for it"
            ),
            Outcome::Prefix { prefix } => write!(out, "  {role} {prefix}"),
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
            write!(
                out,
                "\n    {family}: stale, last answered {} ago: {error}",
                Elapsed(*age)
            )
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
            .chain(self.moves.iter().map(|moved| {
                let rules = format!("{} -> {}", moved.from, moved.to);
                ('~', moved.span.to_string(), rules)
            }))
            .collect();
        let width = lines.iter().map(|(_, span, _)| span.len()).max().unwrap_or(0);
        for (sign, span, source) in lines {
            write!(out, "\n  {sign} {span:width$}  {source}")?;
        }
        write!(
            out,
            "\n{} to add, {} to remove, {} to move to another rule, {} unchanged",
            self.additions.len(),
            self.removals.len(),
            self.moves.len(),
            self.unchanged
        )
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
