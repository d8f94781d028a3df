//! Who looks at the packets.

use crate::targets::{EMPTY, ENFORCER, FLOOR, IPSET, NFT_HASH, NFT_INTERVALS};

/// Somebody, or nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Watcher {
    Nobody,
    NobodyAgain,
    Empty,
    /// On all the hooks that the enforcer has.
    EmptyEverywhere,
    Enforcer,
    EnforcerEgress,
    /// The simplest program that finds the same out, with an empty one for calls.
    Least,
    LeastEgress,
    NftChain,
    NftHash,
    NftIntervals,
    Ipset,
}

impl Watcher {
    /// All of them; what the others are held against comes first.
    pub(super) const ALL: [Self; 12] = [
        Self::Nobody,
        Self::NobodyAgain,
        Self::Empty,
        Self::EmptyEverywhere,
        Self::Enforcer,
        Self::EnforcerEgress,
        Self::Least,
        Self::LeastEgress,
        Self::NftChain,
        Self::NftHash,
        Self::NftIntervals,
        Self::Ipset,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nothing",
            Self::NobodyAgain => "nothing, again",
            Self::Empty => EMPTY,
            Self::EmptyEverywhere => "empty programs, for calls too",
            Self::Enforcer => ENFORCER,
            Self::EnforcerEgress => "enforcer, packets alone",
            Self::Least => FLOOR,
            Self::LeastEgress => "floor, packets alone",
            Self::NftChain => "nftables empty chain",
            Self::NftHash => NFT_HASH,
            Self::NftIntervals => NFT_INTERVALS,
            Self::Ipset => IPSET,
        }
    }

    /// What makes its sets, once: for nft, or for ipset.
    pub(super) fn sets(
        self,
        prefixes: &[ipnet::Ipv4Net],
        addresses: &[std::net::Ipv4Addr],
    ) -> Option<String> {
        let listed = |kind: &str, flags: &str, elements: Vec<String>| {
            format!(
                "add table ip {kind}\nadd set ip {kind} granted {{ type ipv4_addr; {flags} }}\n\
                 add element ip {kind} granted {{ {} }}\n",
                elements.join(", ")
            )
        };
        match self {
            Self::NftChain => Some("add table ip empty\n".to_owned()),
            Self::NftHash => {
                // The same address may have been drawn twice.
                let distinct: std::collections::BTreeSet<_> = addresses.iter().collect();
                Some(listed(
                    "hash",
                    "",
                    distinct.iter().map(ToString::to_string).collect(),
                ))
            }
            Self::NftIntervals => Some(listed(
                "intervals",
                "flags interval;",
                prefixes.iter().map(ToString::to_string).collect(),
            )),
            Self::Ipset => {
                let size = prefixes.len().next_power_of_two().max(64);
                let adds: Vec<String> = prefixes
                    .iter()
                    .map(|net| format!("add granted {net}\n"))
                    .collect();
                Some(format!(
                    "create granted hash:net hashsize {size} maxelem {}\n{}",
                    size * 2,
                    adds.concat()
                ))
            }
            Self::Nobody
            | Self::NobodyAgain
            | Self::Empty
            | Self::EmptyEverywhere
            | Self::Enforcer
            | Self::EnforcerEgress
            | Self::Least
            | Self::LeastEgress => None,
        }
    }

    /// The nftables rules with which it looks, and those with which it stops; `None` for whom nft does not start.
    pub(super) fn rules(self) -> Option<(String, String)> {
        let chain = |table: &str, rule: &str| {
            let begin = format!(
                "add chain ip {table} out {{ type filter hook output priority 0; policy accept; }}\n{rule}"
            );
            let end = format!("flush chain ip {table} out\ndelete chain ip {table} out\n");
            Some((begin, end))
        };
        let denied =
            |table: &str| format!("add rule ip {table} out udp dport 443 ip daddr != @granted drop\n");
        match self {
            Self::NftChain => chain("empty", ""),
            Self::NftHash => chain("hash", &denied("hash")),
            Self::NftIntervals => chain("intervals", &denied("intervals")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_has_what_is_sent_to() {
        let prefixes = ["20.0.0.0/24".parse().unwrap(), "21.0.0.0/30".parse().unwrap()];
        let addresses = ["20.0.0.7".parse().unwrap(), "20.0.0.7".parse().unwrap()];
        let hash = Watcher::NftHash.sets(&prefixes, &addresses).unwrap();
        assert!(hash.contains("{ 20.0.0.7 }"), "{hash}");
        let intervals = Watcher::NftIntervals.sets(&prefixes, &addresses).unwrap();
        assert!(intervals.contains("{ 20.0.0.0/24, 21.0.0.0/30 }"), "{intervals}");
        let ipset = Watcher::Ipset.sets(&prefixes, &addresses).unwrap();
        assert!(
            ipset.ends_with("add granted 20.0.0.0/24\nadd granted 21.0.0.0/30\n"),
            "{ipset}"
        );
        assert_eq!(Watcher::Enforcer.sets(&prefixes, &addresses), None);
    }
}
