//! Endpoints and answers become grants: which addresses are let through, and for whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use enforcer_common::table::GrantWord;
use ipnet::IpNet;

use super::table::Grant;
use crate::config::{RuleId, Upstream};
use crate::endpoints::{Condition, Endpoint, Target, filtered_upstreams};
use crate::names::ServerName;
use crate::resolve::{KnownAddress, NameSnapshot, Snapshot};

/// Whom a grant is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// A rule of the configuration.
    Rule(RuleId),
    /// The upstream name servers that enforcer itself asks over a filtered port (DNS over HTTPS, mostly).
    Resolver,
}

impl Source {
    /// The number that stands for [`Source::Resolver`] in the kernel's table: the highest one, which no file reaches.
    const RESOLVER: RuleId = RuleId(GrantWord::RULE_MAX);

    /// What the kernel's table holds for it.
    #[must_use]
    pub fn id(self) -> RuleId {
        match self {
            Self::Rule(rule) => rule,
            Self::Resolver => Self::RESOLVER,
        }
    }

    /// The reverse of [`Source::id`].
    #[must_use]
    pub fn of(id: RuleId) -> Self {
        if id == Self::RESOLVER {
            Self::Resolver
        } else {
            Self::Rule(id)
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(rule) => write!(out, "rule {}", rule.0),
            Self::Resolver => out.write_str("resolver"),
        }
    }
}

/// What the policy grants at this moment, in no particular order; the same address may be granted more than once.
///
/// An address whose TTL has run out is granted as long as the snapshot holds it: it is the last good answer of a name
/// that can not be asked at the moment, or in its grace period. A name without an answer and a pattern grant nothing.
#[must_use]
pub fn grants(
    endpoints: &[Endpoint],
    answers: &Snapshot,
    upstreams: &[Upstream],
    ports: &[u16],
) -> Vec<Grant> {
    let by_name: HashMap<_, _> = answers.names.iter().map(|known| (&known.name, known)).collect();
    let mut grants = Vec::new();
    for endpoint in endpoints {
        match &endpoint.target {
            Target::Name(name) => {
                let addresses = by_name.get(name).map_or(&[][..], |known| &known.addresses);
                grants.extend(addresses.iter().map(|known| Grant {
                    net: host(known.address),
                    rule: endpoint.rule,
                    condition: endpoint.condition,
                }));
            }
            Target::Prefix(prefix) => grants.push(Grant {
                net: prefix.trunc(),
                rule: endpoint.rule,
                condition: endpoint.condition,
            }),
            Target::Tag(tag) => grants.extend(tag.0.prefixes.iter().map(|net| Grant {
                net,
                rule: endpoint.rule,
                condition: endpoint.condition,
            })),
            Target::Pattern(_) => {}
        }
    }
    grants.extend(filtered_upstreams(upstreams, ports).map(|upstream| Grant {
        net: host(upstream.address.ip()),
        rule: Source::Resolver.id(),
        // What enforcer asks there may be plain DNS, and is nothing that anybody else could use.
        condition: Condition::Unconditional,
    }));
    grants
}

/// Which grants each name stands for: what is worked out once for a policy, so that a change of one name costs only that.
#[derive(Clone, Debug, Default)]
pub struct NameGrants {
    /// By name; one of which there are several rules is there as often.
    endpoints: Vec<(ServerName, RuleId, Condition)>,
}

impl NameGrants {
    /// Those of a policy with these endpoints.
    #[must_use]
    pub fn new(endpoints: &[Endpoint]) -> Self {
        let of_name = |endpoint: &Endpoint| match &endpoint.target {
            Target::Name(name) => Some((name.clone(), endpoint.rule, endpoint.condition)),
            Target::Prefix(_) | Target::Pattern(_) | Target::Tag(_) => None,
        };
        let mut endpoints: Vec<_> = endpoints.iter().filter_map(of_name).collect();
        endpoints.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        Self { endpoints }
    }

