//! What an exchange leaves behind, in particular where it fails or everything must be laid out anew.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::*;
use crate::config::RuleId;
use crate::endpoints::{Condition, Scopes};
use crate::policy::table::Part;

fn v4(bits: u32, length: u8, rule: u32) -> Grant {
    Grant {
        net: Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length).into(),
        rule: RuleId(rule),
        condition: Condition::Unconditional,
    }
}

fn v6(block: u16, low: u16) -> Grant {
    Grant {
        net: Ipv6Net::new_assert(Ipv6Addr::new(block, 0, 0, 0, 0, 0, 0, low), 128).into(),
        rule: RuleId(1),
        condition: Condition::Unconditional,
    }
}

fn asking(grant: Grant, bits: u64) -> Grant {
    Grant {
        condition: Condition::NameIn(Scopes::from_bits(bits)),
        ..grant
    }
}

/// Nothing is different, neither for who asks nor for who copies.
#[track_caller]
fn is_as_before(table: &Table, before: &[Range], stamp: Stamp) {
    assert_eq!(table.ranges(), before);
    assert_eq!(table.stamp(), stamp);
}

#[test]
fn what_is_not_there_can_not_be_taken_out() {
    let net = v4(0x0a00_0000, 24, 1);
    let wide = v4(0x0a00_0000, 8, 2);
    let mut table = Table::of(&[net, wide, net], &[]).unwrap();
    let (before, stamp) = (table.ranges(), table.stamp());
    for missing in [
        v4(0x0a00_0000, 24, 2),
        v4(0x0a00_0000, 25, 1),
        v4(0x0a00_0000, 8, 1),
        v4(0x0a00_0000, 9, 2),
        v6(1, 1),
    ] {
        let error = table
            .exchange(&[net, wide, missing], &[v4(0x0b00_0000, 8, 3)])
            .unwrap_err();
        let expected = TableError::NotThere {
            net: missing.net,
            rule: missing.rule.0,
        };
        assert_eq!(error, expected);
        is_as_before(&table, &before, stamp);
    }
    // Twice in, twice out.
    assert!(table.exchange(&[net], &[]).unwrap().is_empty());
    assert!(!table.exchange(&[net], &[]).unwrap().is_empty());
    assert!(table.exchange(&[net], &[]).is_err());
    table.exchange(&[wide], &[]).unwrap();
    assert_eq!(table.ranges(), []);
}

#[test]
fn a_change_tells_of_what_is_different_alone() {
    let (kept, old, new) = (
        v4(0x0a00_0010, 32, 1),
        v4(0x0a00_0001, 32, 1),
        v4(0x0a00_0002, 32, 2),
    );
    let mut table = Table::of(&[kept, old, v4(0x0b00_0000, 8, 3)], &[]).unwrap();
    let changed = table.exchange(&[old], &[new]).unwrap();
    let range = |grant: &Grant| Range {
        first: grant.net.network(),
        last: grant.net.broadcast(),
        rule: grant.rule,
        condition: grant.condition,
    };
    assert_eq!(changed.removed, [range(&old)]);
    assert_eq!(changed.added, [range(&new)]);
    // Neighbours across blocks are one range.
    let wide = v4(0x0c00_0000, 8, 3);
    let changed = table.exchange(&[], &[wide]).unwrap();
    assert_eq!(
        (&changed.removed[..], &changed.added[..]),
        (&[][..], &[range(&wide)][..])
    );
}

#[test]
fn conditions_that_are_gone_make_room_for_others() {
    let net = |at: u32| v4(0x0a00_0000 + 2 * at, 32, 1);
    let mut table = Table::of(&[asking(net(0), 1)], &[]).unwrap();
    for bits in 1..600 {
        let (old, new) = (asking(net(0), bits), asking(net(0), bits + 1));
        table.exchange(&[old], &[new]).unwrap();
        assert_eq!(table.ranges()[0].condition, new.condition);
        assert!(table.conditions().len() <= 256);
    }
    let (before, stamp) = (table.ranges(), table.stamp());
    let many: Vec<Grant> = (1_u32..=255).map(|at| asking(net(at), at.into())).collect();
    assert_eq!(
        table.exchange(&[], &many).unwrap_err(),
        TableError::TooManyConditions {
            needed: 256,
            capacity: 255
        }
    );
    is_as_before(&table, &before, stamp);
    table.exchange(&[], &many[1..]).unwrap();
    assert_eq!(table.ranges().len(), 255);
}

