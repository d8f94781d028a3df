//! Which records of an answer belong to its question: the walk along the CNAME chain by owner name.
//!
//! An answer section may hold anything: a resolver library hands on what an attacker slipped in beside the chain
//! (THREATS: poisoned answers). Only addresses owned by the chain's end count, whatever the order of the records.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::Family;
use super::answer::{DnsName, Record, RecordData};

/// Why a chain leads nowhere.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// The chain comes back to a name it passed.
    #[error("the CNAME chain comes back to {at}")]
    Loop {
        /// The name that comes twice.
        at: DnsName,
    },
    /// More CNAMEs than the configuration admits.
    #[error("the CNAME chain has more than {max} links")]
    TooLong {
        /// The limit, `chain_max`.
        max: usize,
    },
    /// Two different CNAME records at one name (forbidden by RFC 2181 section 10.1).
    #[error("{owner} has several CNAMEs")]
    Ambiguous {
        /// The name that has them.
        owner: DnsName,
    },
}

/// What belongs to the question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Walk {
    /// The CNAME targets in order; empty when the name is no alias.
    pub chain: Vec<DnsName>,
    /// The addresses of the chain's end in the family asked for, ascending and each once.
    pub addresses: Vec<IpAddr>,
    /// The shortest TTL in seconds on the way, the addresses included; `None` when there was no record at all.
    pub ttl: Option<u32>,
}

/// Follows the CNAMEs of `question` through `records`, at most `chain_max` of them.
///
/// Owners are compared without regard to case ([`DnsName`] has one spelling). A CNAME beside other records at the same
/// name goes first; the others are then not at the chain's end and do not count.
///
/// # Errors
/// A [`ChainError`]; nothing of the answer is to be used then.
pub fn walk(
    question: &DnsName,
    family: Family,
    records: &[Record],
    chain_max: usize,
) -> Result<Walk, ChainError> {
    let aliases = aliases(records);
    let mut chain: Vec<DnsName> = Vec::new();
    let mut ttl: Option<u32> = None;
    let mut end = question;
    while let Some(alias) = aliases.get(end) {
        if alias.ambiguous {
            return Err(ChainError::Ambiguous { owner: end.clone() });
        }
        if alias.target == question || chain.contains(alias.target) {
            return Err(ChainError::Loop {
                at: alias.target.clone(),
            });
        }
        if chain.len() == chain_max {
            return Err(ChainError::TooLong { max: chain_max });
        }
        ttl = shorter(ttl, alias.ttl);
        chain.push(alias.target.clone());
        end = alias.target;
    }

    let mut addresses = BTreeSet::new();
    for record in records {
        match record.data {
            RecordData::Address(address) if record.owner == *end && is_of(address, family) => {
                addresses.insert(address);
                ttl = shorter(ttl, record.ttl);
            }
            _ => {}
        }
    }
    Ok(Walk {
        chain,
        addresses: addresses.into_iter().collect(),
        ttl,
    })
}

/// The CNAME of one owner.
struct Alias<'a> {
    target: &'a DnsName,
    ttl: u32,
    /// There is another one with a different target.
    ambiguous: bool,
}

fn aliases(records: &[Record]) -> HashMap<&DnsName, Alias<'_>> {
    let mut aliases: HashMap<&DnsName, Alias<'_>> = HashMap::new();
    for record in records {
        let RecordData::Alias(target) = &record.data else {
            continue;
        };
        let alias = aliases.entry(&record.owner).or_insert(Alias {
            target,
            ttl: record.ttl,
            ambiguous: false,
        });
        alias.ambiguous |= alias.target != target;
        alias.ttl = alias.ttl.min(record.ttl);
    }
    aliases
}

fn is_of(address: IpAddr, family: Family) -> bool {
    address.is_ipv4() == (family == Family::V4)
}

