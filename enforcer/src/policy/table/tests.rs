//! The table against a naive oracle that walks over all grants for every address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_common::names::{Name, look_up_named};
use enforcer_common::packet::Address;
use enforcer_common::table::{CHUNK, Found, Generation, GrantWord, Settings, look_up};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;
use crate::endpoints::{GrantedName, Scopes};
use crate::names::{DomainPattern, NameRule, ServerName};

fn grant(net: &str, rule: u32, condition: Condition) -> Grant {
    Grant {
        net: net.parse().unwrap(),
        rule: RuleId(rule),
        condition,
    }
}

const ANY: Condition = Condition::Unconditional;

const fn names(bits: u64) -> Condition {
    Condition::NameIn(Scopes::from_bits(bits))
}

fn find(table: &Table, address: IpAddr) -> Option<(RuleId, Condition)> {
    let tables = HostTables {
        table,
        settings: Settings(0),
        generation: Generation(1),
    };
    let answer = look_up(&tables, Address::from(address));
    match answer.found {
        Found::Granted => {
            let word = answer.grant;
            let condition = match word.condition() {
                0 => ANY,
                at => names(table.conditions()[at as usize]),
            };
            Some((RuleId(word.rule()), condition))
        }
        Found::NotGranted => None,
        other => panic!("{other:?}"),
    }
}

