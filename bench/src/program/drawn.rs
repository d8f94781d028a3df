//! What is granted, and what is asked for: disjoint random prefixes, the same for the same seed, and addresses in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer::config::RuleId;
use enforcer::endpoints::Condition;
use enforcer::policy::table::Grant;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Entries of the list of destinations that the programs have: as in `bench/programs/src/keys.rs`.
const KEYS: usize = 1 << 17;
/// Lengths of the IPv4 prefixes.
const LENGTHS_V4: std::ops::RangeInclusive<u8> = 20..=32;
/// Lengths of the IPv6 prefixes.
const LENGTHS_V6: std::ops::RangeInclusive<u8> = 44..=64;
/// The first 16 bits of the IPv6 prefixes: those of large networks, as few as they are in truth.
const BLOCKS_V6: [u16; 6] = [0x2001, 0x2406, 0x2600, 0x2603, 0x2620, 0x2a01];
/// Most IPv6 prefixes: there is less room for them.
const PREFIXES_V6_MAX: usize = 30_000;

/// Granted, and with a name condition.
pub(super) const NAMED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
/// In no grant.
pub(super) const FOREIGN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// As [`FOREIGN`].
pub(super) const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x10);

/// Prefixes, and destinations within them.
pub(super) struct Drawn {
    pub(super) v4: Vec<Ipv4Net>,
    pub(super) v6: Vec<Ipv6Net>,
    /// An address in each IPv4 prefix: what a table without prefixes has to hold.
    pub(super) asked: Vec<Ipv4Addr>,
    /// Those in random order, again and again, as many as the programs' list has entries.
    pub(super) keys_v4: Vec<Ipv4Addr>,
    /// As above.
    pub(super) keys_v6: Vec<Ipv6Addr>,
}

impl Drawn {
    /// `count` prefixes, of IPv6 at most [`PREFIXES_V6_MAX`].
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let v4 = disjoint(count, || {
            loop {
                let address = Ipv4Addr::from_bits(random.u32(..));
                let net = Ipv4Net::new_assert(address, random.u8(LENGTHS_V4)).trunc();
                // Ordinary addresses only, and room for those of the constants above.
                let [first, ..] = net.addr().octets();
                if (1..224).contains(&first) && ![127, 192, 203].contains(&first) {
                    return net;
                }
            }
        });
        let v6 = disjoint(count.min(PREFIXES_V6_MAX), || {
            let block = BLOCKS_V6[random.usize(..BLOCKS_V6.len())];
            let rest = (u128::from(random.u64(..)) << 48) & (u128::MAX >> 16);
            let address = Ipv6Addr::from_bits(u128::from(block) << 112 | rest);
            Ipv6Net::new_assert(address, random.u8(LENGTHS_V6)).trunc()
        });
        let asked: Vec<_> = v4
            .iter()
            .map(|net| Ipv4Addr::from_bits(random.u32(net.network().to_bits()..=net.broadcast().to_bits())))
            .collect();
        let asked_v6: Vec<_> = v6
            .iter()
            .map(|net| Ipv6Addr::from_bits(random.u128(net.network().to_bits()..=net.broadcast().to_bits())))
            .collect();
        let keys_v4 = (0..KEYS).map(|_| asked[random.usize(..asked.len())]).collect();
        let keys_v6 = (0..KEYS)
            .map(|_| asked_v6[random.usize(..asked_v6.len())])
            .collect();
        Self {
            v4,
            v6,
            asked,
            keys_v4,
            keys_v6,
        }
    }

    /// The policy: every prefix without a condition, and [`NAMED`] with one.
    pub(super) fn grants(&self) -> Vec<Grant> {
        let grant = |net: IpNet, condition| Grant {
            net,
            rule: RuleId(1),
            condition,
        };
        let v4 = self
            .v4
            .iter()
            .map(|net| grant((*net).into(), Condition::Unconditional));
        let v6 = self
            .v6
            .iter()
            .map(|net| grant((*net).into(), Condition::Unconditional));
        let named = grant(IpAddr::from(NAMED).into(), Condition::POLICY);
        v4.chain(v6).chain([named]).collect()
    }
}

/// `count` prefixes of those that `draw` gives, none within another.
fn disjoint<N: Copy + Ord>(count: usize, mut draw: impl FnMut() -> N) -> Vec<N>
where
    IpNet: From<N>,
{
    let mut nets: Vec<N> = Vec::with_capacity(count * 2);
    while nets.len() < count {
        nets.extend((nets.len()..count + count / 8).map(|_| draw()));
        // Sorted by address, so that what lies within another comes behind it.
        nets.sort_unstable();
        nets.dedup_by(|net, before| IpNet::from(*before).contains(&IpNet::from(*net)));
    }
    // Any of them may be too many, not the last ones: those are all at one end.
    fastrand::Rng::with_seed(0).shuffle(&mut nets);
    nets.truncate(count);
    nets.sort_unstable();
    nets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_disjoint_as_many_as_asked_for_and_the_same_again() {
        for count in [1, 7, 100, 20_000] {
            let drawn = Drawn::new(count, 5);
            assert_eq!((drawn.v4.len(), drawn.v6.len()), (count, count));
            for pair in drawn.v4.windows(2) {
                assert!(pair[0].broadcast() < pair[1].network(), "{pair:?}");
            }
            for pair in drawn.v6.windows(2) {
                assert!(pair[0].broadcast() < pair[1].network(), "{pair:?}");
            }
            assert_eq!(drawn.v4, Drawn::new(count, 5).v4);
        }
    }
}
