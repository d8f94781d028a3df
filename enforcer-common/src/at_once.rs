//! The verdict of nearly every packet, in the fewest steps that there are.
//!
//! What is paid for every packet that a host sends is paid here, and a packet that passes here is not looked at any further.
//! This says less than [`judge_packet`](crate::verdict::judge_packet) and nothing else: whatever passes here would pass
//! there, which the tests hold against each other. A packet of any other shape, a denial, the beginning of a connection and
//! a name that is to be read are left to it, and so is an answer that a new policy has overtaken.

use crate::bytes::Bytes;
use crate::flow::Flow;
use crate::packet::{Address, Family, Segment, protocol};
use crate::table::{Tables, find_once};
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
    #[inline(always)]
    const fn passes_if(condition: bool) -> Self {
        if condition { Self::Passes } else { Self::Unknown }
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
        Family::V4 => at_once_v4(bytes, ports, tables, flows),
        Family::V6 => at_once_v6(bytes, ports, tables, flows),
    }
}

#[inline(always)]
fn at_once_v4<B, P, T, F>(bytes: &B, ports: &P, tables: &T, flows: &mut F) -> AtOnce
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    /// Version 4, and a header of five words (RFC 791 section 3.1).
    const PLAIN: u32 = 0x45;
    let Some([start, fragment, middle, _, destination, both]) = bytes.near() else {
        return AtOnce::Unknown;
    };
    let number = middle >> 16 & 0xff;
    // More fragments, or an offset; and the one header of IPv4 behind which ports may be found.
    if start >> 24 != PLAIN || fragment & 0x3fff != 0 || number == protocol::AUTHENTICATION as u32 {
        return AtOnce::Unknown;
    }
    // Of a protocol without ports these are other bytes, and then it does not matter what they are.
    if !ports.contains(port(both)) {
        return AtOnce::Passes;
    }
    let destination = Address::V4(destination);
    // Apart from each other: what one needs kept does not cost the other anything.
    match number {
        TCP => match bytes.near::<9>() {
            Some([.., control]) => tcp(bytes, HEADER_V4, control, destination, tables, flows),
            None => AtOnce::Unknown,
        },
        UDP => AtOnce::passes_if(udp_is_granted(destination, tables)),
        _ => AtOnce::Unknown,
    }
}

#[inline(always)]
fn at_once_v6<B, P, T, F>(bytes: &B, ports: &P, tables: &T, flows: &mut F) -> AtOnce
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    let Some([start, next, _, _, _, _, d0, d1, d2, d3, both]) = bytes.near() else {
        return AtOnce::Unknown;
    };
    let number = next >> 8 & 0xff;
    if start >> 28 != 6 || !matches!(number, TCP | UDP) {
        return AtOnce::Unknown;
    }
    if !ports.contains(port(both)) {
        return AtOnce::Passes;
    }
    let destination = Address::V6(joined(d0, d1), joined(d2, d3));
    if number == UDP {
        return AtOnce::passes_if(udp_is_granted(destination, tables));
    }
    match bytes.near::<14>() {
        Some([.., control]) => tcp(bytes, HEADER_V6, control, destination, tables, flows),
        None => AtOnce::Unknown,
    }
}

/// Bytes of an IPv4 header without options, and of an IPv6 header.
const HEADER_V4: u32 = 20;
const HEADER_V6: u32 = 40;
const TCP: u32 = protocol::TCP as u32;
const UDP: u32 = protocol::UDP as u32;

/// The destination port, of the word with both.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn port(both: u32) -> u16 {
    both as u16
}

/// What becomes of a segment to a filtered port, by the length of its IP header, the fourth word of its TCP header
/// (RFC 9293 section 3.1), and what is found for its destination. What few packets need is behind what most need: those to
/// loopback pay for a look-up, and the others for nothing.
#[inline(always)]
fn tcp<B, T, F>(
    bytes: &B,
    header: u32,
    control: u32,
    destination: Address,
    tables: &T,
    flows: &mut F,
) -> AtOnce
where
    B: Bytes + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    const LENGTH_MIN: u8 = 5 << 4;
    // As the packet has them: it costs nothing to take bytes out of a word, and something to turn one round.
    let [offset, flags, ..] = control.to_be_bytes();
    let payload = header + (u32::from(offset) >> 2 & 0x3c);
    let length = bytes.length();
    if offset < LENGTH_MIN || flags & Segment::SYN != 0 || payload > length {
        return AtOnce::Unknown;
    }
    // Zero when there is nothing that could be read for a server name.
    let readable = (length - payload) | u32::from(flags & Segment::URG);
    match find_once(tables, destination) {
        Some((_, grant)) if grant.condition() == 0 => AtOnce::Passes,
        Some(_) if readable == 0 => AtOnce::Passes,
        Some((word, _)) => match flows.kept() {
            Some(flow) if flow.judged == word.generation().0 => AtOnce::Passes,
            Some(flow) => session(bytes, header, flow),
            None => AtOnce::Unknown,
        },
        None => AtOnce::passes_if(destination.is_loopback()),
    }
}

/// Notes a segment with something in it that is to be read for a server name. All of it is read once more: what nearly all
/// segments pay for is not to grow by what few need kept.
#[inline(always)]
fn session<B: Bytes + ?Sized>(bytes: &B, header: u32, flow: &mut Flow) -> AtOnce {
    let read = match header {
        HEADER_V4 => bytes
            .near()
            .map(|[_, _, _, _, destination, _, sequence, _, control]| {
                (Address::V4(destination), sequence, control)
            }),
        _ => bytes
            .near()
            .map(|[_, _, _, _, _, _, d0, d1, d2, d3, _, sequence, _, control]| {
                (Address::V6(joined(d0, d1), joined(d2, d3)), sequence, control)
            }),
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
    flow.note(&segment, header, destination);
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
