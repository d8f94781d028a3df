//! Grants to the kernel's address table: sorted, without overlaps, in the layout of `enforcer_common::table`.
//!
//! Where grants overlap, one that asks for no server name speaks for the address. Where all of them ask for one, the
//! names of all of them count, and the rule that stands first in the file speaks.

mod blocks;
mod content;
mod error;
mod family;
mod holdings;
mod host;
mod journal;
mod names;
mod ranges;
mod room;
mod runs;
mod segments;
mod sort;
#[cfg(test)]
mod tests;
mod wide;

pub use content::{Changed, Table};
pub use error::TableError;
pub use host::HostTables;
pub(crate) use journal::{Part, Stamp};
pub use names::{NamesImage, decode_names};
pub use ranges::{Range, decode};

use ipnet::IpNet;

use crate::config::RuleId;
use crate::endpoints::Condition;

/// Addresses that are let through, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    /// The addresses. Never IPv4-mapped: those are IPv4 by the time a packet is judged.
    pub net: IpNet,
    /// The rule.
    pub rule: RuleId,
    /// What is asked of sessions to them.
    pub condition: Condition,
}
