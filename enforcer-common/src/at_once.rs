//! The verdict of nearly every packet, in the fewest steps that there are.
//!
//! What is paid for every packet that a host sends is paid here, and a packet that passes here is not looked at any further.
//! This says less than [`judge_packet`](crate::verdict::judge_packet) and nothing else: whatever passes here would pass
//! there or in the session that it leads to, which the tests hold against each other. A packet of any other shape, a denial,
//! the beginning of a connection and a name that is to be read are left to it, and so is an answer that a new policy has
//! overtaken.

use core::hint::cold_path;

use crate::bytes::Bytes;
use crate::flow::Flow;
use crate::greeting::settles;
use crate::packet::{Address, Family, Segment, protocol};
use crate::table::{GrantWord, PolicyWord, Tables, find_once};
use crate::verdict::{FilteredPorts, Flows};

/// What is known of a packet at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AtOnce {
    /// It passes without another look.
    Passes,
    /// What is kept with its socket has its segment noted: the session is to be judged.
    Session,
    /// Nothing.
    Unknown,
}

impl AtOnce {
    /// [`Self::Unknown`], apart from the way that nearly all packets take.
    #[inline(always)]
    fn unknown() -> Self {
        cold_path();
        Self::Unknown
    }

    #[inline(always)]
    const fn passes_if(condition: bool) -> Self {
        if condition { Self::Passes } else { Self::Unknown }
    }

    /// As a number, as it comes out of a function of the kernel program.
    #[inline(always)]
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// What such a number says.
    #[inline(always)]
    #[must_use]
    pub const fn of(code: u32) -> Self {
        const PASSES: u32 = AtOnce::Passes as u32;
        const SESSION: u32 = AtOnce::Session as u32;
        match code {
            PASSES => Self::Passes,
            SESSION => Self::Session,
            _ => Self::Unknown,
        }
    }
}

/// What is known of a packet at once.
#[inline(always)]
pub fn at_once<B, P, T, F>(bytes: &B, family: Family, ports: &P, tables: &T, flows: &mut F) -> AtOnce
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    match family {
        Family::V4 => {
            let filtered = |packet| {
                of_filtered_v4(bytes, packet, tables, |word, grant| {
                    of_kept(bytes, Family::V4, word, grant, flows)
                })
            };
            at_once_v4(bytes, ports, filtered, || AtOnce::Passes)
        }
        Family::V6 => {
            let filtered = || of_filtered_v6(bytes, tables, flows);
            at_once_v6(bytes, ports, filtered, || AtOnce::Passes)
        }
    }
}

/// An IPv4 packet to a filtered port, of the shape that [`at_once_v4`] looks for.
#[derive(Clone, Copy, Debug)]
pub struct FilteredV4 {
    /// Its third word, the protocol alone, as it was sent.
    number: u32,
    /// Its fifth word, as it was sent.
    destination: u32,
}

/// What is known at once of an IPv4 packet. `filtered` tells it of one to these filtered ports: [`of_filtered_v4`]. `other`
/// tells it of one to any other port: it passes, unless there are filtered ports that are not among these.
#[inline(always)]
pub fn at_once_v4<B, P>(
    bytes: &B,
    ports: &P,
    filtered: impl FnOnce(FilteredV4) -> AtOnce,
    other: impl FnOnce() -> AtOnce,
) -> AtOnce
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
{
    /// Version 4, and a header of five words (RFC 791 section 3.1).
    const PLAIN: u32 = 0x45 << 24;
    let Some([start, fragment, middle, _, destination, both]) = bytes.near_as_sent() else {
        return AtOnce::unknown();
    };
    let number = middle & sent(0xff << 16);
    // More fragments, or an offset; and the one header of IPv4 behind which ports may be found.
    if start & sent(0xff << 24) != sent(PLAIN)
        || fragment & sent(0x3fff) != 0
        || number == sent_number(protocol::AUTHENTICATION)
    {
        return AtOnce::unknown();
    }
    // Of a protocol without ports these are other bytes, and then it does not matter what they are.
    if ports.contains(port(u32::from_be(both))) {
        filtered(FilteredV4 { number, destination })
    } else {
        other()
    }
}

