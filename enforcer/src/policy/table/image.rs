//! The table in the layout that the kernel programs read, and back from it to ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_common::abi::{INTERVALS_V4, INTERVALS_V6};
use enforcer_common::table::{BLOCKS, GrantWord, Index, IntervalV4, IntervalV6, WHOLE};
use ipnet::IpNet;

use super::Grant;
use super::conditions::{Conditions, held};
use super::error::TableError;
use super::names::NamesImage;
use super::segments::{Held, Segment, disjoint};
use crate::config::RuleId;
use crate::endpoints::{Condition, GrantedName};

/// One half of the kernel's table, ready to be copied into it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableImage {
    pub(crate) index_v4: Vec<Index>,
    pub(crate) intervals_v4: Vec<IntervalV4>,
    pub(crate) index_v6: Vec<Index>,
    pub(crate) intervals_v6: Vec<IntervalV6>,
    /// What the conditions of grants stand for, a bit for each scope. The first one is never used.
    pub(crate) conditions: Vec<u64>,
    /// The server names.
    pub(crate) names: NamesImage,
}

/// Granted addresses, both ends inclusive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family.
    pub last: IpAddr,
    /// The rule that speaks for them.
    pub rule: RuleId,
    /// What is asked of sessions to them.
    pub condition: Condition,
}

impl TableImage {
    /// Sorts and merges `grants`, and lays out the names that their conditions are about.
    ///
    /// # Errors
    /// [`TableError`] when they do not fit; there is no part of a table.
    pub fn build(grants: &[Grant], names: &[GrantedName]) -> Result<Self, TableError> {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for Grant { net, rule, condition } in grants {
            if rule.0 > GrantWord::RULE_MAX {
                return Err(TableError::RuleNumber { rule: rule.0 });
            }
            let grant = Held {
                rule: *rule,
                condition: *condition,
            };
            match net {
                IpNet::V4(net) => v4.push(Segment {
                    first: net.network().to_bits(),
                    last: net.broadcast().to_bits(),
                    grant,
                }),
                IpNet::V6(net) => v6.push(Segment {
                    first: net.network().to_bits(),
                    last: net.broadcast().to_bits(),
                    grant,
                }),
            }
        }
        let (v4, v6) = (disjoint(v4), disjoint(v6));
        let held = v4.iter().map(|segment| segment.grant);
        let conditions = Conditions::of(held.chain(v6.iter().map(|segment| segment.grant)))?;
        let (index_v4, intervals_v4) = pack_v4(&v4, &conditions)?;
        let (index_v6, intervals_v6) = pack_v6(&v6, &conditions)?;
        Ok(Self {
            index_v4,
            intervals_v4,
            index_v6,
            intervals_v6,
            conditions: conditions.into_words(),
            names: NamesImage::build(names)?,
        })
    }

    /// The granted ranges, ascending, IPv4 first; neighbours under the same rule and condition are one range.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range> {
        decode(
            &self.index_v4,
            &self.intervals_v4,
            &self.index_v6,
            &self.intervals_v6,
            &self.conditions,
        )
    }

    /// The granted names, ascending.
    #[must_use]
    pub fn granted_names(&self) -> Vec<GrantedName> {
        self.names.decode()
    }
}

/// Distributes segments over blocks: `whole` blocks into the index alone, parts of a block through `part`.
fn pack(
    pieces: impl Iterator<Item = (u32, bool, GrantWord)>,
    family: &'static str,
    capacity: u32,
) -> Result<Vec<Index>, TableError> {
    let mut index = vec![Index::default(); BLOCKS as usize];
    let mut position = 0_u32;
    for (block, whole, grant) in pieces {
        let entry = &mut index[block as usize];
        if whole {
            *entry = Index {
                first: grant.0,
                count: WHOLE,
            };
            continue;
        }
        if entry.count == 0 {
            entry.first = position;
        }
        entry.count += 1;
        position += 1;
    }
    if position > capacity {
        return Err(TableError::TooLarge {
            family,
            needed: position as usize,
            capacity,
        });
    }
    Ok(index)
}

