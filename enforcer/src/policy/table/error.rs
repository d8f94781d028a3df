//! What makes grants and names too much for the kernel's tables.

use enforcer_common::table::GrantWord;

/// Why grants do not become a table. The table that is in force stays.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TableError {
    /// More disjoint ranges than the kernel's arrays hold.
    #[error("the policy needs {needed} {family} ranges, the kernel table holds {capacity}")]
    TooLarge {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Ranges after merging.
        needed: usize,
        /// Ranges that fit.
        capacity: u32,
    },
    /// A rule number that the table can not store.
    #[error("rule {rule} is beyond {max}, the last rule number that the kernel table can store", max = GrantWord::RULE_MAX)]
    RuleNumber {
        /// The number.
        rule: u32,
    },
    /// More different sets of name lists meet at addresses than the table can tell apart.
    #[error(
        "prefixes with server names of their own overlap in {needed} different ways, the kernel table holds {capacity}"
    )]
    TooManyConditions {
        /// Different conditions.
        needed: usize,
        /// Conditions that fit.
        capacity: usize,
    },
    /// More server names than the kernel's arrays hold.
    #[error("the policy grants {needed} server names, the kernel table holds {capacity}")]
    TooManyNames {
        /// Names and patterns.
        needed: usize,
        /// Names that fit.
        capacity: u32,
    },
    /// Longer server names than the kernel's arrays hold.
    #[error("the server names of the policy need {needed} bytes, the kernel table holds {capacity}")]
    TooMuchText {
        /// Bytes, each name rounded up to whole words.
        needed: usize,
        /// Bytes that fit.
        capacity: usize,
    },
    /// Two server names have the same hash whatever the seed: somebody made them so.
    #[error("server names of the policy can not be told apart by their hashes")]
    NamesCollide,
}
