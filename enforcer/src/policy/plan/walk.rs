//! Two sets of ranges side by side, in pieces that begin and end where one of the two does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::diff::{Changed, Span};
use super::{Granted, Source};
use crate::endpoints::{Asked, Condition};

/// An address as a number that orders IPv4 before IPv6.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Point {
    is_v6: bool,
    bits: u128,
}

impl Point {
    pub(super) fn of(address: IpAddr) -> Self {
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

    pub(super) fn address(self) -> IpAddr {
        match u32::try_from(self.bits) {
            Ok(bits) if !self.is_v6 => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(self.bits).into(),
        }
    }

    /// The point before. Only used below a greater one; the first of IPv6 is preceded by the last of IPv4.
    pub(super) fn previous(self) -> Self {
        match self.bits.checked_sub(1) {
            Some(bits) => Self { bits, ..self },
            None => Self {
                is_v6: false,
                bits: u32::MAX.into(),
            },
        }
    }

    pub(super) fn next(self) -> Self {
        Self {
            bits: self.bits.saturating_add(1),
            ..self
        }
    }
}

/// What conditions mean, each meaning once, so that conditions of two policies can be compared.
#[derive(Default)]
pub(super) struct Meanings {
    all: Vec<Arc<Asked>>,
    number_of: HashMap<Arc<Asked>, usize>,
}

impl Meanings {
    fn number(&mut self, asked: Asked) -> usize {
        let asked = Arc::new(asked);
        let next = self.all.len();
        let number = *self.number_of.entry(Arc::clone(&asked)).or_insert(next);
        if number == next {
            self.all.push(asked);
        }
        number
    }
}

/// A range, or what is left of it under a cursor.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) first: Point,
    pub(super) last: Point,
    pub(super) source: Source,
    /// Its position in [`Meanings`].
    pub(super) asked: usize,
}

/// The ranges of one side.
pub(super) fn pieces(granted: Granted<'_>, meanings: &mut Meanings) -> Vec<Piece> {
    let mut number_of: HashMap<Condition, usize> = HashMap::new();
    granted
        .ranges
        .iter()
        .map(|range| Piece {
            first: Point::of(range.first),
            last: Point::of(range.last),
            source: Source::of(range.rule),
            asked: *number_of
                .entry(range.condition)
                .or_insert_with(|| meanings.number(Asked::of(range.condition, granted.names))),
        })
        .collect()
}

/// Walks over ranges and takes pieces off the front.
pub(super) struct Cursor<'a> {
    rest: std::slice::Iter<'a, Piece>,
    pub(super) current: Option<Piece>,
    meanings: &'a Meanings,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(pieces: &'a [Piece], meanings: &'a Meanings) -> Self {
        let mut rest = pieces.iter();
        Self {
            current: rest.next().copied(),
            rest,
            meanings,
        }
    }

    /// Takes the current piece up to `last`, which lies in it.
    pub(super) fn take(&mut self, last: Point) -> Changed {
        let piece = self.current.expect("a piece is only taken where one is");
        self.current = if last < piece.last {
            Some(Piece {
                first: last.next(),
                ..piece
            })
        } else {
            self.rest.next().copied()
        };
        Changed {
            span: Span {
                first: piece.first.address(),
                last: last.address(),
            },
            source: piece.source,
            server_names: Arc::clone(&self.meanings.all[piece.asked]),
        }
    }
}
