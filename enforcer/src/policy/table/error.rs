//! What makes grants and names too much for the kernel's tables.

use enforcer_common::table::GrantWord;
use ipnet::IpNet;

/// Why grants do not become a table. The table that is in force stays.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TableError {
    /// More disjoint ranges than the kernel's arrays hold.
    #[error(
        "the policy needs {needed} {family} ranges, the kernel table holds {capacity} (`capacity` under [enforce])"
    )]
    TooLarge {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Ranges after merging; IPv4 counts places as well that stay empty since no 2^16 addresses lie across a border.
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
    /// A grant is to be taken out that is not there: whoever asks for that holds something else for what is in force.
    #[error("the grant of {net} by rule {rule} is to be taken back, and the table does not have it")]
    NotThere {
        /// Its addresses.
        net: IpNet,
        /// Its rule.
        rule: u32,
    },
    /// Two server names have the same hash whatever the seed: somebody made them so.
    #[error("server names of the policy can not be told apart by their hashes")]
    NamesCollide,
}

impl TableError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => {
                "set a larger `capacity` under [enforce], or name wider prefixes, or fewer of them"
            }
            Self::RuleNumber { .. } => "write fewer rules: a rule may have a list of prefixes",
            Self::TooManyConditions { .. } => "give prefixes that overlap the same list of server names",
            Self::TooManyNames { .. } | Self::TooMuchText { .. } => "name patterns, or fewer hosts",
            Self::NotThere { .. } => "please report it; a restart puts everything in force anew",
            Self::NamesCollide => "look for names that nobody would write, and take them away",
        }
    }
}