/// What is known at once of an IPv4 packet to a filtered port. `kept` tells it of a segment with something in it to an address
/// with a condition, by the policy of this word and what grants it there: [`of_kept`]. What few packets need does not come between
/// what nearly all need.
#[inline(always)]
pub fn of_filtered_v4<B, T>(
    bytes: &B,
    packet: FilteredV4,
    tables: &T,
    kept: impl FnOnce(PolicyWord, GrantWord) -> AtOnce,
) -> AtOnce
where
    B: Bytes + ?Sized,
    T: Tables,
{
    let FilteredV4 { number, destination } = packet;
    let destination = Address::V4(u32::from_be(destination));
    // One look-up for both: what is run for a packet is short enough to stay in the processor's nearest cache.
    let readable = if number == sent_number(protocol::TCP) {
        let control = bytes.near_as_sent::<9>().map(|[.., control]| control);
        match control.and_then(|control| readable(bytes, HEADER_V4, control, tables)) {
            Some(readable) => readable,
            None => return AtOnce::unknown(),
        }
    } else if number == sent_number(protocol::UDP) {
        // As a number that the compiler does not know: it would make two look-ups of the one.
        tables.either(DATAGRAM, 0)
    } else {
        return AtOnce::unknown();
    };
    match find_once(tables, destination) {
        Some((word, _)) if readable == DATAGRAM => AtOnce::passes_if(word.settings().quic_allowed()),
        found => segment(found, readable, destination, kept),
    }
}

/// What is known at once of an IPv6 packet. `filtered` tells it of one to these filtered ports: [`of_filtered_v6`]; `other` is as
/// for [`at_once_v4`].
#[inline(always)]
pub fn at_once_v6<B, P>(
    bytes: &B,
    ports: &P,
    filtered: impl FnOnce() -> AtOnce,
    other: impl FnOnce() -> AtOnce,
) -> AtOnce
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
{
    let Some([start, next, .., both]) = bytes.near_as_sent::<11>() else {
        return AtOnce::Unknown;
    };
    if start & sent(0xf << 28) != sent(6 << 28) || !matches!(next_header(next), TCP | UDP) {
        return AtOnce::Unknown;
    }
    if ports.contains(port(u32::from_be(both))) {
        filtered()
    } else {
        other()
    }
}

/// What is known at once of an IPv6 packet to a filtered port, of the shape that [`at_once_v6`] looks for.
#[inline(always)]
pub fn of_filtered_v6<B, T, F>(bytes: &B, tables: &T, flows: &mut F) -> AtOnce
where
    B: Bytes + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    let Some([_, next, _, _, _, _, d0, d1, d2, d3]) = bytes.near_as_sent() else {
        return AtOnce::Unknown;
    };
    let half = |high, low| joined(u32::from_be(high), u32::from_be(low));
    let destination = Address::V6(half(d0, d1), half(d2, d3));
    if next_header(next) == UDP {
        return AtOnce::passes_if(udp_is_granted(destination, tables));
    }
    match bytes.near_as_sent::<14>() {
        Some([.., control]) => tcp(bytes, HEADER_V6, control, destination, tables, |word, grant| {
            of_kept(bytes, Family::V6, word, grant, flows)
        }),
        None => AtOnce::Unknown,
    }
}

/// Bytes of an IPv4 header without options, and of an IPv6 header.
const HEADER_V4: u32 = 20;
const HEADER_V6: u32 = 40;
const TCP: u32 = protocol::TCP as u32;
const UDP: u32 = protocol::UDP as u32;

/// A word as [`Bytes::near_as_sent`] gives it.
#[inline(always)]
const fn sent(word: u32) -> u32 {
    word.to_be()
}

/// The protocol where the third word of an IPv4 header has it.
#[inline(always)]
const fn sent_number(number: u8) -> u32 {
    sent((number as u32) << 16)
}

/// What the second word of an IPv6 header names as the next one.
#[inline(always)]
const fn next_header(word: u32) -> u32 {
    u32::from_be(word) >> 8 & 0xff
}

/// The destination port, of the word with both.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn port(both: u32) -> u16 {
    both as u16
}

/// What becomes of a segment to a filtered port, by the length of its IP header, the fourth word of its TCP header
/// (RFC 9293 section 3.1) as it was sent, and what is found for its destination. What few packets need is behind what most
/// need: those to loopback pay for a look-up, and the others for nothing.
#[inline(always)]
fn tcp<B, T>(
    bytes: &B,
    header: u32,
    control: u32,
    destination: Address,
    tables: &T,
    kept: impl FnOnce(PolicyWord, GrantWord) -> AtOnce,
) -> AtOnce
where
    B: Bytes + ?Sized,
    T: Tables,
{
    match readable(bytes, header, control, tables) {
        Some(readable) => segment(find_once(tables, destination), readable, destination, kept),
        None => AtOnce::Unknown,
    }
}

