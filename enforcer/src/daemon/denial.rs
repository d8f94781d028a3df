//! A denial, with what the daemon knows beyond what the kernel tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use enforcer_common::Reason;
use enforcer_common::abi::Hook;
use enforcer_common::packet::protocol;

use super::names::{History, KnownAs};
use crate::config::RuleId;
use crate::kernel::Event;

/// One denial, or in audit mode one that would have been.
#[derive(Clone, Debug)]
pub struct Denial {
    /// When, since boot (`CLOCK_MONOTONIC`).
    pub time: Duration,
    /// In audit mode: it was let through.
    pub audit: bool,
    /// Why.
    pub reason: Reason,
    /// Where in the kernel it was judged.
    pub hook: Hook,
    /// Protocol number.
    pub protocol: Protocol,
    /// From where, when that was known already.
    pub source: Option<SocketAddr>,
    /// Where to, when the packet could be read that far.
    pub destination: Option<SocketAddr>,
    /// The name that the destination was answered for, if any.
    pub known_as: Option<KnownAs>,
    /// The server name that was asked for in the TLS session, as far as one was read; bytes that no name has are escaped.
    pub server_name: Option<String>,
    /// The rule that grants the address, where something else is the reason.
    pub rule: Option<RuleId>,
    /// The process in the initial pid namespace, when it is known.
    pub pid: Option<u32>,
    /// The name of its thread; empty when it is unknown.
    pub process: String,
    /// The id of its cgroup.
    pub cgroup: u64,
}

/// A protocol number of the IP header.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Protocol(pub u8);

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            protocol::TCP => out.pad("tcp"),
            protocol::UDP => out.pad("udp"),
            protocol::DCCP => out.pad("dccp"),
            protocol::SCTP => out.pad("sctp"),
            protocol::UDP_LITE => out.pad("udplite"),
            number => out.pad(&format!("protocol {number}")),
        }
    }
}

/// `text` without characters that do something or are not to be seen: a process chooses its own name, and must not write into
/// a log or a terminal, nor turn a line of it round.
#[must_use]
pub fn printable(text: &str) -> String {
    let replaced = |character: char| {
        if character.is_control() || is_format(character) {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        }
    };
    text.chars().map(replaced).collect()
}

/// Whether it is one of Unicode's characters that only act on others: those of the general category Cf but for the few that
/// are signs of a script, and the separators of lines and paragraphs.
fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

impl Denial {
    /// What the kernel told, with the name from `history`.
    pub(super) fn new(event: Event, history: &History) -> Self {
        Self {
            time: event.time,
            audit: event.audit,
            reason: event.reason,
            hook: event.hook,
            protocol: Protocol(event.protocol),
            source: event.source,
            destination: event.destination,
            known_as: event
                .destination
                .and_then(|destination| history.of(destination.ip())),
            server_name: (!event.server_name.is_empty())
                .then(|| event.server_name.escape_ascii().to_string()),
            rule: event.rule,
            pid: event.pid,
            process: printable(&event.comm),
            cgroup: event.cgroup,
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
        match (self.process.as_str(), self.pid) {
            ("", None) => out.write_str("an unknown process")?,
            ("", Some(pid)) => write!(out, "pid {pid}")?,
            (process, None) => out.write_str(process)?,
            (process, Some(pid)) => write!(out, "{process} (pid {pid})")?,
        }
        match self.destination {
            Some(destination) => write!(out, " to {destination} over {}", self.protocol)?,
            None => out.write_str(" sent a packet")?,
        }
        match &self.known_as {
            Some(KnownAs { name, refused: None }) => write!(out, ", an address of {name}")?,
            Some(KnownAs {
                name,
                refused: Some(why),
            }) => write!(out, ", answered for {name} and refused ({why})")?,
            None => {}
        }
        if let Some(name) = &self.server_name {
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
    use super::*;

    fn denial() -> Denial {
        Denial {
            time: Duration::ZERO,
            audit: false,
            reason: Reason::AddressNotGranted,
            hook: Hook::Connect,
            protocol: Protocol(6),
            source: None,
            destination: Some("192.0.2.1:443".parse().unwrap()),
            known_as: None,
            server_name: None,
            rule: None,
            pid: Some(812),
            process: "curl".into(),
            cgroup: 1,
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
        let denial = Denial {
            reason: Reason::NameNotGranted,
            hook: Hook::Egress,
            server_name: Some("evil.azurecr.io".into()),
            rule: Some(RuleId(3)),
            ..denial()
        };
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
    fn a_process_name_can_not_write_into_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(
            printable("\u{202e}a\u{200b}\u{e0041}\u{2028}"),
            "\u{fffd}a\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("größe 中文"), "größe 中文");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let denial = Denial {
            destination: None,
            pid: None,
            process: String::new(),
            reason: Reason::Malformed,
            ..denial()
        };
        assert!(
            denial
                .to_string()
                .starts_with("denied: an unknown process sent a packet: headers that")
        );
    }
}
