//! An explanation as a person reads it.

use std::fmt;
use std::time::Duration;

use super::model::{
    AddressExplanation, AnswerExplanation, Answered, CountingNames, Explanation, NameExplanation,
    RuleExplanation, Suggestion,
};
use crate::elapsed::Elapsed;

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} port {} over {}", self.target, self.port, self.protocol)?;
        match &self.server_name {
            Some(name) if name.is_empty() => out.write_str(", without a server name")?,
            Some(name) if *name != self.target => write!(out, ", asking for {}", name.escape_default())?,
            _ => {}
        }
        let is_audit = self.mode == "audit" && !self.verdict.is_good();
        let would = if is_audit { "would be " } else { "" };
        write!(out, ": {would}{}", self.verdict.words())?;
        write!(out, "\n  {}", self.summary)?;
        if let Some(reason) = &self.reason {
            write!(out, " [{}]", reason.name)?;
        }
        for note in &self.notes {
            write!(out, "\n  {note}")?;
        }
        for name in &self.names {
            write!(out, "\n\n{name}")?;
        }
        for (position, (addresses, words)) in alike(&self.addresses).into_iter().enumerate() {
            let gap = if position == 0 { "\n\n" } else { "\n" };
            let mark = addresses[0].verdict.mark();
            let each: Vec<String> = addresses.iter().map(|known| known.address.to_string()).collect();
            let noun = if each.len() == 1 { "address" } else { "addresses" };
            write!(out, "{gap}{mark} {noun} {}: {words}", each.join(", "))?;
        }
        for (position, suggestion) in self.suggestions.iter().enumerate() {
            let lead = if position == 0 {
                "to let it through:"
            } else {
                "or:"
            };
            write!(out, "\n\n{lead}{suggestion}")?;
        }
        if !self.verdict.is_good() && self.suggestions.is_empty() {
            if let Some(reason) = &self.reason {
                write!(out, "\n\nwhat to do: {}", reason.hint)?;
            } else {
                write!(
                    out,
                    "\n\nno line of configuration helps: the name has to resolve to addresses that can be granted"
                )?;
            }
        }
        Ok(())
    }
}

/// Addresses of which the same is to be said stand together, where the first of them stands.
fn alike(addresses: &[AddressExplanation]) -> Vec<(Vec<&AddressExplanation>, String)> {
    let mut groups: Vec<(Vec<&AddressExplanation>, String)> = Vec::new();
    for address in addresses {
        let words = address.to_string();
        match groups.iter_mut().find(|(_, known)| *known == words) {
            Some((group, _)) => group.push(address),
            None => groups.push((vec![address], words)),
        }
    }
    groups
}

impl fmt::Display for RuleExplanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule, &self.place) {
            (Some(rule), Some(place)) => write!(out, "rule {rule}: {}  ({place})", self.title)?,
            (Some(rule), None) => write!(out, "rule {rule}: {}", self.title)?,
            (None, _) => out.write_str(&self.title)?,
        }
        if self.role != "allowed" {
            write!(out, ", as its {} {}", self.role, self.by)?;
        }
        if let Some(reason) = &self.accepted_risk {
            write!(out, "\n      exfiltration risk accepted: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NameExplanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "name {}", self.name)?;
        if self.granted_by.is_empty() {
            write!(out, "\n  no rule grants it")?;
        }
        for rule in &self.granted_by {
            write!(out, "\n  {rule}")?;
        }
        match &self.answer {
            Some(answer) => write!(out, "{answer}"),
            None => write!(out, "\n  nobody asked for its addresses"),
        }
    }
}

impl fmt::Display for AnswerExplanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_followed {
            write!(out, "\n  looked up for this explanation alone:")?;
        }
        for target in &self.chain {
            write!(out, "\n    -> {target}")?;
        }
        let texts = self.addresses.iter().map(|known| known.address.to_string());
        let refused = self.refused.iter().map(|refused| refused.address.to_string());
        let width = texts.chain(refused).map(|text| text.len()).max().unwrap_or(0);
        for known in &self.addresses {
            let address = known.address.to_string();
            write!(out, "\n    {address:width$}  ttl {}", elapsed(known.ttl_left_s))?;
            if let Some(left) = known.retires_in_s {
                write!(out, ", left the answers, kept for {}", elapsed(left))?;
            }
        }
        for refused in &self.refused {
            let address = refused.address.to_string();
            write!(out, "\n    {address:width$}  refused: {}", refused.why)?;
        }
        answered(out, "IPv4", &self.a)?;
        answered(out, "IPv6", &self.aaaa)
    }
}

/// What is worth a line about one family.
fn answered(out: &mut fmt::Formatter<'_>, family: &str, state: &Answered) -> fmt::Result {
    match state {
        Answered::Fresh | Answered::Empty => Ok(()),
        Answered::Unasked => write!(out, "\n    {family}: no answer yet"),
        Answered::Stale {
            age_s,
            is_at_least,
            error,
        } => {
            let bound = if *is_at_least { "at least " } else { "" };
            write!(
                out,
                "\n    {family}: stale, last answered {bound}{} ago: {error}",
                elapsed(*age_s)
            )
        }
        Answered::Failed { error } => write!(out, "\n    {family}: {error}"),
    }
}

impl fmt::Display for AddressExplanation {
    /// What becomes of packets to it, without the address.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.verdict.words())?;
        if let Some(reason) = &self.reason {
            write!(out, " [{reason}]")?;
        }
        for rule in &self.granted_by {
            write!(out, "\n    {rule}")?;
        }
        if let Some(names) = &self.server_names {
            write!(out, "\n    server names: {names}")?;
        }
        for known in &self.known_as {
            write!(out, "\n    {} {}", known.name, known.standing)?;
        }
        if let Some(special) = &self.special
            && !self.verdict.is_good()
        {
            write!(out, "\n    special-purpose address: {special}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CountingNames {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 12;
        if self.names.is_empty() {
            return out.write_str("no name passes");
        }
        if self.policy {
            out.write_str("those of the policy: ")?;
        }
        let shown = self.names.len().min(SHOWN_MAX);
        out.write_str(&self.names[..shown].join(", "))?;
        match self.names.len() - shown + self.omitted {
            0 => Ok(()),
            more => write!(out, " and {more} more"),
        }
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            write!(out, "\n  in {}, write\n\n    {}\n", change.at, change.line)?;
        }
        if !self.append.is_empty() {
            let or = if self.changes.is_empty() { "" } else { "or " };
            write!(out, "\n  {or}append\n")?;
            for line in &self.append {
                let indent = if line.is_empty() { "" } else { "    " };
                write!(out, "\n{indent}{line}")?;
            }
            writeln!(out)?;
        }
        for risk in &self.risks {
            write!(out, "\n  RISK: {risk}")?;
        }
        for remark in &self.remarks {
            write!(out, "\n  {remark}")?;
        }
        Ok(())
    }
}

fn elapsed(seconds: u64) -> Elapsed {
    Elapsed(Duration::from_secs(seconds))
}
