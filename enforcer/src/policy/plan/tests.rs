//! Plans from data to text, and the comparison against a naive one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::config::{Enforce, Resolver, RuleId, RuleKind};
use crate::policy::grants::grants;
use crate::policy::table::TableImage;
use crate::resolve::{DnsName, KnownAddress, RefusedAddress};

fn range(first: &str, last: &str, rule: u32) -> Range {
    Range {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        rule: RuleId(rule),
        by_name: true,
    }
}

fn compare(desired: &[Range], loaded: &[Range]) -> Change {
    let actual = Actual::Loaded {
        generation: 7,
        mode: Mode::Enforce,
        ranges: loaded,
    };
    Change::between(desired, actual, Mode::Enforce)
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
         0 to add, 0 to remove, 0 to move to another rule, 2 unchanged"
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
                    by_name: false,
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

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

fn rule(id: u32, line: usize, kind: RuleKind, accepted_risk: Option<&str>) -> Rule {
    Rule {
        id: RuleId(id),
        place: Place {
            file: "enforcer.toml".into(),
            line,
            column: 1,
        },
        kind,
        private_link: Vec::new(),
        accepted_risk: accepted_risk.map(str::to_owned),
    }
}

fn example() -> (Config, Vec<Endpoint>, Vec<Upstream>) {
    let pattern = DomainPattern::parse("*.blob.core.windows.net").unwrap();
    let prefix = "10.30.0.0/24".parse().unwrap();
    let config = Config {
        mode: Mode::Enforce,
        rules: vec![
            rule(1, 3, RuleKind::Name(name("contoso.azurecr.io")), None),
            rule(2, 7, RuleKind::Name(name("gone.example.com")), None),
            rule(
                3,
                10,
                RuleKind::Pattern(pattern.clone()),
                Some("old builds still use it"),
            ),
            rule(
                4,
                14,
                RuleKind::Prefixes {
                    prefixes: vec![prefix],
                    names: crate::config::Names::Any,
                },
                None,
            ),
        ],
        enforce: Enforce {
            ports: vec![443, 8443],
            ..Enforce::default()
        },
        resolver: Resolver::default(),
    };
    let endpoint = |rule, role, target| Endpoint {
        rule: RuleId(rule),
        role,
        target,
        condition: crate::endpoints::Condition::POLICY,
    };
    let endpoints = vec![
        endpoint(1, Role::LoginServer, Target::Name(name("contoso.azurecr.io"))),
        endpoint(1, Role::CertificateName, Target::Name(name("azurecr.io"))),
        endpoint(2, Role::Allowed, Target::Name(name("gone.example.com"))),
        endpoint(3, Role::Allowed, Target::Pattern(pattern)),
        endpoint(4, Role::Allowed, Target::Prefix(prefix)),
    ];
    let upstreams = vec![Upstream {
        transport: Transport::Https {
            server_name: None,
            path: "/dns-query".into(),
        },
        address: "192.0.2.53:443".parse().unwrap(),
    }];
    (config, endpoints, upstreams)
}

fn example_answers(now: Instant) -> Snapshot {
    let in_seconds = |seconds| now + Duration::from_secs(seconds);
    let known = |address: &str, ttl, standing| KnownAddress {
        address: address.parse().unwrap(),
        expires: in_seconds(ttl),
        standing,
    };
    let failed = || FamilyState::Failed {
        error: "SERVFAIL from 192.0.2.53".into(),
    };
    Snapshot {
        names: vec![
            NameSnapshot {
                name: name("contoso.azurecr.io"),
                chain: vec![
                    DnsName::new("contoso.privatelink.azurecr.io"),
                    DnsName::new("front.westeurope.example.com"),
                ],
                addresses: vec![
                    known("192.0.2.10", 9, Standing::Current),
                    known(
                        "192.0.2.111",
                        0,
                        Standing::Retired {
                            until: in_seconds(420),
                        },
                    ),
                ],
                refused: vec![RefusedAddress {
                    address: "10.0.0.9".parse().unwrap(),
                    why: "private (RFC 1918)",
                }],
                v4: FamilyState::Fresh,
                v6: FamilyState::Stale {
                    answered: now - Duration::from_secs(7500),
                    error: "no answer within 3 s".into(),
                },
            },
            NameSnapshot {
                name: name("gone.example.com"),
                chain: Vec::new(),
                addresses: Vec::new(),
                refused: Vec::new(),
                v4: failed(),
                v6: failed(),
            },
        ],
    }
}

fn example_plan(actual: Actual<'_>) -> Plan {
    // Far from the clock's start, so that the past exists.
    let now = Instant::now() + Duration::from_secs(100_000);
    let (config, endpoints, upstreams) = example();
    let answers = example_answers(now);
    let grants = grants(&endpoints, &answers, &upstreams, &config.enforce.ports);
    let desired: Vec<_> = TableImage::build(&grants).unwrap().ranges();
    Plan::new(&config, &endpoints, &upstreams, &answers, now, &desired, actual)
}

#[test]
fn a_plan_reads_like_this() {
    let loaded = [
        range("192.0.2.10", "192.0.2.10", 1),
        range("192.0.2.9", "192.0.2.9", 1),
    ];
    let plan = example_plan(Actual::Loaded {
        generation: 41,
        mode: Mode::Audit,
        ranges: &[loaded[1], loaded[0]],
    });
    let expected = "\
mode enforce, ports 443 8443, UDP to them denied

rule 1: allow contoso.azurecr.io  (enforcer.toml:3)
  login server contoso.azurecr.io
    -> contoso.privatelink.azurecr.io
    -> front.westeurope.example.com
    192.0.2.10   ttl 9 s
    192.0.2.111  ttl 0 s, left the answers, kept for 7 min
    10.0.0.9     refused: private (RFC 1918)
    IPv6: stale, last answered 2 h 5 min ago: no answer within 3 s
  certificate name azurecr.io
    IPv4: no answer within the time limit
    IPv6: no answer within the time limit
    nothing is granted for it

rule 2: allow gone.example.com  (enforcer.toml:7)
  allowed gone.example.com
    IPv4: SERVFAIL from 192.0.2.53
    IPv6: SERVFAIL from 192.0.2.53
    nothing is granted for it

rule 3: allow *.blob.core.windows.net  (enforcer.toml:10)
  exfiltration risk accepted: old builds still use it
  allowed *.blob.core.windows.net
    not yet resolvable: enforced by name in a later version, nothing is granted for it

rule 4: allow 10.30.0.0/24  (enforcer.toml:14)
  allowed 10.30.0.0/24

resolver: granted so that enforcer can ask for names
  192.0.2.53:443 (https)

compared with generation 41, which is loaded:
  ~ the mode changes
  + 10.30.0.0/24  rule 4
  + 192.0.2.53    resolver
  + 192.0.2.111   rule 1
  - 192.0.2.9     rule 1
3 to add, 1 to remove, 0 to move to another rule, 1 unchanged";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn only_what_a_rule_needs_counts_as_unresolved() {
    let plan = example_plan(Actual::Nothing);
    assert_eq!(plan.unresolved(), [&name("gone.example.com")]);
}

#[test]
fn what_could_not_be_read_is_compared_with_nothing_and_says_so() {
    let plan = example_plan(Actual::Unread { why: "not permitted" });
    assert!(plan.to_string().contains("could not be read (not permitted)"));
    assert_eq!(plan.change.additions.len(), 4);
}

#[test]
fn the_serialised_form_is_stable() {
    let plan = serde_json::to_value(example_plan(Actual::Nothing)).unwrap();
    assert_eq!(plan["version"], 1);
    assert_eq!(plan["mode"], "enforce");
    assert_eq!(plan["quic"], "deny");
    assert_eq!(plan["rules"][0]["place"], "enforcer.toml:3");
    let login = &plan["rules"][0]["endpoints"][0];
    assert_eq!(
        (&login["role"], &login["kind"]),
        (&"login-server".into(), &"name".into())
    );
    assert_eq!(login["name"], "contoso.azurecr.io");
    assert_eq!(login["chain"][0], "contoso.privatelink.azurecr.io");
    assert_eq!(login["addresses"][0]["ttl_left_s"], 9);
    assert!(login["addresses"][0].get("retires_in_s").is_none());
    assert_eq!(login["addresses"][1]["retires_in_s"], 420);
    assert_eq!(login["aaaa"]["state"], "stale");
    assert_eq!(login["aaaa"]["age_s"], 7500);
    assert_eq!(
        plan["rules"][2]["endpoints"][0]["pattern"],
        "*.blob.core.windows.net"
    );
    assert_eq!(plan["upstreams"][0]["address"], "192.0.2.53:443");
    assert_eq!(plan["change"]["loaded"], "nothing");
    assert_eq!(plan["change"]["additions"][0]["span"], "10.30.0.0/24");
    assert_eq!(plan["change"]["additions"][0]["source"], "rule 4");
}

#[test]
fn durations_are_shown_in_their_largest_unit() {
    let shown = |seconds| Elapsed(Duration::from_secs(seconds)).to_string();
    assert_eq!(
        [0, 59, 60, 3599, 3600, 7500, 86_400, 400_000].map(shown),
        ["0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "1 d", "4 d"]
    );
}