/// Who speaks for an address: the first rule that asks for nothing; where none does, the first of all, under the names
/// of all.
fn oracle(grants: &[Grant], address: IpAddr) -> Option<(RuleId, Condition)> {
    let mut free: Option<RuleId> = None;
    let mut first: Option<RuleId> = None;
    let mut bits = 0;
    for grant in grants.iter().filter(|grant| grant.net.contains(&address)) {
        let earliest = |before: Option<RuleId>| Some(before.map_or(grant.rule, |rule| rule.min(grant.rule)));
        match grant.condition {
            Condition::Unconditional => free = earliest(free),
            Condition::NameIn(scopes) => {
                first = earliest(first);
                bits |= scopes.bits();
            }
        }
    }
    let free = free.map(|rule| (rule, ANY));
    free.or(first.map(|rule| (rule, names(bits))))
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
    // Few scopes, so that the same sets come up again and again; the last one is the highest bit.
    let condition = prop_oneof![
        1 => Just(ANY),
        3 => (0_usize..5).prop_map(|at| names([1, 2, 4, 8, 1 << 63][at])),
    ];
    // Some prefixes stand there twice, with whatever else.
    prop::collection::vec((net, 1_u32..6, condition, any::<bool>()), 0..80).prop_map(|nets| {
        let mut grants: Vec<Grant> = Vec::new();
        for (net, rule, condition, again) in nets {
            let net = grants
                .last()
                .map_or(net, |last| if again { last.net } else { net });
            grants.push(Grant {
                net,
                rule: RuleId(rule),
                condition,
            });
        }
        grants
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// About half a million addresses in all: every edge of every prefix, and random ones near them.
    #[test]
    fn a_lookup_finds_what_the_oracle_finds(
        grants in grants(),
        near in prop::collection::vec((any::<u32>(), any::<u128>()), 400),
    ) {
        let table = Table::of(&grants, &[]).unwrap();
        let mut addresses = edges(&grants);
        for (low, wide) in near {
            addresses.push(Ipv4Addr::from_bits(0x0a00_0000 | (low & 0x3_ffff)).into());
            addresses.push(Ipv6Addr::from_bits(0x2603_1030_u128 << 96 | (wide & 0x7f_ffff)).into());
        }
        for address in addresses {
            prop_assert_eq!(find(&table, address), oracle(&grants, address), "{}", address);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Ranges are disjoint, ascending, and say the same as lookups; neighbours under one rule are one range.
    #[test]
    fn ranges_are_the_table(grants in grants()) {
        let table = Table::of(&grants, &[]).unwrap();
        let ranges = table.ranges();
        prop_assert_eq!(table.range_count(), ranges.len());
        let v6 = ranges.iter().filter(|range| range.first.is_ipv6()).count();
        prop_assert_eq!(table.range_count_v6(), v6);
        prop_assert_eq!(table.first(), ranges.first().map(|range| range.first));
        for range in &ranges {
            prop_assert!(range.first <= range.last);
            for address in [range.first, range.last] {
                prop_assert_eq!(oracle(&grants, address), Some((range.rule, range.condition)));
            }
        }
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].last < pair[1].first);
        }
        for address in edges(&grants) {
            let range = ranges.iter().find(|range| range.first <= address && address <= range.last);
            prop_assert_eq!(range.map(|range| (range.rule, range.condition)), oracle(&grants, address));
            if let IpAddr::V4(address) = address {
                prop_assert_eq!(table.grants(address), range.is_some());
            }
        }
    }
}

#[test]
fn nothing_is_granted_by_an_empty_policy() {
    let table = Table::of(&[], &[]).unwrap();
    assert_eq!(find(&table, "192.0.2.1".parse().unwrap()), None);
    assert_eq!(find(&table, "2001:db8::1".parse().unwrap()), None);
    assert!(table.ranges().is_empty());
}

#[test]
fn the_whole_address_space_fits() {
    let table = Table::of(&[grant("0.0.0.0/0", 1, ANY), grant("::/0", 2, ANY)], &[]).unwrap();
    assert_eq!(find(&table, "0.0.0.0".parse().unwrap()), Some((RuleId(1), ANY)));
    assert_eq!(
        find(&table, "255.255.255.255".parse().unwrap()),
        Some((RuleId(1), ANY))
    );
    assert_eq!(find(&table, "ffff::".parse().unwrap()), Some((RuleId(2), ANY)));
    assert_eq!(table.ranges().len(), 2);
    assert!(table.intervals_v4().is_empty(), "whole blocks need no intervals");
}

#[test]
fn what_asks_for_nothing_speaks_first_and_what_asks_adds_its_names() {
    let table = Table::of(
        &[
            grant("192.0.2.0/24", 7, names(1)),
            grant("192.0.2.16/28", 3, names(2)),
            grant("192.0.2.17/32", 5, names(4)),
            grant("192.0.2.128/25", 9, ANY),
            grant("192.0.2.130/32", 1, names(1)),
            grant("192.0.2.131/32", 8, ANY),
        ],
        &[],
    )
    .unwrap();
    let find = |address: &str| find(&table, address.parse().unwrap()).unwrap();
    assert_eq!(find("192.0.2.9"), (RuleId(7), names(1)));
    assert_eq!(find("192.0.2.16"), (RuleId(3), names(3)));
    assert_eq!(find("192.0.2.17"), (RuleId(3), names(7)));
    assert_eq!(find("192.0.2.130"), (RuleId(9), ANY));
    assert_eq!(find("192.0.2.131"), (RuleId(8), ANY));
    assert_eq!(table.conditions(), [0, 1, 3, 7]);
}

fn named(table: &Table, address: &str, name: &str) -> bool {
    let tables = HostTables {
        table,
        settings: Settings(0),
        generation: Generation(1),
    };
    let address: IpAddr = address.parse().unwrap();
    let mut name = Name::from_bytes(name.as_bytes()).unwrap();
    look_up_named(&tables, Address::from(address), &mut name).is_name_granted
}

fn granted_name(text: &str, scopes: u64) -> GrantedName {
    let name = match DomainPattern::parse(text) {
        Ok(pattern) => NameRule::Pattern(pattern),
        Err(_) => NameRule::Name(ServerName::parse(text).unwrap()),
    };
    GrantedName {
        name,
        scopes: Scopes::from_bits(scopes),
    }
}

#[test]
fn a_name_passes_where_one_of_the_scopes_of_an_address_grants_it() {
    let table = Table::of(
        &[
            grant("192.0.2.0/24", 1, names(1)),
            grant("192.0.2.16/28", 2, names(2)),
            grant("198.51.100.0/24", 3, names(2)),
            grant("203.0.113.0/24", 4, ANY),
        ],
        &[
            granted_name("contoso.azurecr.io", 1),
            granted_name("*.data.mcr.microsoft.com", 2),
            granted_name("both.example.com", 3),
        ],
    )
    .unwrap();
    for (address, name, expected) in [
        ("192.0.2.1", "contoso.azurecr.io", true),
        ("192.0.2.1", "CONTOSO.azurecr.io", true),
        ("192.0.2.1", "attacker.azurecr.io", false),
        ("192.0.2.1", "a.data.mcr.microsoft.com", false),
        ("192.0.2.16", "contoso.azurecr.io", true),
        ("192.0.2.16", "a.data.mcr.microsoft.com", true),
        ("192.0.2.16", "b.a.data.mcr.microsoft.com", true),
        ("192.0.2.16", "data.mcr.microsoft.com", false),
        ("192.0.2.16", "evildata.mcr.microsoft.com", false),
        ("198.51.100.1", "contoso.azurecr.io", false),
        ("198.51.100.1", "both.example.com", true),
        ("203.0.113.1", "attacker.azurecr.io", true),
        ("203.0.114.1", "contoso.azurecr.io", false),
    ] {
        assert_eq!(named(&table, address, name), expected, "{name} at {address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The lookup of the kernel against the meaning of the rules themselves.
    #[test]
    fn names_are_found_as_rules_mean_them(
        rules in prop::collection::vec(("(\\*\\.)?([ab]{1,2}\\.){1,4}[ab]", 0_u64..16), 0..30),
        asked in prop::collection::vec("([ab]{1,2}\\.){1,5}[ab]", 20),
        wanted in 1_u64..16,
    ) {
        let rules: Vec<GrantedName> = rules.iter().map(|(text, scopes)| granted_name(text, *scopes)).collect();
        let table = Table::of(&[grant("192.0.2.1/32", 1, names(wanted))], &rules).unwrap();
        for name in asked {
            let parsed = ServerName::parse(&name).unwrap();
            let expected = rules
                .iter()
                .any(|rule| rule.scopes.meets(Scopes::from_bits(wanted)) && rule.name.matches(&parsed));
            prop_assert_eq!(named(&table, "192.0.2.1", &name), expected, "{}", name);
        }
    }
}

#[test]
fn conditions_are_as_many_as_a_grant_can_tell_apart() {
    let with = |count: u32| {
        let grants: Vec<Grant> = (1..=count)
            .map(|at| {
                let net = IpNet::from(IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + 2 * at)));
                Grant {
                    net,
                    rule: RuleId(1),
                    condition: names(at.into()),
                }
            })
            .collect();
        Table::of(&grants, &[])
    };
    let full = with(255).unwrap();
    assert_eq!(full.conditions().len(), 256);
    assert_eq!(
        full.ranges().last().map(|range| range.condition),
        Some(names(255))
    );
    assert_eq!(
        with(256).unwrap_err(),
        TableError::TooManyConditions {
            needed: 256,
            capacity: 255
        }
    );
}

#[test]
fn a_condition_that_is_not_there_is_met_by_no_name() {
    let table = Table::of(&[grant("192.0.2.1/32", 1, names(1))], &[]).unwrap();
    let ranges = decode(
        table.index_v4(),
        table.intervals_v4(),
        table.index_v6(),
        table.intervals_v6(),
        &[],
    );
    assert_eq!(ranges[0].condition, names(0));
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let many: Vec<Grant> = (0..=enforcer_common::abi::INTERVALS_V6)
        .map(|at| Grant {
            net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(u128::from(at) * 2), 128)),
            rule: RuleId(1),
            condition: ANY,
        })
        .collect();
    let needed = many.len();
    let error = Table::of(&many, &[]).unwrap_err();
    assert_eq!(
        error,
        TableError::TooLarge {
            family: "IPv6",
            needed,
            capacity: enforcer_common::abi::INTERVALS_V6
        }
    );
    let beyond = GrantWord::RULE_MAX + 1;
    let error = Table::of(&[grant("192.0.2.1/32", beyond, ANY)], &[]).unwrap_err();
    assert_eq!(error, TableError::RuleNumber { rule: beyond });
}

/// A program looks up the chunk of a run once, and finds nothing that is in another.
#[test]
fn no_run_of_a_block_crosses_a_chunk() {
    const EACH: u32 = 30_000;
    let grants: Vec<Grant> = (0..4 * EACH)
        .map(|at| {
            let (block, within) = (at / EACH, at % EACH);
            // Every second address, so that nothing is merged.
            let address = Ipv4Addr::from_bits(0x0a00_0000 + (block << 16) + 2 * within);
            Grant {
                net: IpNet::from(IpAddr::from(address)),
                rule: RuleId(1),
                condition: Condition::Unconditional,
            }
        })
        .collect();
    let image = Table::of(&grants, &[]).unwrap();
    for entry in image.index_v4().iter().filter(|entry| entry.count != 0) {
        assert_eq!(
            entry.first / CHUNK,
            (entry.first + entry.count - 1) / CHUNK,
            "{entry:?}"
        );
    }
    let ranges = image.ranges();
    assert_eq!(ranges.len(), grants.len());
    for (range, grant) in ranges.iter().zip(&grants) {
        assert_eq!((range.first, range.last), (grant.net.addr(), grant.net.addr()));
    }
}