    /// What [`grants`] gives for `old` and not for `new`, and the other way round, added to `removed` and `added`. Both are
    /// of the same name.
    pub fn difference(
        &self,
        old: &NameSnapshot,
        new: &NameSnapshot,
        removed: &mut Vec<Grant>,
        added: &mut Vec<Grant>,
    ) {
        if Arc::ptr_eq(&old.addresses, &new.addresses) {
            return;
        }
        let from = self.endpoints.partition_point(|(name, ..)| *name < new.name);
        let of_name = self.endpoints[from..]
            .iter()
            .take_while(|(name, ..)| *name == new.name);
        for (_, rule, condition) in of_name {
            let grant = |known: &KnownAddress| Grant {
                net: host(known.address),
                rule: *rule,
                condition: *condition,
            };
            removed.extend(beyond(&old.addresses, &new.addresses).map(grant));
            added.extend(beyond(&new.addresses, &old.addresses).map(grant));
        }
    }
}

/// Addresses that only `ours` has. Both are ascending.
fn beyond<'a>(
    ours: &'a [KnownAddress],
    theirs: &'a [KnownAddress],
) -> impl Iterator<Item = &'a KnownAddress> {
    let mut theirs = theirs.iter().peekable();
    ours.iter().filter(move |known| {
        while theirs.next_if(|other| other.address < known.address).is_some() {}
        theirs.next_if(|other| other.address == known.address).is_none()
    })
}

