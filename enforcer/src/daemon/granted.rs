//! A granted connection, with what the daemon knows beyond what the kernel tells.

use std::fmt;

use super::attempt::Attempt;
use super::names::History;
use super::policy::Policy;
use crate::config::Rule;
use crate::kernel;
use crate::names::ServerName;

/// One granted connection.
#[derive(Clone, Debug)]
pub struct Granted {
    /// What was granted.
    pub attempt: Attempt,
    /// The rule that grants it, as far as the policy of now says: that of the server name, otherwise of the address.
    pub rule: Option<u32>,
    /// Its file and line.
    pub rule_at: Option<String>,
}

impl Granted {
    /// What the kernel told, with the name from `history` and the rule of `policy`.
    pub(super) fn new(told: &kernel::Attempt, history: &History, policy: &Policy) -> Self {
        let attempt = Attempt::new(told, history);
        let asked = attempt.server_name.as_deref();
        let parsed = asked.and_then(|name| ServerName::parse(name).ok());
        let rule = policy.rule_that_grants(parsed.as_ref(), told.rule);
        Self {
            rule: rule.map(|rule| rule.id.0).or(told.rule.map(|rule| rule.0)),
            rule_at: rule.map(place),
            attempt,
        }
    }

    /// The name that it was for, and whether the session asked for it: otherwise the destination was answered for it.
    #[must_use]
    pub fn name(&self) -> Option<(&str, bool)> {
        let known = || {
            let known = self.attempt.known_as.as_ref();
            known.filter(|known| known.refused.is_none())
        };
        match &self.attempt.server_name {
            Some(asked) => Some((asked, true)),
            None => known().map(|known| (known.name.as_str(), false)),
        }
    }
}

/// `/etc/enforcer/enforcer.toml:12`.
pub(super) fn place(rule: &Rule) -> String {
    format!("{}:{}", rule.place.file.display(), rule.place.line)
}

impl fmt::Display for Granted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("granted: ")?;
        self.attempt.write_who(out)?;
        if let Some(destination) = self.attempt.destination {
            write!(out, " to {destination} over {}", self.attempt.protocol)?;
        }
        match self.name() {
            Some((name, true)) => write!(out, ", asking for {name}")?,
            Some((name, false)) => write!(out, ", an address of {name}")?,
            None => {}
        }
        match (&self.rule_at, self.rule) {
            (Some(place), _) => write!(out, ", by the rule at {place}"),
            (None, Some(rule)) => write!(out, ", by rule {rule}"),
            (None, None) => Ok(()),
        }
    }
}
