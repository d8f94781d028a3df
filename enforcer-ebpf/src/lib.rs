//! The kernel programs: one thin function a hook. What they decide is in `enforcer-common`.
//!
//! - [`egress`]: every packet that a socket below the cgroup sends; the authority
//! - [`session`]: what egress goes on with where an address asks for a granted server name
//! - [`hold`]: what stands there until that is loaded
//! - [`hello`]: the same by hand, for tests
//! - [`connect`]: `connect` and `sendmsg`, so that a denied call fails at once instead of hanging
//! - [`maps`], [`tables`], [`skb`], [`socket`], [`pieces`]: what the verdict is reached with
//! - [`allowed`]: granted connections, told once each
//! - [`report`]: counters and events
//!
//! A library, so that the programs of the benchmark can be made of the very same parts.

#![no_std]
#![feature(asm_experimental_arch, stmt_expr_attributes)]

mod allowed;
mod connect;
pub mod egress;
mod hello;
mod hold;
pub mod maps;
mod pieces;
mod report;
mod session;
pub mod skb;
mod socket;
mod tables;

pub use tables::find_address;
