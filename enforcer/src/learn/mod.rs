//! From what was observed to a configuration: what a host asked for, written as the rules that would grant it.
//!
//! Events go in, in the form of `observe -o json`; text comes out that `check` accepts whatever was in the events, with
//! everything that was seen beside the rule that it led to. What can not be named, or better is not granted, stands there
//! as a comment. The same events say whether blob storage is still used ([`Migration`]).
//!
//! This room does no I/O and reads no clock. Whoever wants to get something granted may have sent what is read here.

mod gather;
mod migration;
mod observation;
mod usage;
mod write;

pub use gather::{Seen, Unnamed};
pub use migration::{Migration, Outcome as MigrationOutcome};
pub use observation::{Coverage, Observation, Observations, Verdict, read};
pub use usage::{Usage, Used};
pub use write::configuration;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{Config, Mode};

/// Layout of the serialised form; counts up when a field changes its meaning or goes. Fields may be added.
pub const VERSION: u32 = 1;

/// What was learned.
#[derive(Clone, Debug, Serialize)]
pub struct Learned {
    /// [`VERSION`].
    pub version: u32,
    /// How far the observations reach.
    pub coverage: Coverage,
    /// The configuration.
    pub configuration: String,
    /// Names that were asked for, ascending.
    pub names: Vec<NamedSeen>,
    /// What has no name that could be granted, or is denied for what it is.
    pub unnamed: Vec<Unnamed>,
    /// Whether blob storage can be done without.
    pub migration: Migration,
}

/// A name, and what was seen of it.
#[derive(Clone, Debug, Serialize)]
pub struct NamedSeen {
    /// The name.
    pub name: String,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// Learns from `observations`, and from what was used before them. `running` is the configuration under which they were
/// made, where it is known.
#[must_use]
pub fn learn(
    observations: &Observations,
    usage: Option<&Usage>,
    running: Option<&Config>,
    mode: Mode,
) -> Learned {
    let mut gathered = gather::gather(&observations.list);
    if let Some(usage) = usage {
        gathered.take_in(usage);
    }
    Learned {
        version: VERSION,
        coverage: observations.coverage.clone(),
        configuration: write::configuration(&gathered, &observations.coverage, mode),
        migration: migration::check(&gathered, &observations.coverage, usage, running),
        names: gathered
            .names
            .into_iter()
            .map(|(name, seen)| NamedSeen {
                name: name.to_string(),
                seen,
            })
            .collect(),
        unnamed: gathered.unnamed,
    }
}

/// A time to the minute, in UTC.
fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// `1 time`, `3 times`.
fn times(count: u64) -> String {
    if count == 1 {
        "1 time".to_owned()
    } else {
        format!("{count} times")
    }
}

/// Text that somebody else chose, as a comment may carry it: one line of printable ASCII, and not too much of it.
fn harmless(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut out = String::new();
    for (position, character) in text.chars().enumerate() {
        if position == CHARS_MAX {
            out.push_str("...");
            break;
        }
        if matches!(character, ' '..='~') {
            out.push(character);
        } else {
            out.extend(character.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests;
