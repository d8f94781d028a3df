//! What granted connections were for, over the restarts of the daemon.

use serde::{Deserialize, Serialize};

/// What was used of what is granted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct UsageReport {
    /// [`VERSION`](crate::control::VERSION).
    pub version: u32,
    /// Since when it is known, RFC 3339.
    pub since: String,
    /// Granted connections since then of which no event told: what they were for is not known.
    pub suppressed: u64,
    /// Granted connections for which there was no room in the list.
    pub beyond: u64,
    /// Each name, and each rule where there is no name; in no order that means anything.
    pub used: Vec<Used>,
}

/// A name or a rule that was used.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Used {
    /// The server name of the sessions, otherwise what the addresses were answered for; absent where there is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether a session asked for it; otherwise the address was answered for it.
    pub is_asked_for: bool,
    /// The rule that granted it last: its file and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_at: Option<String>,
    /// The first time, RFC 3339.
    pub first: String,
    /// The last time.
    pub last: String,
    /// How often.
    pub count: u64,
    /// By whom the last time: the process, and its container or unit.
    pub last_by: String,
}
