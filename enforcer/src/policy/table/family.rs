//! What is different between IPv4 and IPv6: how a prefix lies in a word that sorts, and an interval in the kernel's
//! layout.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_common::table::{GrantWord, IntervalV4, IntervalV6};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::holdings::HeldId;
use super::sort;

/// Bits of an address that name its block.
pub(super) const BLOCK_BITS: u8 = 16;

/// An address as a number: `u32` or `u128`.
pub(super) trait Number: Copy + Debug + Ord {
    /// The next address; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before; `None` before the first.
    fn previous(self) -> Option<Self>;
    fn address(self) -> IpAddr;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn address(self) -> IpAddr {
        Ipv4Addr::from_bits(self).into()
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn address(self) -> IpAddr {
        Ipv6Addr::from_bits(self).into()
    }
}

/// IPv4 or IPv6.
pub(super) trait Family: Debug {
    const NAME: &'static str;
    type Number: Number;
    /// A prefix within a block and what it grants. Ascending by the first address; of those that start together the
    /// widest first, so that a container comes before what it contains. The same grant is the same piece.
    type Piece: Copy + Debug + Default + Ord;
    /// In the kernel's layout.
    type Interval: Copy + Debug + Default + PartialEq;

    fn piece(first: Self::Number, length: u8, held: HeldId) -> Self::Piece;
    fn block(piece: Self::Piece) -> u32;
    fn span(piece: Self::Piece) -> (Self::Number, Self::Number);
    fn held(piece: Self::Piece) -> HeldId;
    fn net(piece: Self::Piece) -> IpNet;
    /// The prefix with these first [`BLOCK_BITS`] or fewer.
    fn wide_net(bits: u32, length: u8) -> IpNet;
    fn block_span(block: u32) -> (Self::Number, Self::Number);
    fn sort(pieces: &mut Vec<Self::Piece>);
    fn interval(first: Self::Number, last: Self::Number, grant: GrantWord) -> Self::Interval;
    /// An interval of a block; what it says of another block is not looked at.
    fn parts(block: u32, interval: &Self::Interval) -> (Self::Number, Self::Number, GrantWord);
}

#[derive(Debug)]
pub(super) enum V4 {}

#[derive(Debug)]
pub(super) enum V6 {}

impl Family for V4 {
    const NAME: &'static str = "IPv4";
    type Number = u32;
    /// First address, length, [`HeldId`].
    type Piece = u64;
    type Interval = IntervalV4;

    #[inline]
    fn piece(first: u32, length: u8, held: HeldId) -> u64 {
        u64::from(first) << 32 | u64::from(length) << HeldId::BITS | u64::from(held.number())
    }

    #[inline]
    fn block(piece: u64) -> u32 {
        (piece >> 48) as u32
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "32 bits are left")]
    fn span(piece: u64) -> (u32, u32) {
        let first = (piece >> 32) as u32;
        let host = u64::from(u32::MAX).wrapping_shr(length_v4(piece).into());
        (first, first | host as u32)
    }

    #[inline]
    fn held(piece: u64) -> HeldId {
        HeldId::in_word(piece)
    }

    fn net(piece: u64) -> IpNet {
        Ipv4Net::new_assert(Ipv4Addr::from_bits(Self::span(piece).0), length_v4(piece)).into()
    }

    fn wide_net(bits: u32, length: u8) -> IpNet {
        let first = bits.checked_shl(32 - u32::from(length)).unwrap_or_default();
        Ipv4Net::new_assert(Ipv4Addr::from_bits(first), length).into()
    }

    fn block_span(block: u32) -> (u32, u32) {
        (block << 16, block << 16 | 0xffff)
    }

    fn sort(pieces: &mut Vec<u64>) {
        sort::ascending(pieces);
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the last 16 bits are meant")]
    fn interval(first: u32, last: u32, grant: GrantWord) -> IntervalV4 {
        IntervalV4 {
            first: first as u16,
            last: last as u16,
            grant,
        }
    }

    fn parts(block: u32, interval: &IntervalV4) -> (u32, u32, GrantWord) {
        let base = block << 16;
        (
            base | u32::from(interval.first),
            base | u32::from(interval.last),
            interval.grant,
        )
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the 8 bits of the length")]
const fn length_v4(piece: u64) -> u8 {
    (piece >> HeldId::BITS) as u8
}

/// First address, then the length and the [`HeldId`].
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct PieceV6 {
    first: [u64; 2],
    rest: u64,
}

impl PieceV6 {
    #[expect(clippy::cast_possible_truncation, reason = "the 8 bits of the length")]
    const fn length(self) -> u8 {
        (self.rest >> HeldId::BITS) as u8
    }
}

impl Family for V6 {
    const NAME: &'static str = "IPv6";
    type Number = u128;
    type Piece = PieceV6;
    type Interval = IntervalV6;

    fn piece(first: u128, length: u8, held: HeldId) -> PieceV6 {
        PieceV6 {
            first: halves(first),
            rest: u64::from(length) << HeldId::BITS | u64::from(held.number()),
        }
    }

    fn block(piece: PieceV6) -> u32 {
        (piece.first[0] >> 48) as u32
    }

    fn span(piece: PieceV6) -> (u128, u128) {
        let first = whole(piece.first);
        let host = u128::MAX.checked_shr(piece.length().into()).unwrap_or_default();
        (first, first | host)
    }

    fn held(piece: PieceV6) -> HeldId {
        HeldId::in_word(piece.rest)
    }

    fn net(piece: PieceV6) -> IpNet {
        Ipv6Net::new_assert(Ipv6Addr::from_bits(whole(piece.first)), piece.length()).into()
    }

    fn wide_net(bits: u32, length: u8) -> IpNet {
        let first = u128::from(bits)
            .checked_shl(128 - u32::from(length))
            .unwrap_or_default();
        Ipv6Net::new_assert(Ipv6Addr::from_bits(first), length).into()
    }

    fn block_span(block: u32) -> (u128, u128) {
        let first = u128::from(block) << 112;
        (first, first | u128::MAX >> BLOCK_BITS)
    }

    fn sort(pieces: &mut Vec<PieceV6>) {
        pieces.sort_unstable();
    }

    fn interval(first: u128, last: u128, grant: GrantWord) -> IntervalV6 {
        IntervalV6 {
            first: halves(first),
            last: halves(last),
            grant,
            padding: 0,
        }
    }

    fn parts(_block: u32, interval: &IntervalV6) -> (u128, u128, GrantWord) {
        (whole(interval.first), whole(interval.last), interval.grant)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

const fn whole([high, low]: [u64; 2]) -> u128 {
    ((high as u128) << 64) | low as u128
}
