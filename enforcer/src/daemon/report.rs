//! What was denied while a command ran: the summary on stderr and the report as JSON. Pure.
//!
//! The serialised form is stable: fields may be added, and [`VERSION`] counts up when one changes its meaning or goes.

mod tally;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use enforcer_common::Reason;
use serde::Serialize;

pub use tally::{Group, Tally};

use crate::kernel::Count;

/// Layout of the serialised form.
pub const VERSION: u32 = 1;

/// Groups that the summary lists; the report has them all.
const LISTED_MAX: usize = 20;

/// The outcome of `enforcer exec`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The version of enforcer.
    pub enforcer: &'static str,
    /// The configuration file.
    pub config: PathBuf,
    /// The command and its arguments; what is not UTF-8 is replaced.
    pub command: Vec<String>,
    /// `enforce` or `audit`; in the latter everything here was let through.
    pub mode: &'static str,
    /// When the command started, RFC 3339.
    pub started: String,
    /// How long it ran, in milliseconds, without what enforcer did before and after.
    pub duration_ms: u64,
    /// How the command ended.
    pub ended: Ended,
    /// The exit status of `enforcer exec` itself.
    pub status: u8,
    /// Names that had no address when the command started.
    pub unresolved: Vec<Unresolved>,
    /// Processes that stayed behind when the command ended.
    pub left_over: Vec<LeftOver>,
    /// How many denials there were, whether or not they are listed.
    pub denied: u64,
    /// How many of them no event told of (the kernel limits their rate).
    pub not_listed: u64,
    /// How many connections were granted.
    pub granted: u64,
    /// Denials by reason.
    pub reasons: Vec<ReasonCount>,
    /// Denials by process, destination, protocol and reason; the most frequent first.
    pub denials: Vec<Listed>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// It could not be started.
    NotStarted,
}

/// A name that had no address.
#[derive(Debug, Serialize)]
pub struct Unresolved {
    /// The name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// A process that stayed behind.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LeftOver {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub process: String,
}

/// How often one reason was met.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReasonCount {
    /// The name of the reason.
    pub reason: &'static str,
    /// What it means.
    pub explanation: &'static str,
    /// What to do when it should have been let through.
    pub hint: &'static str,
    /// Denials.
    pub denied: u64,
    /// Those that no event told of.
    pub not_listed: u64,
}

/// Denials that have everything but the time in common.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The name of the process; empty when it is unknown.
    pub process: String,
    /// The first few process ids.
    pub pids: Vec<u32>,
    /// `tcp`, `udp`, ...
    pub protocol: String,
    /// Where to; absent when the packet could not be read that far.
    pub destination: Option<IpAddr>,
    /// The destination port.
    pub port: Option<u16>,
    /// The name that the destination was answered for.
    pub name: Option<String>,
    /// The server name that was asked for in the TLS session; bytes that no name has are escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The rule that grants the address, where something else is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Why the destination is refused although it was answered for `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
    /// The name of the reason.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// The first of them, in milliseconds since the command started.
    pub first_ms: u64,
    /// The last of them, likewise.
    pub last_ms: u64,
}

impl Report {
    /// Takes in what the kernel counted and told; `started` is when the command started, since boot.
    pub fn fill(&mut self, tally: &Tally, counts: impl Iterator<Item = (Reason, Count)>, started: Duration) {
        self.reasons = reason_counts(counts);
        let told = tally.count();
        let counted: u64 = self.reasons.iter().map(|reason| reason.denied).sum();
        // The two are read one after the other: never claim fewer denials than were told of.
        self.denied = counted.max(told);
        self.denials = tally.groups(started);
        let listed: u64 = self.denials.iter().map(|listed| listed.count).sum();
        self.not_listed = self.denied - listed;
    }

    fn verdict(&self) -> &'static str {
        if self.mode == "audit" {
            "would have been denied"
        } else {
            "was denied"
        }
    }
}

fn reason_counts(counts: impl Iterator<Item = (Reason, Count)>) -> Vec<ReasonCount> {
    counts
        .filter(|(_, count)| count.denied > 0)
        .map(|(reason, count)| ReasonCount {
            reason: reason.name(),
            explanation: reason.explain(),
            hint: reason.hint(),
            denied: count.denied,
            not_listed: count.suppressed,
        })
        .collect()
}

impl fmt::Display for Report {
    /// The summary, a few lines without the last line's end.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denied == 0 {
            return write!(out, "enforcer: nothing {}", self.verdict());
        }
        let verdict = match self.verdict() {
            "was denied" if self.denied > 1 => "were denied",
            verdict => verdict,
        };
        write!(out, "enforcer: {} {verdict}", counted(self.denied, "attempt"))?;
        if self.not_listed > 0 {
            write!(out, ", {} of them not listed", self.not_listed)?;
        }
        let rows: Vec<_> = self.denials.iter().take(LISTED_MAX).map(Listed::cells).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for [count, process, protocol, destination, reason] in &rows {
            write!(
                out,
                "\n  {count:>0$}  {process:1$}  {protocol:2$}  {destination:3$}  {reason}",
                widths[0], widths[1], widths[2], widths[3]
            )?;
        }
        if self.denials.len() > LISTED_MAX {
            let more = self.denials.len() - LISTED_MAX;
            write!(out, "\n  and {more} more kinds; `--report FILE` lists them all")?;
        }
        for reason in &self.reasons {
            write!(
                out,
                "\n  {}: {}; {}",
                reason.reason, reason.explanation, reason.hint
            )?;
        }
        Ok(())
    }
}

impl Listed {
    fn cells(&self) -> [String; 5] {
        let process = match (self.process.as_str(), self.pids.as_slice()) {
            ("", []) => "unknown process".to_owned(),
            ("", [pid, ..]) => format!("pid {pid}"),
            (process, [pid]) => format!("{process} (pid {pid})"),
            (process, _) => process.to_owned(),
        };
        let mut destination = match (self.destination, self.port) {
            (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
            _ => "-".to_owned(),
        };
        if let Some(name) = &self.server_name {
            destination = format!("{destination} asking for {name}");
        } else if let Some(name) = &self.name {
            destination = format!("{destination} ({name})");
        }
        let reason = match self.refused {
            Some(why) => format!("{}, the address is refused: {why}", self.reason),
            None => self.reason.to_owned(),
        };
        [
            format!("{}x", self.count),
            process,
            self.protocol.clone(),
            destination,
            reason,
        ]
    }
}

/// `1 attempt`, `2 attempts`, `3 processes`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = match (count, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests;
