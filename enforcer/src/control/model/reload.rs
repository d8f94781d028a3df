//! What came of a reload.

use serde::{Deserialize, Serialize};

use super::ConfigProblem;

/// The answer to `reload`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReloadOutcome {
    /// [`VERSION`](crate::control::VERSION).
    pub version: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// The generation in force now.
    pub generation: u64,
    /// Why it was refused, from the outermost cause to the innermost.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What is wrong with the file; warnings also where it came into force.
    #[serde(default)]
    pub problems: Vec<ConfigProblem>,
    /// What is different, in the order of rules and settings, addresses, server names; the first
    /// [`CHANGES_MAX`](ReloadOutcome::CHANGES_MAX).
    #[serde(default)]
    pub changes: Vec<ChangeLine>,
    /// Changes that are not listed.
    #[serde(default)]
    pub omitted: u64,
}

impl ReloadOutcome {
    /// Most changes that are listed.
    pub const CHANGES_MAX: usize = 1000;
}

/// What came of a reload.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The file is in force.
    Applied,
    /// The policy of before is in force.
    Refused,
}

/// One difference.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChangeLine {
    /// Of what kind.
    pub kind: ChangeKind,
    /// What: a rule, addresses, a server name.
    pub what: String,
    /// Whose it is, or what it was and is.
    pub whose: String,
}

/// What a difference is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A setting has another value.
    Setting,
    /// A rule is new.
    RuleAdded,
    /// A rule is gone.
    RuleRemoved,
    /// Addresses are granted that were not.
    Added,
    /// Addresses are no longer granted.
    Removed,
    /// Addresses are granted by another rule, or under other server names.
    Moved,
    /// A server name is granted that was not.
    NameAdded,
    /// A server name is no longer granted.
    NameRemoved,
}
