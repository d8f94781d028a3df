//! A granted connection, with what the daemon knows beyond what the kernel tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use enforcer_common::abi::Hook;

use super::denial::{Protocol, printable};
use super::names::{History, KnownAs};
use super::policy::Policy;
use crate::config::Rule;
use crate::kernel;
use crate::names::ServerName;

/// One granted connection.
#[derive(Clone, Debug)]
pub struct Granted {
    /// When, since boot (`CLOCK_MONOTONIC`).
    pub time: Duration,
    /// Where in the kernel it was judged.
    pub hook: Hook,
    /// Protocol number.
    pub protocol: Protocol,
    /// From where, when that was known already.
    pub source: Option<SocketAddr>,
    /// Where to.
    pub destination: Option<SocketAddr>,
    /// The name that the destination was answered for, if any.
    pub known_as: Option<KnownAs>,
    /// The server name of the session, where one was asked for.
    pub server_name: Option<String>,
    /// The rule that grants it, as far as the policy of now says: that of the server name, otherwise of the address.
    pub rule: Option<u32>,
    /// Its file and line.
    pub rule_at: Option<String>,
    /// The process in the initial pid namespace, when it is known.
    pub pid: Option<u32>,
    /// The name of its thread; empty when it is unknown.
    pub process: String,
    /// The id of its cgroup.
    pub cgroup: u64,
}

impl Granted {
    /// What the kernel told, with the name from `history` and the rule of `policy`.
    pub(super) fn new(told: kernel::Granted, history: &History, policy: &Policy) -> Self {
        let server_name = (!told.server_name.is_empty()).then(|| told.server_name.escape_ascii().to_string());
        let parsed = server_name
            .as_deref()
            .and_then(|name| ServerName::parse(name).ok());
        let rule = policy.rule_that_grants(parsed.as_ref(), told.rule);
        Self {
            time: told.time,
            hook: told.hook,
            protocol: Protocol(told.protocol),
            source: told.source,
            destination: told.destination,
            known_as: told
                .destination
                .and_then(|destination| history.of(destination.ip())),
            server_name,
            rule: rule.map(|rule| rule.id.0).or(told.rule.map(|rule| rule.0)),
            rule_at: rule.map(place),
            pid: told.pid,
            process: printable(&told.comm),
            cgroup: told.cgroup,
        }
    }

    /// The name that it was for, and whether the session asked for it: otherwise the destination was answered for it.
    #[must_use]
    pub fn name(&self) -> Option<(&str, bool)> {
        let known = || self.known_as.as_ref().filter(|known| known.refused.is_none());
        match &self.server_name {
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
        match (self.process.as_str(), self.pid) {
            ("", None) => out.write_str("an unknown process")?,
            ("", Some(pid)) => write!(out, "pid {pid}")?,
            (process, None) => out.write_str(process)?,
            (process, Some(pid)) => write!(out, "{process} (pid {pid})")?,
        }
        if let Some(destination) = self.destination {
            write!(out, " to {destination} over {}", self.protocol)?;
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