/// RFC 2181 section 8: a TTL with the most significant bit set is zero.
fn shorter(so_far: Option<u32>, ttl: u32) -> Option<u32> {
    let ttl = if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl };
    Some(so_far.map_or(ttl, |so_far| so_far.min(ttl)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    /// `"owner ttl target-or-address"`, one record each.
    fn records(lines: &[&str]) -> Vec<Record> {
        lines
            .iter()
            .map(|line| {
                let [owner, ttl, data] = line.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("three words: {line}");
                };
                Record {
                    owner: DnsName::new(owner),
                    ttl: ttl.parse().unwrap(),
                    data: data
                        .parse()
                        .map_or_else(|_| RecordData::Alias(DnsName::new(data)), RecordData::Address),
                }
            })
            .collect()
    }

    fn walked(lines: &[&str]) -> Result<Walk, ChainError> {
        walk(&DnsName::new("a.test"), Family::V4, &records(lines), 4)
    }

    fn texts(walk: &Walk) -> (Vec<String>, Vec<String>, Option<u32>) {
        (
            walk.chain.iter().map(ToString::to_string).collect(),
            walk.addresses.iter().map(ToString::to_string).collect(),
            walk.ttl,
        )
    }

    #[test]
    fn only_the_end_of_the_chain_counts() {
        type Expect<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], Option<u32>);
        let table: &[Expect<'_>] = &[
            (&[], &[], &[], None),
            (&["a.test 9 198.51.100.1"], &[], &["198.51.100.1"], Some(9)),
            // Injected beside the chain, and in the other family.
            (
                &[
                    "a.test 9 198.51.100.1",
                    "evil.test 1 203.0.113.66",
                    "a.test 2 2001:db8::1",
                ],
                &[],
                &["198.51.100.1"],
                Some(9),
            ),
            // Out of order, in mixed case, with a link that is the shortest.
            (
                &[
                    "C.test 60 198.51.100.2",
                    "c.test 50 198.51.100.1",
                    "B.TEST 10 c.test",
                    "A.test 300 b.Test.",
                ],
                &["b.test", "c.test"],
                &["198.51.100.1", "198.51.100.2"],
                Some(10),
            ),
            // Addresses in the middle of the chain are not at its end.
            (
                &[
                    "a.test 5 b.test",
                    "a.test 5 203.0.113.66",
                    "b.test 7 198.51.100.1",
                ],
                &["b.test"],
                &["198.51.100.1"],
                Some(5),
            ),
            // A chain whose end is not in the answer; the same CNAME twice is one.
            (&["a.test 5 b.test", "a.test 4 b.test"], &["b.test"], &[], Some(4)),
            // RFC 2181 section 8.
            (
                &["a.test 2147483648 198.51.100.1"],
                &[],
                &["198.51.100.1"],
                Some(0),
            ),
        ];
        for (lines, chain, addresses, ttl) in table {
            let walk = walked(lines).unwrap();
            let (got_chain, got_addresses, got_ttl) = texts(&walk);
            assert_eq!(
                (&got_chain[..], &got_addresses[..], got_ttl),
                (
                    &chain.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    &addresses.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    *ttl
                ),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_broken_chain_is_an_error() {
        let at = |name: &str| DnsName::new(name);
        assert_eq!(
            walked(&["a.test 5 a.test"]),
            Err(ChainError::Loop { at: at("a.test") })
        );
        assert_eq!(
            walked(&["a.test 5 b.test", "b.test 5 c.test", "c.test 5 b.test"]),
            Err(ChainError::Loop { at: at("b.test") })
        );
        assert_eq!(
            walked(&["a.test 5 b.test", "a.test 5 c.test", "b.test 5 198.51.100.1"]),
            Err(ChainError::Ambiguous { owner: at("a.test") })
        );
        let long = ["a.test 1 b", "b 1 c", "c 1 d", "d 1 e", "e 1 198.51.100.1"];
        assert_eq!(texts(&walked(&long).unwrap()).0, ["b", "c", "d", "e"]);
        let longer = ["a.test 1 b", "b 1 c", "c 1 d", "d 1 e", "e 1 f"];
        assert_eq!(walked(&longer), Err(ChainError::TooLong { max: 4 }));
    }

    #[test]
    fn an_ambiguity_off_the_chain_does_not_matter() {
        assert!(walked(&["a.test 5 198.51.100.1", "x.test 5 b.test", "x.test 5 c.test"]).is_ok());
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let name = || (0_u8..6).prop_map(|number| DnsName::new(&format!("N{number}.test")));
        let data = prop_oneof![
            name().prop_map(RecordData::Alias),
            any::<[u8; 4]>().prop_map(|octets| RecordData::Address(Ipv4Addr::from(octets).into())),
            any::<[u8; 16]>().prop_map(|octets| RecordData::Address(octets.into())),
        ];
        (name(), any::<u32>(), data).prop_map(|(owner, ttl, data)| Record { owner, ttl, data })
    }

    proptest! {
        #[test]
        fn whatever_is_answered_is_on_the_chain(
            records in proptest::collection::vec(any_record(), 0..12),
            chain_max in 0_usize..5,
        ) {
            let question = DnsName::new("n0.test");
            let Ok(walk) = walk(&question, Family::V4, &records, chain_max) else {
                return Ok(());
            };
            prop_assert!(walk.chain.len() <= chain_max);
            let end = walk.chain.last().unwrap_or(&question);
            let mut shortest = u32::MAX;
            for address in &walk.addresses {
                prop_assert!(address.is_ipv4());
                let owned = records
                    .iter()
                    .filter(|record| record.owner == *end && record.data == RecordData::Address(*address));
                for record in owned.clone() {
                    shortest = shortest.min(record.ttl);
                }
                prop_assert!(owned.count() > 0);
            }
            let mut from = &question;
            for target in &walk.chain {
                let link = |record: &Record| {
                    record.owner == *from && record.data == RecordData::Alias(target.clone())
                };
                prop_assert!(records.iter().any(link));
                from = target;
            }
            prop_assert!(walk.ttl.unwrap_or(0) <= shortest);
        }
    }
}
