//! The control socket: what the daemon knows, for people and programs of this host.
//!
//! ```text
//! run loop ── View ──> Board ──> server ── HTTP and JSON over a UNIX socket ──> client ──> status, observe, reload, ...
//!          <── Order ──┘   └── History, Usage <── denials, granted connections
//! ```
//!
//! [`model`] is the form of what goes over the socket, and docs/control.md its manual. [`view`] is what the run loop
//! publishes and what it may be asked to do, [`history`] keeps the last events, [`filter`] chooses among them, [`usage`]
//! keeps what was used, [`status`] makes a document of a view, [`metrics`] numbers for a monitoring system, and
//! [`pinned`] one of what the kernel holds when no daemon answers. [`access`] says who may
//! ask, [`server`] answers, in a thread of its own, and [`client`] asks. Nobody but the daemon and the command line knows
//! this room.

pub mod access;
pub mod client;
pub mod explain;
pub mod filter;
pub mod history;
pub mod metrics;
pub mod model;
pub mod pinned;
pub mod plan;
pub mod server;
pub mod status;
pub mod usage;
pub mod view;

#[cfg(test)]
mod samples;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};

/// The version of the documents. It counts up when a field changes its meaning or goes; fields may be added.
pub const VERSION: u32 = 1;

/// The header of every answer with the [`VERSION`] that the daemon speaks.
pub const VERSION_HEADER: &str = "enforcer-control-version";

/// Where the daemon of the instance with this runtime folder listens.
#[must_use]
pub fn socket(runtime: &Path) -> PathBuf {
    runtime.join("control")
}