#[test]
fn without_room_as_it_is_everything_is_laid_out_anew() {
    let capacity = Capacity::new(Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let mut grants: Vec<Grant> = (1..=1024)
        .flat_map(|block| (0..4).map(move |at| v6(block, 2 * at)))
        .collect();
    let mut table = Table::new(capacity);
    table.fill(&grants, &[]).unwrap();
    let (before, stamp) = (table.ranges(), table.stamp());
    let more = [v6(7, 100), v6(7, 102), v6(7, 104)];
    let error = table.exchange(&[], &more).unwrap_err();
    assert!(
        matches!(
            error,
            TableError::TooLarge {
                family: "IPv6",
                needed: 4099,
                capacity: 4096
            }
        ),
        "{error}"
    );
    is_as_before(&table, &before, stamp);
    // One less in every second block leaves room, in pieces.
    let gone: Vec<Grant> = (1..=512).map(|block| v6(2 * block, 0)).collect();
    grants.retain(|grant| !gone.contains(grant));
    table.exchange(&gone, &[]).unwrap();
    let stamp = table.stamp();
    table.exchange(&[], &more).unwrap();
    grants.extend(more);
    assert_eq!(table.since(Some(stamp)).v6, Part::Whole);
    let mut expected = Table::new(capacity);
    expected.fill(&grants, &[]).unwrap();
    assert_eq!(table.ranges(), expected.ranges());
}

/// So many addresses of a block, none of which can be joined with the next.
fn crowd(block: u32, count: u32) -> impl Iterator<Item = Grant> {
    (0..count).map(move |at| v4(block << 16 | at, 32, 1 + at % 2))
}

#[test]
fn no_run_lies_across_the_border_of_a_chunk() {
    for sizes in [
        &[30_000, 30_000, 30_000][..],
        // Only with the longest first.
        &[30_000, 30_000, 35_000, 35_000],
        &[65_536, 65_536],
    ] {
        let grants: Vec<Grant> = (1..)
            .zip(sizes)
            .flat_map(|(block, count)| crowd(block, *count))
            .collect();
        let mut table = Table::of(&grants, &[]).unwrap();
        for _ in 0..2 {
            for (block, count) in (1..).zip(sizes) {
                let entry = table.index_v4()[block];
                assert_eq!(entry.count, *count);
                assert_eq!(
                    entry.first / CHUNK,
                    (entry.first + entry.count - 1) / CHUNK,
                    "{sizes:?}"
                );
            }
            // The same after the first has gone and come again.
            let first: Vec<Grant> = crowd(1, sizes[0]).collect();
            table.exchange(&first, &[]).unwrap();
            table.exchange(&[], &first).unwrap();
        }
    }
}

/// A run that has come to the border goes on behind it as a whole, also where what comes next only makes its last item
/// longer, or ends what is plain.
#[test]
fn a_run_at_the_border_is_moved_whatever_comes_next() {
    const EACH: u32 = 65_000;
    const LAST: u32 = CHUNK - 2 * EACH;
    let capacity = Capacity::new(2 * CHUNK, Capacity::IPV6_STEP).unwrap();
    let end = 3 << 16 | LAST;
    let rule = 1 + (LAST - 1) % 2;
    for next in [
        v4(end, 32, rule),
        v4(end, 32, 7),
        v4(end - 1, 32, 7),
        v4(4 << 16, 32, rule),
    ] {
        let mut grants: Vec<Grant> = crowd(1, EACH)
            .chain(crowd(2, EACH))
            .chain(crowd(3, LAST))
            .collect();
        grants.extend([next, v4(end + 8, 29, 9)]);
        let mut table = Table::new(capacity);
        table.fill(&grants, &[]).unwrap();
        let entry = table.index_v4()[3];
        assert_eq!(entry.first, CHUNK, "{next:?}");
        // The same without the crowds before.
        let alone = Table::of(&grants[2 * EACH as usize..], &[]).unwrap();
        let ranges = table.ranges();
        assert_eq!(ranges[2 * EACH as usize..], alone.ranges(), "{next:?}");
    }
}

/// Memory of a table that was replaced is used again, whatever was in it.
#[test]
fn a_table_that_is_replaced_is_as_a_new_one() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut table = Table::new(Capacity::default());
    for count in [3000, 10, 0, 2900, 3100, 1, 20_000, 5000, 19_000] {
        let mut grants: Vec<Grant> = Vec::new();
        for _ in 0..count {
            let length = random.u8(14..=32);
            let bits = random.u32(0x0a00_0000..0x0a40_0000) >> (32 - length) << (32 - length);
            grants.push(v4(bits, length, random.u32(1..4)));
            if random.u8(..) == 0 {
                grants.push(v6(random.u16(0x2001..0x2005), random.u16(..)));
            }
        }
        if random.bool() {
            grants.sort_by_key(|grant| (grant.net.network(), grant.net.prefix_len()));
        }
        let exchanged: Vec<Grant> = grants.iter().step_by(7).copied().collect();
        let new = Table::of(&grants, &[]).unwrap();
        table.fill(&grants, &[]).unwrap();
        for _ in 0..2 {
            assert_eq!(table.ranges(), new.ranges(), "{count}");
            table.exchange(&exchanged, &[]).unwrap();
            table.exchange(&[], &exchanged).unwrap();
        }
        if count == 3100 {
            table.rest();
        }
    }
}
