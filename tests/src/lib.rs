//! The lab: what tests and the demo run the enforcer against; and the vectors of the verdict.
//!
//! [`Lab::start`] makes a client and its servers out of network namespaces of this machine: a scriptable name server,
//! real registries that redirect to a data endpoint, a storage account, and a place that speaks UDP. Nothing in it can
//! reach anything outside, and nothing of it stays behind: not after a panic, and not after Ctrl-C.

mod ca;
pub mod caller;
mod cgroup;
mod cleanup;
pub mod daemon;
mod enter;
pub mod fake;
pub mod faults;
pub mod guest;
pub mod hammer;
pub mod held;
pub mod hybrid;
mod image;
mod instance;
mod lab;
mod line;
pub mod load;
pub mod mounts;
pub mod nameserver;
mod namespace;
pub mod nobody;
pub mod openmetrics;
pub mod operated;
mod outcome;
pub mod packets;
mod programs;
mod registry;
pub mod scribe;
pub mod second_writer;
pub mod service_tags;
pub mod sockets;
pub mod terminal;
pub mod vectors;
mod web;
pub mod wire;

pub use ca::trusting;
pub use cgroup::Cgroup;
pub use cleanup::{Folder, sweep};
pub use enforcer_hellos as hellos;
pub use image::Image;
pub use instance::Instance;
pub use lab::{Lab, Protocol, world};
pub use line::{Line, Quality};
pub use namespace::Namespace;
pub use outcome::{Outcome, run_for};
pub use programs::{enforcer_program, new_skopeo_program, probe_program, tls_program};
pub use registry::Registry;
pub use web::Visit;
