//! What is different between two sets of ranges, address by address and in as few spans as possible.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Subnets, Ipv6Subnets};
use serde::{Serialize, Serializer};

use super::{Actual, Source};
use crate::config::Mode;
use crate::policy::table::Range;

/// What a plan changes.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it was compared with.
    #[serde(flatten)]
    pub against: Against,
    /// Granted by the plan and not loaded.
    pub additions: Vec<Changed>,
    /// Loaded and not granted by the plan.
    pub removals: Vec<Changed>,
    /// Granted by both, by different rules.
    pub moves: Vec<Moved>,
    /// Spans that stay as they are.
    pub unchanged: usize,
}

/// What a plan was compared with.
#[derive(Debug, Serialize)]
#[serde(tag = "loaded", rename_all = "kebab-case")]
pub enum Against {
    /// What is loaded could not be read: everything counts as an addition.
    Unread {
        /// Why not.
        why: String,
    },
    /// No enforcer runs here: everything counts as an addition.
    Nothing,
    /// A policy that is in force.
    Policy {
        /// Its generation.
        generation: u64,
        /// Whether it is in audit mode and the plan is not, or the other way round.
        mode_changes: bool,
    },
}

/// A span that one side has and the other has not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Changed {
    /// The addresses.
    pub span: Span,
    /// Who grants them.
    #[serde(serialize_with = "super::source")]
    pub source: Source,
}

/// A span that both sides grant, for different rules or under different conditions.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Moved {
    /// The addresses.
    pub span: Span,
    /// Who grants them in what is loaded.
    #[serde(serialize_with = "super::source")]
    pub from: Source,
    /// Who grants them in the plan.
    #[serde(serialize_with = "super::source")]
    pub to: Source,
}

/// Addresses from the first to the last, both included and of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl fmt::Display for Span {
    /// One address, one prefix, or `first - last`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(out, "{}", self.first);
        }
        let only_prefix = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => only(Ipv4Subnets::new(first, last, 0)).map(Into::into),
            (IpAddr::V6(first), IpAddr::V6(last)) => only(Ipv6Subnets::new(first, last, 0)).map(Into::into),
            _ => None,
        };
        match only_prefix {
            Some(ipnet::IpNet::V4(prefix)) => write!(out, "{prefix}"),
            Some(ipnet::IpNet::V6(prefix)) => write!(out, "{prefix}"),
            None => write!(out, "{} - {}", self.first, self.last),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    if items.next().is_some() { None } else { first }
}

impl Change {
    /// Compares what the kernel would be told with what it holds. Both are disjoint and ascending.
    #[must_use]
    pub fn between(desired: &[Range], actual: Actual<'_>, mode: Mode) -> Self {
        let (against, loaded) = match actual {
            Actual::Unread { why } => (Against::Unread { why: why.to_owned() }, &[][..]),
            Actual::Nothing => (Against::Nothing, &[][..]),
            Actual::Loaded {
                generation,
                mode: loaded_mode,
                ranges,
            } => (
                Against::Policy {
                    generation,
                    mode_changes: loaded_mode != mode,
                },
                ranges,
            ),
        };
        let mut change = Self {
            against,
            additions: Vec::new(),
            removals: Vec::new(),
            moves: Vec::new(),
            unchanged: 0,
        };
        let mut plan = Cursor::new(desired);
        let mut old = Cursor::new(loaded);
        loop {
            match (plan.current, old.current) {
                (None, None) => return change,
                (Some(new), None) => change.additions.push(plan.take(new.last)),
                (None, Some(gone)) => change.removals.push(old.take(gone.last)),
                (Some(new), Some(gone)) if new.first < gone.first => {
                    change
                        .additions
                        .push(plan.take(new.last.min(gone.first.previous())));
                }
                (Some(new), Some(gone)) if gone.first < new.first => {
                    change
                        .removals
                        .push(old.take(gone.last.min(new.first.previous())));
                }
                (Some(new), Some(gone)) => {
                    let last = new.last.min(gone.last);
                    let (to, from) = (plan.take(last), old.take(last));
                    if new.grant == gone.grant {
                        change.unchanged += 1;
                    } else {
                        change.moves.push(Moved {
                            span: to.span,
                            from: from.source,
                            to: to.source,
                        });
                    }
                }
            }
        }
    }
}

/// An address as a number that orders IPv4 before IPv6.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Point {
    is_v6: bool,
    bits: u128,
}

impl Point {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self {
                is_v6: false,
                bits: address.to_bits().into(),
            },
            IpAddr::V6(address) => Self {
                is_v6: true,
                bits: address.to_bits(),
            },
        }
    }

    fn address(self) -> IpAddr {
        match u32::try_from(self.bits) {
            Ok(bits) if !self.is_v6 => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(self.bits).into(),
        }
    }

    /// The point before. Only used below a greater one; the first of IPv6 is preceded by the last of IPv4.
    fn previous(self) -> Self {
        match self.bits.checked_sub(1) {
            Some(bits) => Self { bits, ..self },
            None => Self {
                is_v6: false,
                bits: u32::MAX.into(),
            },
        }
    }

    fn next(self) -> Self {
        Self {
            bits: self.bits.saturating_add(1),
            ..self
        }
    }
}

/// What is left of the range under a cursor.
#[derive(Clone, Copy)]
struct Piece {
    first: Point,
    last: Point,
    grant: (Source, bool),
}

/// Walks over ranges and takes pieces off the front.
struct Cursor<'a> {
    rest: std::slice::Iter<'a, Range>,
    current: Option<Piece>,
}

impl<'a> Cursor<'a> {
    fn new(ranges: &'a [Range]) -> Self {
        let mut cursor = Self {
            rest: ranges.iter(),
            current: None,
        };
        cursor.advance();
        cursor
    }

    fn advance(&mut self) {
        self.current = self.rest.next().map(|range| Piece {
            first: Point::of(range.first),
            last: Point::of(range.last),
            grant: (Source::of(range.rule), range.by_name),
        });
    }

    /// Takes the current piece up to `last`, which lies in it.
    fn take(&mut self, last: Point) -> Changed {
        let piece = self.current.expect("a piece is only taken where one is");
        if last < piece.last {
            self.current = Some(Piece {
                first: last.next(),
                ..piece
            });
        } else {
            self.advance();
        }
        Changed {
            span: Span {
                first: piece.first.address(),
                last: last.address(),
            },
            source: piece.grant.0,
        }
    }
}
