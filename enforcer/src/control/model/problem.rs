//! Errors, and what is wrong with a configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The body of every answer that is an error.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// The [`VERSION`](crate::control::VERSION) of the documents that the daemon speaks.
    pub version: u32,
    /// One word for programs: `starting`, `forbidden`, `busy`, `not-found`, `bad-request`, `silent`.
    pub code: String,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One problem of a configuration file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConfigProblem {
    /// The file, as the daemon names it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
