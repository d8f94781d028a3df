//! What a reload would change.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ChangeLine, ConfigProblem};

/// The answer to `plan`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PlanReport {
    /// [`VERSION`](crate::control::VERSION).
    pub version: u32,
    /// The file that a reload would read.
    pub file: PathBuf,
    /// The generation in force, with which it is compared.
    pub generation: u64,
    /// Whether a reload would bring it into force.
    pub is_usable: bool,
    /// Why not, from the outermost cause to the innermost.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What is wrong with the file; warnings also where it could come into force.
    #[serde(default)]
    pub problems: Vec<ConfigProblem>,
    /// What would be different, in the order of rules and settings, addresses, server names; the first
    /// [`CHANGES_MAX`](PlanReport::CHANGES_MAX).
    #[serde(default)]
    pub changes: Vec<ChangeLine>,
    /// Changes that are not listed.
    #[serde(default)]
    pub omitted: u64,
    /// Names for which nothing would be granted, since they have no address.
    #[serde(default)]
    pub unresolved: Vec<String>,
}

impl PlanReport {
    /// Most changes that are listed.
    pub const CHANGES_MAX: usize = 1000;
}
