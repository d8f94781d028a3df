//! What was used of what is granted, as the daemon keeps it over a longer time than its events.

use jiff::Timestamp;
use serde::Deserialize;

/// The answer to `/v1/usage`, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Usage {
    /// Since when it is known.
    pub since: Timestamp,
    /// Granted connections of which nothing else is known.
    #[serde(default)]
    pub suppressed: u64,
    /// Granted connections that the list has no room for.
    #[serde(default)]
    pub beyond: u64,
    /// Names, and rules where there is no name.
    #[serde(default)]
    pub used: Vec<Used>,
}

/// A name or a rule that was used.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Used {
    /// The name; absent where only the rule is known.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether a session asked for it.
    #[serde(default)]
    pub is_asked_for: bool,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// How often.
    #[serde(default)]
    pub count: u64,
    /// By whom the last time.
    #[serde(default)]
    pub last_by: String,
}

impl Usage {
    /// Leaves out what was not used since a time.
    #[must_use]
    pub fn since(mut self, time: Option<Timestamp>) -> Self {
        let Some(time) = time else { return self };
        self.since = self.since.max(time);
        self.used.retain(|used| used.last >= time);
        for used in &mut self.used {
            used.first = used.first.max(time);
        }
        self
    }
}