/// The prefix of one address, in the one form that verdicts use: never an IPv4-mapped one.
fn host(address: IpAddr) -> IpNet {
    IpNet::from(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Transport;
    use crate::endpoints::Role;
    use crate::names::DomainPattern;
    use crate::resolve::{FamilyState, LastGood, Standing};

    fn endpoint(rule: u32, target: Target) -> Endpoint {
        Endpoint {
            rule: RuleId(rule),
            role: Role::Allowed,
            target,
            condition: Condition::POLICY,
        }
    }

    fn name(text: &str) -> ServerName {
        ServerName::parse(text).unwrap()
    }

    fn answers(now: Instant) -> Snapshot {
        let known = |address: &str, expires, standing| KnownAddress {
            address: address.parse().unwrap(),
            expires,
            standing,
        };
        let later = now + Duration::from_secs(60);
        Snapshot {
            names: vec![
                NameSnapshot {
                    name: name("a.example.com"),
                    chain: Vec::new(),
                    addresses: [
                        known("192.0.2.1", later, Standing::Current),
                        known("192.0.2.2", now, Standing::Current),
                        known("192.0.2.3", now, Standing::Retired { until: later }),
                        known("2001:db8::1", later, Standing::Current),
                    ]
                    .into(),
                    refused: Vec::new(),
                    v4: FamilyState::Stale {
                        answered: now.into(),
                        error: "SERVFAIL".into(),
                    },
                    v6: FamilyState::Fresh,
                    good_v4: LastGood::default(),
                    good_v6: LastGood::default(),
                },
                NameSnapshot {
                    name: name("nobody.asked.example"),
                    chain: Vec::new(),
                    addresses: [known("192.0.2.99", later, Standing::Current)].into(),
                    refused: Vec::new(),
                    v4: FamilyState::Fresh,
                    v6: FamilyState::Empty,
                    good_v4: LastGood::default(),
                    good_v6: LastGood::default(),
                },
            ]
            .into(),
        }
    }

    /// Net, rule, and whether a name of the policy is asked for.
    fn shown(grants: &[Grant]) -> Vec<(String, u32, bool)> {
        let is_asked = |grant: &Grant| grant.condition == Condition::POLICY;
        let mut shown: Vec<_> = grants
            .iter()
            .map(|grant| (grant.net.to_string(), grant.rule.0, is_asked(grant)))
            .collect();
        shown.sort();
        shown
    }

    #[test]
    fn names_grant_what_is_held_for_them_and_nothing_else() {
        let endpoints = [
            endpoint(1, Target::Name(name("a.example.com"))),
            endpoint(2, Target::Name(name("unanswered.example.com"))),
            endpoint(
                3,
                Target::Pattern(DomainPattern::parse("*.asked.example").unwrap()),
            ),
            Endpoint {
                condition: Condition::Unconditional,
                ..endpoint(4, Target::Prefix("10.30.0.0/24".parse().unwrap()))
            },
        ];
        let grants = grants(&endpoints, &answers(Instant::now()), &[], &[443]);
        assert_eq!(
            shown(&grants),
            [
                ("10.30.0.0/24".to_owned(), 4, false),
                ("192.0.2.1/32".to_owned(), 1, true),
                ("192.0.2.2/32".to_owned(), 1, true),
                ("192.0.2.3/32".to_owned(), 1, true),
                ("2001:db8::1/128".to_owned(), 1, true),
            ]
        );
    }

    /// `a.example.com` with these addresses.
    fn with(addresses: &[&str], now: Instant) -> NameSnapshot {
        let mut known = NameSnapshot::clone(&answers(now).names[0]);
        let address = |text: &&str| KnownAddress {
            address: text.parse().unwrap(),
            expires: now,
            standing: Standing::Current,
        };
        known.addresses = addresses.iter().map(address).collect();
        known
    }

    #[test]
    fn the_difference_is_what_only_one_side_grants() {
        let endpoints = [
            endpoint(2, Target::Name(name("a.example.com"))),
            endpoint(5, Target::Name(name("b.example.com"))),
            endpoint(7, Target::Name(name("a.example.com"))),
        ];
        let now = Instant::now();
        let sets: [&[&str]; 5] = [
            &[],
            &["192.0.2.1"],
            &["192.0.2.1", "192.0.2.3", "2001:db8::1"],
            &["192.0.2.2", "192.0.2.3", "192.0.2.4"],
            &["2001:db8::1", "2001:db8::2"],
        ];
        let of = |known: &NameSnapshot| {
            let snapshot = Snapshot {
                names: [known.clone()].into_iter().collect(),
            };
            shown(&grants(&endpoints, &snapshot, &[], &[443]))
        };
        for (old, new) in sets.iter().flat_map(|old| sets.map(|new| (old, new))) {
            let (old, new) = (with(old, now), with(new, now));
            let (mut removed, mut added) = (Vec::new(), Vec::new());
            NameGrants::new(&endpoints).difference(&old, &new, &mut removed, &mut added);
            let (removed, added) = (shown(&removed), shown(&added));
            assert!(added.iter().all(|grant| !removed.contains(grant)));
            let mut expect = of(&old);
            expect.retain(|grant| !removed.contains(grant));
            expect.extend(added);
            expect.sort();
            assert_eq!(expect, of(&new));
        }
    }

    #[test]
    fn only_upstreams_behind_a_filtered_port_get_a_grant() {
        let upstream = |address: &str, transport| Upstream {
            transport,
            address: address.parse().unwrap(),
        };
        let https = || Transport::Https {
            server_name: None,
            path: "/dns-query".into(),
        };
        let upstreams = [
            upstream("192.0.2.53:443", https()),
            upstream("[::ffff:192.0.2.54]:443", https()),
            upstream("127.0.0.53:443", https()),
            upstream("192.0.2.55:853", Transport::Tls { server_name: None }),
            upstream("192.0.2.56:53", Transport::Plain),
        ];
        let granted = |ports: &[u16]| shown(&grants(&[], &Snapshot::default(), &upstreams, ports));
        let resolver = Source::Resolver.id().0;
        assert_eq!(
            granted(&[443]),
            [
                ("192.0.2.53/32".to_owned(), resolver, false),
                ("192.0.2.54/32".to_owned(), resolver, false)
            ]
        );
        assert_eq!(granted(&[53, 853]).len(), 2);
        assert!(granted(&[8443]).is_empty());
    }

    #[test]
    fn a_source_survives_the_kernels_table() {
        for source in [
            Source::Resolver,
            Source::Rule(RuleId(1)),
            Source::Rule(RuleId(70_000)),
        ] {
            assert_eq!(Source::of(source.id()), source);
            assert!(GrantWord::new(source.id().0, 0).is_some());
        }
    }
}
