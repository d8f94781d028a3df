//! The figures of a run: what was measured, in which unit, and every sample of it.

use serde::Serialize;

/// Everything that a run has measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) figures: Vec<Figure>,
    pub(crate) targets: Vec<Target>,
}

/// One figure: the samples of one measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// The number of the section that measured it.
    pub(crate) section: u8,
    /// What was measured, such as `granted, hot`.
    pub(crate) what: String,
    /// Whose it is, such as `enforcer` or `LPM trie`.
    pub(crate) subject: String,
    /// Prefixes, names or entries; `None` where there is no size.
    pub(crate) size: Option<u64>,
    /// Of the samples.
    pub(crate) unit: Unit,
    /// In the order in which they were taken.
    pub(crate) samples: Vec<f64>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "few sections measure yet")]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    Count,
    Percent,
}

/// A figure that was to be reached, as a ratio or difference within this run.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    /// What it is about.
    pub(crate) what: String,
    /// What was to be reached, in words, such as `at least 400`.
    pub(crate) wanted: String,
    /// What was.
    pub(crate) reached: f64,
    /// Whether that is enough.
    pub(crate) met: bool,
}
