//! The documents that go over the control socket: plain data without logic. docs/control.md explains every field.
//!
//! What is absent or null is not known, or has no meaning here. Times of day are RFC 3339 in UTC, spans of time whole
//! seconds (`_s`) unless the name says otherwise. Readers have to bear fields and words that they do not know.

mod event;
mod plan;
mod problem;
mod reload;
mod status;
mod usage;

pub use event::{Container, Entry, Event, Missed, Owner, Suppressed, Verdict, WhyMissed};
pub use plan::PlanReport;
pub use problem::{ConfigProblem, Problem};
pub use reload::{ChangeKind, ChangeLine, Outcome, ReloadOutcome};
pub use status::{
    Attached, Counted, Daemon, DaemonState, Denials, Family, Freshness, GrantedConnections, Hook, Kept, Name,
    Names, PolicyStatus, State, Status, Upstream, Warning, WarningKind,
};
pub use usage::{UsageReport, Used};
