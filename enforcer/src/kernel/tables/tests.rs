//! The writer against memory that is no kernel's: files that exist nowhere, of the size of the maps.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::*;
use crate::config::RuleId;
use crate::endpoints::{Condition, Scopes};
use crate::names::{NameRule, ServerName};
use crate::policy::table::{Changed, Grant, Table};

fn memory(capacity: Capacity) -> HashMap<&'static str, (OwnedFd, u64)> {
    let bytes = |count: u32, size: usize| 2 * u64::from(count) * size as u64;
    [
        ("HEADER", size_of::<Header>() as u64),
        ("INDEX_V4", bytes(BLOCKS, size_of::<Index>())),
        ("TABLE_V4", bytes(capacity.ipv4(), size_of::<IntervalV4>())),
        ("INDEX_V6", bytes(BLOCKS, size_of::<Index>())),
        ("TABLE_V6", bytes(capacity.ipv6(), size_of::<IntervalV6>())),
        ("NAMES", bytes(NAMES_HALF, 8)),
    ]
    .into_iter()
    .map(|(name, bytes)| {
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&fd, bytes).unwrap();
        (name, (fd, bytes))
    })
    .collect()
}

fn open(memory: &HashMap<&'static str, (OwnedFd, u64)>) -> Tables {
    let of = |name: &'static str| {
        let (fd, bytes) = &memory[name];
        Ok(Mappable {
            fd: fd.try_clone().unwrap(),
            bytes: *bytes,
        })
    };
    let mut tables = Tables::open(of, true).unwrap();
    tables.set_version();
    tables
}

/// What a publication must have put in force.
fn holds(tables: &Tables, expected: &[Range]) -> Result<(), TestCaseError> {
    let loaded = tables.read().unwrap().expect("a policy was published");
    prop_assert_eq!(&loaded.ranges, expected);
    Ok(())
}

/// That `changed` is what is different.
fn is_the_difference(changed: &Changed, before: &[Range], after: &[Range]) -> Result<(), TestCaseError> {
    let of = |ranges: &[Range], address| {
        let mut ranges = ranges.iter();
        let range = ranges.find(|range| (range.first..=range.last).contains(&address));
        range.map(|range| (range.rule, range.condition))
    };
    let all = [before, after, &changed.removed, &changed.added];
    for range in all.into_iter().flatten() {
        for address in [range.first, range.last] {
            let (old, new) = (of(before, address), of(after, address));
            let told = (of(&changed.removed, address), of(&changed.added, address));
            let is_told = told == (old, new) || (old == new && told.0 == told.1);
            prop_assert!(is_told, "{address}: {told:?} instead of {:?}", (old, new));
        }
    }
    Ok(())
}

/// A step of the life of a table.
#[derive(Clone, Debug)]
enum Step {
    Replace(Vec<Grant>),
    /// Takes out what is at these places, and puts in this.
    Exchange(Vec<prop::sample::Index>, Vec<Grant>),
    Publish,
    /// Nothing changes for a while.
    Rest,
    /// Another process goes on with the same maps.
    TakeOver,
}

