//! The only room that talks to the kernel: load, publish, attach, read events and counters. It decides nothing.
//!
//! - [`Enforcement`]: one loaded set of programs and its maps
//! - [`events`], [`counters`]: what the programs tell
//! - [`pins`]: what outlives the daemon, and how the next one takes it over
//! - [`mod@loaded`]: what an enforcer on a cgroup holds, read from outside
//! - [`by_hand`]: the parser of the programs, run without a connection
//! - [`cgroup`]: where programs are attached
//! - [`preflight`]: what the kernel and the process must be able to do
//! - [`Ender`]: ends the sockets of denied sessions
//! - [`direct`]: maps that the programs reach by their address
//! - [`mapped`], [`object`], [`sys`]: the modules with unsafe code: mappings, and raw bpf(2); [`events`] has one line of it

mod ahead;
pub mod by_hand;
pub mod cgroup;
pub mod counters;
pub mod direct;
pub mod ender;
mod enforcement;
pub mod error;
pub mod events;
mod links;
pub mod loaded;
mod loading;
mod mapped;
mod object;
mod parts;
pub mod pins;
pub mod preflight;
mod self_check;
mod sizes;
mod sock_diag;
mod sys;
mod tables;

pub use ahead::Ahead;
pub use cgroup::{Cgroup, CgroupError, ScopedCgroup};
pub use counters::{Count, CounterReader, Counters, GrantedCount};
pub use ender::{EndError, Ended, Ender, Victim};
pub use enforcement::{Enforcement, Probe, Settings};
pub use error::KernelError;
pub use events::{Attempt, Event, Events, Told};
pub use loaded::loaded;
pub(crate) use object::{OBJECT, let_go_of_object};
pub use pins::{Damage, LinkFound, MapsFound, Pins, Was};
pub use self_check::{Trial, WrongVerdict, self_check};
pub use tables::{Image, Loaded};
