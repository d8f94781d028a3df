//! The fault table: what happens to an enforcer that nobody watches, a row each.
//!
//! `tests/tests/faults` has a test for each.

/// A row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What it is called on the command line and in reports.
    pub key: &'static str,
    /// What happens, as the operator's page says it.
    pub title: &'static str,
}

/// All rows, in the order of the report.
pub const FAULTS: [Fault; 0] = [];
