//! Grants to the kernel's address table: sorted, without overlaps, in the layout of `enforcer_common::table`.
//!
//! Where grants overlap, one of them speaks for an address: one that asks for no server name before one that does,
//! and among equals the rule that stands first in the file.

mod host;
mod image;
mod segments;
#[cfg(test)]
mod tests;

pub use host::HostTables;
pub use image::{Range, TableError, TableImage, decode};

use ipnet::IpNet;

use crate::config::RuleId;

/// Addresses that are let through, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    /// The addresses. Never IPv4-mapped: those are IPv4 by the time a packet is judged.
    pub net: IpNet,
    /// The rule.
    pub rule: RuleId,
    /// Whether a granted name resolved to the address, as opposed to a prefix of the configuration.
    pub by_name: bool,
}
