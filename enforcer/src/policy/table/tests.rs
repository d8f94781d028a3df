//! The table against a naive oracle that walks over all grants for every address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_common::packet::Address;
use enforcer_common::table::{Found, Generation, GrantWord, Settings, look_up};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

fn grant(net: &str, rule: u32, by_name: bool) -> Grant {
    Grant {
        net: net.parse().unwrap(),
        rule: RuleId(rule),
        by_name,
    }
}

fn find(image: &TableImage, address: IpAddr) -> Option<(RuleId, bool)> {
    let tables = HostTables {
        image,
        settings: Settings(0),
        generation: Generation(1),
    };
    match look_up(&tables, Address::from(address)).found {
        Found::Granted(word) => Some((RuleId(word.rule()), word.condition() != 0)),
        Found::NotGranted => None,
        other => panic!("{other:?}"),
    }
}

/// Who speaks for an address: no condition before one, then the first rule.
fn oracle(grants: &[Grant], address: IpAddr) -> Option<(RuleId, bool)> {
    grants
        .iter()
        .filter(|grant| grant.net.contains(&address))
        .map(|grant| (grant.by_name, grant.rule))
        .min()
        .map(|(by_name, rule)| (rule, by_name))
}

/// Addresses where something can change: both ends of every prefix and their neighbours.
fn edges(grants: &[Grant]) -> Vec<IpAddr> {
    let mut out = Vec::new();
    for grant in grants {
        match grant.net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                for bits in [
                    first,
                    last,
                    first.wrapping_sub(1),
                    last.wrapping_add(1),
                    first / 2 + last / 2,
                ] {
                    out.push(Ipv4Addr::from_bits(bits).into());
                }
            }
            IpNet::V6(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                for bits in [
                    first,
                    last,
                    first.wrapping_sub(1),
                    last.wrapping_add(1),
                    first / 2 + last / 2,
                ] {
                    out.push(Ipv6Addr::from_bits(bits).into());
                }
            }
        }
    }
    out
}

/// Prefixes that crowd together, so that they nest, touch and share blocks.
fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let v4 = (any::<u32>(), 0_u8..=32, 0_u32..4).prop_map(|(bits, length, cluster)| {
        let bits = if cluster == 0 {
            bits
        } else {
            0x0a00_0000 | (cluster << 15) | (bits & 0x1_ffff)
        };
        let length = if cluster == 0 { length } else { length.max(14) };
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length).trunc())
    });
    let v6 = (any::<u128>(), 0_u8..=128, 0_u32..4).prop_map(|(bits, length, cluster)| {
        let base = 0x2603_1030_0000_0000_0000_0000_0000_0000_u128;
        let bits = if cluster == 0 {
            bits
        } else {
            base | (bits & 0x3f_ffff)
        };
        let length = if cluster == 0 { length } else { length.max(100) };
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length).trunc())
    });
    let net = prop_oneof![v4, v6];
    prop::collection::vec((net, 1_u32..6, any::<bool>()), 0..80).prop_map(|nets| {
        nets.into_iter()
            .map(|(net, rule, by_name)| Grant {
                net,
                rule: RuleId(rule),
                by_name,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// About two million addresses in all: every edge of every prefix, and random ones near them.
    #[test]
    fn a_lookup_finds_what_the_oracle_finds(
        grants in grants(),
        near in prop::collection::vec((any::<u32>(), any::<u128>()), 400),
    ) {
        let image = TableImage::build(&grants).unwrap();
        let mut addresses = edges(&grants);
        for (low, wide) in near {
            addresses.push(Ipv4Addr::from_bits(0x0a00_0000 | (low & 0x3_ffff)).into());
            addresses.push(Ipv6Addr::from_bits(0x2603_1030_u128 << 96 | (wide & 0x7f_ffff)).into());
        }
        for address in addresses {
            prop_assert_eq!(find(&image, address), oracle(&grants, address), "{}", address);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Ranges are disjoint, ascending, and say the same as lookups; neighbours under one rule are one range.
    #[test]
    fn ranges_are_the_table(grants in grants()) {
        let ranges = TableImage::build(&grants).unwrap().ranges();
        for range in &ranges {
            prop_assert!(range.first <= range.last);
            for address in [range.first, range.last] {
                prop_assert_eq!(oracle(&grants, address), Some((range.rule, range.by_name)));
            }
        }
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].last < pair[1].first);
        }
        for address in edges(&grants) {
            let range = ranges.iter().find(|range| range.first <= address && address <= range.last);
            prop_assert_eq!(range.map(|range| (range.rule, range.by_name)), oracle(&grants, address));
        }
    }
}

#[test]
fn nothing_is_granted_by_an_empty_policy() {
    let image = TableImage::build(&[]).unwrap();
    assert_eq!(find(&image, "192.0.2.1".parse().unwrap()), None);
    assert_eq!(find(&image, "2001:db8::1".parse().unwrap()), None);
    assert!(image.ranges().is_empty());
}

#[test]
fn the_whole_address_space_fits() {
    let image = TableImage::build(&[grant("0.0.0.0/0", 1, false), grant("::/0", 2, false)]).unwrap();
    assert_eq!(find(&image, "0.0.0.0".parse().unwrap()), Some((RuleId(1), false)));
    assert_eq!(
        find(&image, "255.255.255.255".parse().unwrap()),
        Some((RuleId(1), false))
    );
    assert_eq!(find(&image, "ffff::".parse().unwrap()), Some((RuleId(2), false)));
    assert_eq!(image.ranges().len(), 2);
    assert!(image.intervals_v4.is_empty(), "whole blocks need no intervals");
}

#[test]
fn a_prefix_speaks_before_a_name_and_an_earlier_rule_before_a_later_one() {
    let image = TableImage::build(&[
        grant("192.0.2.0/24", 7, false),
        grant("192.0.2.9/32", 1, true),
        grant("192.0.2.16/28", 3, false),
    ])
    .unwrap();
    assert_eq!(
        find(&image, "192.0.2.9".parse().unwrap()),
        Some((RuleId(7), false))
    );
    assert_eq!(
        find(&image, "192.0.2.17".parse().unwrap()),
        Some((RuleId(3), false))
    );
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let many: Vec<Grant> = (0..=enforcer_common::abi::INTERVALS_V6)
        .map(|at| Grant {
            net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(u128::from(at) * 2), 128)),
            rule: RuleId(1),
            by_name: false,
        })
        .collect();
    let needed = many.len();
    let error = TableImage::build(&many).unwrap_err();
    assert_eq!(
        error,
        TableError::TooLarge {
            family: "IPv6",
            needed,
            capacity: enforcer_common::abi::INTERVALS_V6
        }
    );
    let beyond = GrantWord::RULE_MAX + 1;
    let error = TableImage::build(&[grant("192.0.2.1/32", beyond, false)]).unwrap_err();
    assert_eq!(error, TableError::RuleNumber { rule: beyond });
}
