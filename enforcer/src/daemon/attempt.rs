//! What was judged, denied or granted, with what the daemon knows beyond what the kernel tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use enforcer_common::abi::Hook;
use enforcer_common::packet::protocol;

use super::names::{History, KnownAs};
use crate::kernel;

/// A packet or a call that was judged.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When, since boot (`CLOCK_MONOTONIC`).
    pub time: Duration,
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
    /// The process in the initial pid namespace, when it is known.
    pub pid: Option<u32>,
    /// The name of its thread; empty when it is unknown.
    pub process: String,
    /// The id of its cgroup.
    pub cgroup: u64,
}

impl Attempt {
    /// What the kernel told, with the name from `history`.
    pub(super) fn new(told: &kernel::Attempt, history: &History) -> Self {
        let destination = told.destination;
        Self {
            time: told.time,
            hook: told.hook,
            protocol: Protocol(told.protocol),
            source: told.source,
            destination,
            known_as: destination.and_then(|destination| history.of(destination.ip())),
            server_name: (!told.server_name.is_empty()).then(|| told.server_name.escape_ascii().to_string()),
            pid: told.pid,
            process: printable(&told.comm),
            cgroup: told.cgroup,
        }
    }

    /// Who: `curl (pid 812)`.
    pub(super) fn write_who(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.process.as_str(), self.pid) {
            ("", None) => out.write_str("an unknown process"),
            ("", Some(pid)) => write!(out, "pid {pid}"),
            (process, None) => out.write_str(process),
            (process, Some(pid)) => write!(out, "{process} (pid {pid})"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_can_not_write_into_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(
            printable("\u{202e}a\u{200b}\u{e0041}\u{2028}"),
            "\u{fffd}a\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("größe 中文"), "größe 中文");
    }
}
