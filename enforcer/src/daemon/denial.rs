//! A denial, with what the daemon knows beyond what the kernel tells.

use std::fmt;

use enforcer_common::Reason;

use super::attempt::Attempt;
use super::names::{History, KnownAs};
use crate::config::RuleId;
use crate::kernel::Event;

/// One denial, or in audit mode one that would have been.
#[derive(Clone, Debug)]
pub struct Denial {
    /// What was denied.
    pub attempt: Attempt,
    /// In audit mode: it was let through.
    pub audit: bool,
    /// Why.
    pub reason: Reason,
    /// The rule that grants the address, where something else is the reason.
    pub rule: Option<RuleId>,
}

impl Denial {
    /// What the kernel told, with the name from `history`.
    pub(super) fn new(event: &Event, history: &History) -> Self {
        Self {
            attempt: Attempt::new(&event.attempt, history),
            audit: event.audit,
            reason: event.reason,
            rule: event.attempt.rule,
        }
    }

    /// `denied`, or `would be denied` in audit mode.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        if self.audit { "would be denied" } else { "denied" }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.verdict())?;
        let attempt = &self.attempt;
        attempt.write_who(out)?;
        match attempt.destination {
            Some(destination) => write!(out, " to {destination} over {}", attempt.protocol)?,
            None => out.write_str(" sent a packet")?,
        }
        match &attempt.known_as {
            Some(KnownAs { name, refused: None }) => write!(out, ", an address of {name}")?,
            Some(KnownAs {
                name,
                refused: Some(why),
            }) => write!(out, ", answered for {name} and refused ({why})")?,
            None => {}
        }
        if let Some(name) = &attempt.server_name {
            write!(out, ", asking for {name}")?;
        }
        if let Some(rule) = self.rule {
            write!(out, ", the address granted by rule {}", rule.0)?;
        }
        write!(out, ": {} [{}]", self.reason.explain(), self.reason.name())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use enforcer_common::abi::Hook;

    use super::*;
    use crate::daemon::attempt::Protocol;

    fn denial() -> Denial {
        Denial {
            attempt: Attempt {
                time: Duration::ZERO,
                hook: Hook::Connect,
                protocol: Protocol(6),
                source: None,
                destination: Some("192.0.2.1:443".parse().unwrap()),
                known_as: None,
                server_name: None,
                pid: Some(812),
                process: "curl".into(),
                cgroup: 1,
            },
            audit: false,
            reason: Reason::AddressNotGranted,
            rule: None,
        }
    }

    #[test]
    fn a_denial_reads_as_a_sentence() {
        assert_eq!(
            denial().to_string(),
            "denied: curl (pid 812) to 192.0.2.1:443 over tcp: no rule of the policy grants this address \
             [address-not-granted]"
        );
    }

    #[test]
    fn it_tells_which_name_was_asked_for_and_what_grants_the_address() {
        let mut denial = denial();
        denial.reason = Reason::NameNotGranted;
        denial.rule = Some(RuleId(3));
        denial.attempt.hook = Hook::Egress;
        denial.attempt.server_name = Some("evil.azurecr.io".into());
        assert_eq!(
            denial.to_string(),
            "denied: curl (pid 812) to 192.0.2.1:443 over tcp, asking for evil.azurecr.io, the address granted by \
             rule 3: a TLS session under a server name that no rule grants at this address [name-not-granted]"
        );
    }

    #[test]
    fn in_audit_mode_it_says_that_nothing_was_dropped() {
        let denial = Denial {
            audit: true,
            ..denial()
        };
        assert!(denial.to_string().starts_with("would be denied: "));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut denial = denial();
        denial.reason = Reason::Malformed;
        denial.attempt.destination = None;
        denial.attempt.pid = None;
        denial.attempt.process = String::new();
        assert!(
            denial
                .to_string()
                .starts_with("denied: an unknown process sent a packet: headers that")
        );
    }
}
