//! What was observed, read from the lines of `observe -o json`.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of a connection or packet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was dropped.
    Denied,
    /// It is granted.
    Allowed,
    /// It would have been denied, and audit mode let it through.
    Audit,
}

/// One event, as far as it matters here. Fields that are not known are left out of it, as they are in its source.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Observation {
    /// When.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// What came of it.
    pub verdict: Verdict,
    /// The name of the reason; absent where it was granted.
    #[serde(default)]
    pub reason: Option<String>,
    /// `tcp`, `udp`, ...
    pub protocol: String,
    /// Where to.
    #[serde(default)]
    pub destination: Option<SocketAddr>,
    /// The name that the destination was answered for.
    #[serde(default)]
    pub name: Option<String>,
    /// Why the destination is refused although it was answered for `name`.
    #[serde(default)]
    pub refused: Option<String>,
    /// The server name of the session; bytes that no name has are escaped.
    #[serde(default)]
    pub server_name: Option<String>,
    /// The name of the thread; empty when it is unknown.
    #[serde(default)]
    pub process: String,
    /// The unit of the system's manager.
    #[serde(default)]
    pub unit: Option<String>,
    /// The container.
    #[serde(default)]
    pub container: Option<Container>,
}

/// A container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Container {
    /// Who runs it.
    #[serde(default)]
    pub runtime: String,
    /// Its id.
    pub id: String,
}

/// Events, and what is known of those that are missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// The events, in any order.
    pub list: Vec<Observation>,
    /// How far they reach.
    pub coverage: Coverage,
}

/// How far observations reach: what was not seen can not be learned.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Coverage {
    /// Since when was observed; the first event where nothing better is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Events that were read.
    pub events: u64,
    /// Denials of which the kernel told their number alone, since there were too many.
    pub suppressed: u64,
    /// Granted connections, likewise.
    pub suppressed_granted: u64,
    /// Events that were forgotten, or that the reader missed.
    pub missed: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// Whether any granted connection was told of; without, nothing is known of what works.
    pub has_allowed: bool,
}

impl Coverage {
    /// Takes in that there was observation at this time.
    fn reach(&mut self, time: Timestamp) {
        self.from = Some(self.from.map_or(time, |from| from.min(time)));
        self.to = Some(self.to.map_or(time, |to| to.max(time)));
    }

    /// The seconds between its ends.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        match (self.from, self.to) {
            (Some(from), Some(to)) => to.as_second() - from.as_second(),
            _ => 0,
        }
    }
}

/// One line.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    Event(Box<Observation>),
    Suppressed {
        count: u64,
        #[serde(default)]
        granted: bool,
        #[serde(default)]
        time: Option<Timestamp>,
    },
    Missed {
        count: u64,
    },
    #[serde(other)]
    Other,
}

/// Reads the lines of `observe -o json`. Those before `since` are left out; those that can not be read are counted.
#[must_use]
pub fn read(text: &str, since: Option<Timestamp>) -> Observations {
    let mut found = Observations::default();
    let is_recent = |time: Option<Timestamp>| match (since, time) {
        (Some(since), Some(time)) => time >= since,
        _ => true,
    };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(Line::Event(event)) if is_recent(event.time) => {
                found.coverage.events += 1;
                found.coverage.has_allowed |= event.verdict == Verdict::Allowed;
                if let Some(time) = event.time {
                    found.coverage.reach(time);
                }
                found.list.push(*event);
            }
            Ok(Line::Suppressed { count, granted, time }) if is_recent(time) => {
                let coverage = &mut found.coverage;
                let suppressed = if granted {
                    &mut coverage.suppressed_granted
                } else {
                    &mut coverage.suppressed
                };
                *suppressed = suppressed.saturating_add(count);
                if let Some(time) = time {
                    found.coverage.reach(time);
                }
            }
            Ok(Line::Missed { count }) => {
                found.coverage.missed = found.coverage.missed.saturating_add(count);
            }
            Ok(Line::Event(_) | Line::Suppressed { .. } | Line::Other) => {}
            Err(_) => found.coverage.unreadable += 1,
        }
    }
    found
}
