//! What the kernel programs and the daemon agree on.
//!
//! Everything here is `no_std`, does no I/O, allocates nothing and never panics on any input: the same code runs in
//! the kernel over a packet and on the host over a slice, and the same vectors must give the same verdict on both.
//!
//! - [`bytes`]: how a parser reads
//! - [`packet`]: bytes to flow
//! - [`client_hello`]: bytes to server name
//! - [`table`]: address to grant
//! - [`names`]: server name to scopes
//! - [`flow`], [`session`]: the segments of a connection to verdicts, where a server name is asked for
//! - [`verdict`]: flow and grant to verdict
//! - [`at_once`]: the same for nearly every packet, in few steps
//! - [`reason`]: why something was denied
//! - [`abi`]: what lies in maps and ring buffers

#![no_std]

pub mod abi;
pub mod at_once;
pub mod bytes;
pub mod client_hello;
pub mod flow;
pub mod greeting;
pub mod names;
pub mod packet;
pub mod reason;
pub mod session;
pub mod table;
pub mod verdict;

pub use reason::Reason;