fn grant() -> impl Strategy<Value = Grant> {
    let v4 = (0_u32..6, 0_u32..0x4000, 14_u8..=32).prop_map(|(block, low, length)| {
        let bits = 0x0a00_0000 | block << 16 | low << 2;
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length).trunc())
    });
    let v6 =
        (0_u128..3, 0_u128..64, prop_oneof![14_u8..=20, 118_u8..=128]).prop_map(|(block, low, length)| {
            let bits = (0x2001 + block) << 112 | low;
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length).trunc())
        });
    let condition = prop_oneof![
        1 => Just(Condition::Unconditional),
        3 => (0_u64..10).prop_map(|bits| Condition::NameIn(Scopes::from_bits(bits))),
    ];
    (prop_oneof![3 => v4, 1 => v6], 1_u32..5, condition).prop_map(|(net, rule, condition)| Grant {
        net,
        rule: RuleId(rule),
        condition,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let grants = |most| prop::collection::vec(grant(), 0..most);
    let places = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    let step = prop_oneof![
        1 => grants(60).prop_map(Step::Replace),
        8 => (places, grants(6)).prop_map(|(places, grants)| Step::Exchange(places, grants)),
        6 => Just(Step::Publish),
        2 => Just(Step::Rest),
        1 => Just(Step::TakeOver),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever came and went, the table is the one that is made of what is left in one go, and so is what lies in the maps.
    #[test]
    fn what_is_in_force_is_what_was_put_in(steps in steps()) {
        let capacity = Capacity::new(Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
        let memory = memory(capacity);
        let mut tables = open(&memory);
        let mut table = Table::new(capacity);
        let mut held: Vec<Grant> = Vec::new();
        let mut ranges = Vec::new();
        for step in steps {
            match step {
                Step::Replace(grants) => {
                    table.replace(&grants, &[]).unwrap();
                    held = grants;
                }
                Step::Exchange(places, added) => {
                    let mut removed = Vec::new();
                    for place in places {
                        if !held.is_empty() {
                            removed.push(held.swap_remove(place.index(held.len())));
                        }
                    }
                    let before = table.ranges();
                    let changed = table.exchange(&removed, &added).unwrap();
                    is_the_difference(&changed, &before, &table.ranges())?;
                    held.extend(added);
                    for range in &changed.removed {
                        prop_assert!(!changed.added.contains(range));
                    }
                }
                Step::Publish => {
                    tables.publish(&table, Settings::default()).unwrap();
                    ranges = table.ranges();
                }
                Step::Rest => tables.rest(),
                Step::TakeOver => tables = open(&memory),
            }
            let mut oracle = Table::new(capacity);
            oracle.fill(&held, &[]).unwrap();
            prop_assert_eq!(table.ranges(), oracle.ranges());
            prop_assert_eq!(table.range_count(), oracle.ranges().len());
            if tables.generation().0 > 0 {
                holds(&tables, &ranges)?;
            }
        }
    }
}

fn grants(nets: &[&str]) -> Vec<Grant> {
    nets.iter()
        .map(|net| Grant {
            net: net.parse().unwrap(),
            rule: RuleId(1),
            condition: Condition::Unconditional,
        })
        .collect()
}

/// What is written to a half that does not count may have been written in part: nobody sees it, then or later.
#[test]
fn what_can_not_be_mapped_leaves_the_policy_from_before() {
    let capacity = Capacity::new(Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let memory = memory(capacity);
    let mut tables = open(&memory);
    let mut table = Table::new(capacity);
    let publish = |tables: &mut Tables, table: &Table| tables.publish(table, Settings::default());
    for nets in [
        ["192.0.2.0/25", "2001:db8::/64"],
        ["192.0.2.0/24", "2001:db8::/48"],
    ] {
        table.fill(&grants(&nets), &[]).unwrap();
        publish(&mut tables, &table).unwrap();
    }
    let before = table.ranges();
    let generation = tables.generation();
    // It goes only while nobody has them mapped to write: the tables have, until they rest.
    let seal = || fcntl_add_seals(&memory["INDEX_V6"].0, SealFlags::WRITE);
    assert_eq!(seal(), Err(rustix::io::Errno::BUSY));
    tables.rest();
    seal().unwrap();
    for nets in [
        ["198.51.100.0/24", "2001:db8::/32"],
        ["203.0.113.0/24", "2001:db8::/16"],
    ] {
        table.fill(&grants(&nets), &[]).unwrap();
        assert!(matches!(
            publish(&mut tables, &table),
            Err(KernelError::Map { map: "INDEX_V6", .. })
        ));
        assert_eq!(tables.generation(), generation);
        assert_eq!(tables.read().unwrap().unwrap().ranges, before);
    }
    // The half holds by now what was never in force: all of it is written again, though only little changes.
    table
        .fill(&grants(&["192.0.2.0/24", "2001:db8::/48"]), &[])
        .unwrap();
    table.exchange(&[], &grants(&["198.51.100.7/32"])).unwrap();
    assert!(publish(&mut tables, &table).is_err(), "IPv6 as well");
}

/// Whichever half it was in, and whatever the other one holds.
#[test]
fn a_policy_that_was_taken_out_is_the_same_when_it_is_put_back() {
    let capacity = Capacity::new(Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let memory_before = memory(capacity);
    let mut before = open(&memory_before);
    assert_eq!(before.image().unwrap(), None);
    let settings = Settings {
        mode: crate::config::Mode::Audit,
        ..Settings::default()
    };
    let names = ["a.example.com", "b.example.net"].map(|name| GrantedName {
        name: NameRule::Name(ServerName::parse(name).unwrap()),
        scopes: Scopes::from_bits(0b101),
    });
    let mut table = Table::new(capacity);
    for (nets, names) in [
        (&["192.0.2.0/25", "10.0.0.0/8", "2001:db8::/64"][..], &names[..]),
        (&["192.0.2.0/25", "255.255.255.255/32"], &names[1..]),
        (&[], &[]),
    ] {
        let mut grants = grants(nets);
        for grant in &mut grants {
            grant.condition = Condition::NameIn(Scopes::from_bits(0b100));
        }
        table.fill(&grants, names).unwrap();
        before.publish(&table, settings).unwrap();
        let image = before.image().unwrap().unwrap();
        let image = Image::from_bytes(&image.to_bytes()).unwrap();
        let expected = before.read().unwrap().unwrap();

        let memory = memory(capacity);
        let mut after = open(&memory);
        let generation = after.put_back(&image).unwrap();
        let found = after.read().unwrap().unwrap();
        assert_eq!(
            found,
            Loaded {
                generation,
                ..expected
            }
        );
        assert_eq!(after.image().unwrap().unwrap(), image);
        assert!(after.put_back(&image).is_err(), "there is one already");
        // What comes next is written whole.
        after.publish(&table, settings).unwrap();
        assert_eq!(after.read().unwrap().unwrap().ranges, table.ranges());
    }
}

#[test]
fn a_policy_of_another_size_is_not_put_back() {
    let of = |steps| Capacity::new(steps * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let large = memory(of(2));
    let mut large = open(&large);
    let mut table = Table::new(of(2));
    table.fill(&grants(&["192.0.2.0/25"]), &[]).unwrap();
    large.publish(&table, Settings::default()).unwrap();
    let mut bytes = large.image().unwrap().unwrap().to_bytes();
    let small = memory(of(1));
    let mut small = open(&small);
    assert!(small.put_back(&Image::from_bytes(&bytes).unwrap()).is_err());
    // One that says to be of this size, and has a run behind the end of a table: the first of INDEX_V4.
    bytes[4..8].copy_from_slice(&of(1).ipv4().to_le_bytes());
    small.put_back(&Image::from_bytes(&bytes).unwrap()).unwrap();
    let other = memory(of(1));
    let mut other = open(&other);
    bytes[16..20].copy_from_slice(&BLOCKS.to_le_bytes());
    assert!(other.put_back(&Image::from_bytes(&bytes).unwrap()).is_err());
    assert_eq!(other.read().unwrap(), None, "nothing is in force by it");
}
