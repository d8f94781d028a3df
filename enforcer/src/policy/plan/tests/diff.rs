//! What is different between what is loaded and what is to be.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::*;
use super::{granted, range, under};
use crate::config::RuleId;
use crate::endpoints::{Condition, Scope, Scopes};

fn compare(desired: &[Range], loaded: &[Range]) -> Change {
    compare_named((desired, &[]), (loaded, &[]))
}

fn compare_named(desired: (&[Range], &[GrantedName]), loaded: (&[Range], &[GrantedName])) -> Change {
    let granted = |(ranges, names)| Granted { ranges, names };
    let actual = Actual::Loaded {
        generation: 7,
        mode: Mode::Enforce,
        granted: granted(loaded),
    };
    Change::between(granted(desired), actual, Mode::Enforce)
}

fn shown(changed: &[Changed]) -> Vec<String> {
    let shown = |changed: &Changed| format!("{} {}", changed.span, changed.source);
    changed.iter().map(shown).collect()
}

#[test]
fn nothing_changes_when_both_sides_agree() {
    let ranges = [
        range("192.0.2.0", "192.0.2.255", 1),
        range("2001:db8::", "2001:db8::1", 2),
    ];
    let change = compare(&ranges, &ranges);
    assert_eq!(
        change.to_string(),
        "compared with generation 7, which is loaded:\n\
         0 to add, 0 to remove, 0 to move to another rule or other names, 2 unchanged; names: 0 to add, 0 to remove"
    );
}

#[test]
fn conditions_are_compared_by_what_they_mean() {
    let list = |number| Condition::NameIn(Scopes::of(Scope::of_list(number).unwrap()));
    let (one, two, three) = (
        range("192.0.2.0", "192.0.2.255", 1),
        range("198.51.100.1", "198.51.100.1", 2),
        range("203.0.113.0", "203.0.113.255", 3),
    );
    // The same list has another number on the other side, and the name of another list is another one.
    let desired_names = [
        granted("a.example.com", 0b001),
        granted("new.example.com", 0b011),
        granted("*.list.example.com", 0b100),
    ];
    let loaded_names = [
        granted("a.example.com", 0b001),
        granted("*.old.example.com", 0b001),
        granted("new.example.com", 0b001),
        granted("*.list.example.com", 0b010),
    ];
    let change = compare_named(
        (&[under(list(1), one), two, under(list(0), three)], &desired_names),
        (
            &[
                under(list(0), one),
                under(Condition::Unconditional, two),
                under(list(0), three),
            ],
            &loaded_names,
        ),
    );
    assert_eq!(
        change.to_string(),
        "\
compared with generation 7, which is loaded:
  ~ 198.51.100.1       rule 2; server names: not asked for -> those of the policy
  ~ 203.0.113.0/24     rule 3; server names: *.list.example.com -> new.example.com
  + new.example.com    a server name at prefixes
  - *.old.example.com  a server name of the policy
0 to add, 0 to remove, 2 to move to another rule or other names, 1 unchanged; names: 1 to add, 1 to remove"
    );
    let json = serde_json::to_value(&change).unwrap();
    assert_eq!(
        json["names_added"],
        serde_json::json!([{ "name": "new.example.com", "at": "prefixes" }])
    );
    assert_eq!(
        json["moves"][1],
        serde_json::json!({
            "span": "203.0.113.0/24", "from": "rule 3", "to": "rule 3",
            "from_names": { "asked": "names", "policy": false, "listed": ["*.list.example.com"] },
            "to_names": { "asked": "names", "policy": false, "listed": ["new.example.com"] },
        })
    );
}

#[test]
fn overlaps_are_cut_where_the_two_sides_part() {
    let desired = [
        range("0.0.0.0", "0.0.0.3", 1),
        range("192.0.2.4", "192.0.2.9", 1),
        range("255.255.255.255", "255.255.255.255", 3),
        range("::", "::1", 3),
        range("ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 3),
    ];
    let loaded = [
        range("192.0.2.0", "192.0.2.5", 1),
        range("192.0.2.8", "192.0.2.12", 2),
        range("::1", "::2", 3),
        range("ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 3),
    ];
    let change = compare(&desired, &loaded);
    assert_eq!(
        shown(&change.additions),
        [
            "0.0.0.0/30 rule 1",
            "192.0.2.6/31 rule 1",
            "255.255.255.255 rule 3",
            ":: rule 3"
        ]
    );
    assert_eq!(
        shown(&change.removals),
        [
            "192.0.2.0/30 rule 1",
            "192.0.2.10 - 192.0.2.12 rule 2",
            "::2 rule 3"
        ]
    );
    assert_eq!(change.moves.len(), 1);
    assert_eq!(change.moves[0].span.to_string(), "192.0.2.8/31");
    assert_eq!(change.unchanged, 3);
}

/// Disjoint ascending ranges within 192.0.2.0/26, some of them touching.
fn ranges() -> impl Strategy<Value = Vec<Range>> {
    proptest::collection::vec(0_u8..4, 64).prop_map(|rules| {
        let mut ranges: Vec<Range> = Vec::new();
        for (at, rule) in (0_u8..).zip(rules).filter(|(_, rule)| *rule != 0) {
            let address = IpAddr::from([192, 0, 2, at]);
            match ranges.last_mut() {
                Some(last)
                    if last.last == IpAddr::from([192, 0, 2, at.wrapping_sub(1)])
                        && last.rule == RuleId(rule.into()) =>
                {
                    last.last = address;
                }
                _ => ranges.push(Range {
                    first: address,
                    last: address,
                    rule: RuleId(rule.into()),
                    condition: Condition::Unconditional,
                }),
            }
        }
        ranges
    })
}

fn addresses(spans: impl Iterator<Item = (IpAddr, IpAddr, Source)>) -> BTreeMap<u32, Source> {
    let bits = |address| match address {
        IpAddr::V4(address) => Ipv4Addr::to_bits(address),
        IpAddr::V6(_) => unreachable!("only IPv4 is generated"),
    };
    spans
        .flat_map(|(first, last, source)| (bits(first)..=bits(last)).map(move |at| (at, source)))
        .collect()
}

proptest! {
    #[test]
    fn the_comparison_holds_against_address_by_address(desired in ranges(), loaded in ranges()) {
        let change = compare(&desired, &loaded);
        let of_ranges = |ranges: &[Range]| {
            addresses(ranges.iter().map(|range| (range.first, range.last, Source::of(range.rule))))
        };
        let of_changes = |changes: &[Changed]| {
            addresses(changes.iter().map(|change| (change.span.first, change.span.last, change.source)))
        };
        let (new, old) = (of_ranges(&desired), of_ranges(&loaded));
        let mut expected_additions = new.clone();
        expected_additions.retain(|at, _| !old.contains_key(at));
        let mut expected_removals = old.clone();
        expected_removals.retain(|at, _| !new.contains_key(at));
        let mut expected_moves = new.clone();
        expected_moves.retain(|at, source| old.get(at).is_some_and(|old| old != source));
        prop_assert_eq!(of_changes(&change.additions), expected_additions);
        prop_assert_eq!(of_changes(&change.removals), expected_removals);
        let moves = change.moves.iter().map(|moved| (moved.span.first, moved.span.last, moved.to));
        prop_assert_eq!(addresses(moves), expected_moves);
    }
}