/// In the place of what [`readable`] gives, for what is no segment.
const DATAGRAM: u32 = u32::MAX;

/// Zero when there is nothing in a segment that could be read for a server name; `None` for one that opens a connection, or
/// is cut off.
#[inline(always)]
fn readable<B, T>(bytes: &B, header: u32, control: u32, tables: &T) -> Option<u32>
where
    B: Bytes + ?Sized,
    T: Tables,
{
    // As the packet has them: it costs nothing to take bytes out of a word, and something to turn one round. Together: at
    // least five words of header, and no SYN.
    let [offset, flags, ..] = control.to_ne_bytes();
    let offset_and_syn = u16::from_le_bytes([offset & 0xf0, flags & Segment::SYN]);
    let payload = header + (u32::from(offset) >> 2 & 0x3c);
    let length = bytes.length();
    if !(0x50..=0xf0).contains(&offset_and_syn) || payload > length {
        return None;
    }
    // Never all ones: no packet is as long.
    Some(tables.either(length - payload, control & sent((Segment::URG as u32) << 16)))
}

/// What becomes of a segment, by what is found for its destination.
#[inline(always)]
fn segment(
    found: Option<(PolicyWord, GrantWord)>,
    readable: u32,
    destination: Address,
    kept: impl FnOnce(PolicyWord, GrantWord) -> AtOnce,
) -> AtOnce {
    match found {
        Some((_, grant)) if grant.condition() == 0 => AtOnce::Passes,
        Some(_) if readable == 0 => AtOnce::Passes,
        Some((word, grant)) => kept(word, grant),
        None => AtOnce::passes_if(destination.is_loopback()),
    }
}

/// What is known of a segment with something in it, by what is kept with its socket: it passes when that was judged under
/// the policy of this word, which grants its address under a condition. The segment is plain, as [`at_once_v4`] and [`at_once_v6`]
/// look for it.
#[inline(always)]
pub fn of_kept<B, F>(bytes: &B, family: Family, word: PolicyWord, grant: GrantWord, flows: &mut F) -> AtOnce
where
    B: Bytes + ?Sized,
    F: Flows + ?Sized,
{
    match flows.kept() {
        Some(flow) if flow.judged == word.generation().0 => AtOnce::Passes,
        Some(flow) => session(bytes, family, flow, word, grant),
        None => AtOnce::Unknown,
    }
}

/// Notes a segment with something in it that is to be read for a server name, unless it [`settles`] that there is none any
/// more. All of it is read once more: what nearly all segments pay for is not to grow by what few need kept.
#[inline(always)]
fn session<B: Bytes + ?Sized>(
    bytes: &B,
    family: Family,
    flow: &mut Flow,
    word: PolicyWord,
    grant: GrantWord,
) -> AtOnce {
    let (header, read) = match family {
        Family::V4 => (
            HEADER_V4,
            bytes
                .near()
                .map(|[_, _, _, _, destination, _, sequence, _, control]| {
                    (Address::V4(destination), sequence, control)
                }),
        ),
        Family::V6 => (
            HEADER_V6,
            bytes
                .near()
                .map(|[_, _, _, _, _, _, d0, d1, d2, d3, _, sequence, _, control]| {
                    (Address::V6(joined(d0, d1), joined(d2, d3)), sequence, control)
                }),
        ),
    };
    let Some((destination, sequence, control)) = read else {
        return AtOnce::Unknown;
    };
    let [_, flags, ..] = control.to_be_bytes();
    // Urgent data may be all that there is.
    if flags & Segment::URG != 0 {
        return AtOnce::Unknown;
    }
    let payload = header + (control >> 26 & 0x3c);
    let segment = Segment {
        sequence,
        payload,
        length: bytes.length().wrapping_sub(payload),
        flags,
        padding: [0; 3],
    };
    if settles(bytes, flow, &segment, word) {
        return AtOnce::Passes;
    }
    flow.note(&segment, header, destination);
    flow.note_grant(word, grant);
    AtOnce::Session
}

/// Two words as one.
#[inline(always)]
const fn joined(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// Whether a datagram to a filtered port may go there.
#[inline(always)]
fn udp_is_granted<T: Tables>(destination: Address, tables: &T) -> bool {
    match find_once(tables, destination) {
        Some((word, _)) => word.settings().quic_allowed(),
        None => destination.is_loopback(),
    }
}

/// Whether a datagram to a filtered port would pass, before there is one. `false` says nothing.
#[inline(always)]
pub fn datagram_passes_at_once<T: Tables>(destination: Address, tables: &T) -> bool {
    udp_is_granted(destination, tables)
}
