//! The prefixes that everybody is given: random, disjoint, from /20 to /32, the same for the same seed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use enforcer::config::RuleId;
use enforcer::endpoints::Condition;
use enforcer::policy::table::Grant;
use enforcer::special;
use ipnet::{IpNet, Ipv4Net};

/// Lengths of the prefixes.
const LENGTHS: std::ops::RangeInclusive<u8> = 20..=32;
/// Between these networks.
const FIRST: Ipv4Addr = Ipv4Addr::new(1, 0, 0, 0);
const LAST: Ipv4Addr = Ipv4Addr::new(223, 255, 255, 255);

/// Prefixes, ascending.
#[derive(Clone, Debug)]
pub(crate) struct Prefixes {
    pub(crate) list: Vec<Ipv4Net>,
    random: fastrand::Rng,
}

impl Prefixes {
    /// `count` of them.
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut taken: BTreeMap<u32, Ipv4Net> = BTreeMap::new();
        while taken.len() < count as usize {
            let address = Ipv4Addr::from_bits(random.u32(FIRST.to_bits()..=LAST.to_bits()));
            let Ok(net) = Ipv4Net::new(address, random.u8(LENGTHS)) else {
                continue;
            };
            let net = net.trunc();
            let before = taken.range(..=net.broadcast().to_bits()).next_back();
            let is_free = before.is_none_or(|(_, other)| other.broadcast() < net.network());
            if is_free && special::of_prefix(net.into()).is_none() {
                taken.insert(net.network().to_bits(), net);
            }
        }
        Self {
            list: taken.into_values().collect(),
            random,
        }
    }

    /// An address in one of them.
    pub(crate) fn address(&mut self) -> Ipv4Addr {
        let at = self.random.usize(..self.list.len());
        let net = self.list[at];
        Ipv4Addr::from_bits(
            self.random
                .u32(net.network().to_bits()..=net.broadcast().to_bits()),
        )
    }

    /// `count` addresses in them.
    pub(crate) fn addresses(&mut self, count: usize) -> Vec<Ipv4Addr> {
        (0..count).map(|_| self.address()).collect()
    }

    /// Whether an address lies in one of them.
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        let after = self.list.partition_point(|net| net.network() <= address);
        after
            .checked_sub(1)
            .and_then(|at| self.list.get(at))
            .is_some_and(|net| net.contains(&address))
    }

    /// A file of service tags with one tag that stands for all of them, in the form in which such files are published.
    pub(crate) fn service_tags(&self, tag: &str) -> String {
        let listed: Vec<String> = self
            .list
            .iter()
            .map(|net| format!("          \"{net}\""))
            .collect();
        format!(
            "{{\n  \"changeNumber\": 1,\n  \"cloud\": \"Public\",\n  \"values\": [\n    {{\n      \"name\": \"{tag}\",\n      \
             \"id\": \"{tag}\",\n      \"properties\": {{\n        \"changeNumber\": 1,\n        \"region\": \"\",\n        \
             \"addressPrefixes\": [\n{}\n        ]\n      }}\n    }}\n  ]\n}}\n",
            listed.join(",\n")
        )
    }

    /// Granted by one rule, without a condition.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.list
            .iter()
            .map(|net| Grant {
                net: IpNet::V4(*net),
                rule: RuleId(0),
                condition: Condition::Unconditional,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_disjoint_and_the_same_again() {
        let prefixes = Prefixes::new(5000, 7);
        assert_eq!(prefixes.list.len(), 5000);
        assert_eq!(prefixes.list, Prefixes::new(5000, 7).list);
        assert_ne!(prefixes.list, Prefixes::new(5000, 8).list);
        assert!(
            prefixes
                .list
                .is_sorted_by(|one, other| one.broadcast() < other.network())
        );
    }

    #[test]
    fn addresses_lie_in_them() {
        let mut prefixes = Prefixes::new(50, 7);
        for address in prefixes.addresses(200) {
            assert!(prefixes.contains(address));
        }
        for net in prefixes.list.clone() {
            let after = Ipv4Addr::from_bits(net.broadcast().to_bits() + 1);
            let is_in_next = prefixes.list.iter().any(|net| net.contains(&after));
            assert_eq!(prefixes.contains(after), is_in_next);
        }
    }
}