fn pack_v4(
    segments: &[Segment<u32>],
    conditions: &Conditions,
) -> Result<(Vec<Index>, Vec<IntervalV4>), TableError> {
    let pieces = || {
        segments.iter().flat_map(|segment| {
            let grant = conditions.word(segment.grant);
            (segment.first >> 16..=segment.last >> 16).map(move |block| {
                #[expect(clippy::cast_possible_truncation, reason = "the last 16 bits are meant")]
                let first = if block == segment.first >> 16 {
                    segment.first as u16
                } else {
                    0
                };
                #[expect(clippy::cast_possible_truncation, reason = "the last 16 bits are meant")]
                let last = if block == segment.last >> 16 {
                    segment.last as u16
                } else {
                    u16::MAX
                };
                (block, IntervalV4 { first, last, grant })
            })
        })
    };
    let whole = |interval: &IntervalV4| interval.first == 0 && interval.last == u16::MAX;
    let index = pack(
        pieces().map(|(block, piece)| (block, whole(&piece), piece.grant)),
        "IPv4",
        INTERVALS_V4,
    )?;
    let intervals = pieces()
        .map(|(_, piece)| piece)
        .filter(|piece| !whole(piece))
        .collect();
    Ok((index, intervals))
}

fn pack_v6(
    segments: &[Segment<u128>],
    conditions: &Conditions,
) -> Result<(Vec<Index>, Vec<IntervalV6>), TableError> {
    const REST: u128 = u128::MAX >> 16;
    let pieces = || {
        segments.iter().flat_map(|segment| {
            let grant = conditions.word(segment.grant);
            (segment.first >> 112..=segment.last >> 112).map(move |block| {
                let first = segment.first.max(block << 112);
                let last = segment.last.min((block << 112) | REST);
                #[expect(clippy::cast_possible_truncation, reason = "16 bits are left")]
                (block as u32, first, last, grant)
            })
        })
    };
    let whole = |first: u128, last: u128| first & REST == 0 && last & REST == REST;
    let index = pack(
        pieces().map(|(block, first, last, grant)| (block, whole(first, last), grant)),
        "IPv6",
        INTERVALS_V6,
    )?;
    let intervals = pieces()
        .filter(|(_, first, last, _)| !whole(*first, *last))
        .map(|(_, first, last, grant)| IntervalV6 {
            first: halves(first),
            last: halves(last),
            grant,
            padding: 0,
        })
        .collect();
    Ok((index, intervals))
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

const fn joined([high, low]: [u64; 2]) -> u128 {
    ((high as u128) << 64) | low as u128
}

/// What one half of a table grants. Positions that the index names and the arrays do not have are left out: a table
/// that was read from a running kernel may be of any content.
#[must_use]
pub fn decode(
    index_v4: &[Index],
    intervals_v4: &[IntervalV4],
    index_v6: &[Index],
    intervals_v6: &[IntervalV6],
    conditions: &[u64],
) -> Vec<Range> {
    let mut v4: Vec<Segment<u32>> = Vec::new();
    for (block, entry) in (0_u32..BLOCKS).zip(index_v4) {
        let base = block << 16;
        if entry.count == WHOLE {
            v4.push(Segment {
                first: base,
                last: base | 0xffff,
                grant: held(GrantWord(entry.first), conditions),
            });
            continue;
        }
        for interval in run(intervals_v4, *entry) {
            v4.push(Segment {
                first: base | u32::from(interval.first),
                last: base | u32::from(interval.last),
                grant: held(interval.grant, conditions),
            });
        }
    }
    let mut v6: Vec<Segment<u128>> = Vec::new();
    for (block, entry) in (0_u128..u128::from(BLOCKS)).zip(index_v6) {
        if entry.count == WHOLE {
            v6.push(Segment {
                first: block << 112,
                last: (block << 112) | (u128::MAX >> 16),
                grant: held(GrantWord(entry.first), conditions),
            });
            continue;
        }
        for interval in run(intervals_v6, *entry) {
            v6.push(Segment {
                first: joined(interval.first),
                last: joined(interval.last),
                grant: held(interval.grant, conditions),
            });
        }
    }
    // They are disjoint already; what is left to do is joining neighbours across blocks.
    let v4 = disjoint(v4).into_iter().map(|segment| {
        range(
            Ipv4Addr::from_bits(segment.first).into(),
            Ipv4Addr::from_bits(segment.last).into(),
            segment.grant,
        )
    });
    let v6 = disjoint(v6).into_iter().map(|segment| {
        range(
            Ipv6Addr::from_bits(segment.first).into(),
            Ipv6Addr::from_bits(segment.last).into(),
            segment.grant,
        )
    });
    v4.chain(v6).collect()
}

fn run<T>(intervals: &[T], entry: Index) -> &[T] {
    let first = entry.first as usize;
    intervals
        .get(first..first.saturating_add(entry.count as usize))
        .unwrap_or_default()
}

const fn range(first: IpAddr, last: IpAddr, grant: Held) -> Range {
    Range {
        first,
        last,
        rule: grant.rule,
        condition: grant.condition,
    }
}
