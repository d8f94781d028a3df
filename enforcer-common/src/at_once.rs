//! The verdict of nearly every packet, in the fewest steps that there are.
//!
//! What is paid for every packet that a host sends is paid here, and a packet that passes here is not looked at any further.
//! This says less than [`judge_packet`](crate::verdict::judge_packet) and nothing else: whatever passes here would pass
//! there, which the tests hold against each other. A packet of any other shape, a denial, the beginning of a connection and
//! a name that is to be read are left to it, and so is an answer that a new policy has overtaken.

use crate::bytes::Bytes;
use crate::packet::{Address, Family, Segment, protocol};
use crate::table::{Tables, find_once};
use crate::verdict::{FilteredPorts, Flows};

/// Whether the packet passes without another look. `false` says nothing.
#[inline(always)]
pub fn passes_at_once<B, P, T, F>(bytes: &B, family: Family, ports: &P, tables: &T, flows: &mut F) -> bool
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    match family {
        Family::V4 => passes_v4(bytes, ports, tables, flows),
        Family::V6 => passes_v6(bytes, ports, tables, flows),
    }
}

#[inline(always)]
fn passes_v4<B, P, T, F>(bytes: &B, ports: &P, tables: &T, flows: &mut F) -> bool
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    /// Version 4, and a header of five words (RFC 791 section 3.1).
    const PLAIN: u32 = 0x45;
    const HEADER: u32 = 20;
    let Some([start, fragment, middle, _, destination, both]) = bytes.near() else {
        return false;
    };
    let number = middle >> 16 & 0xff;
    // More fragments, or an offset; and the one header of IPv4 behind which ports may be found.
    if start >> 24 != PLAIN || fragment & 0x3fff != 0 || number == protocol::AUTHENTICATION as u32 {
        return false;
    }
    // Of a protocol without ports these are other bytes, and then it does not matter what they are.
    if !ports.contains(port(both)) {
        return true;
    }
    let destination = Address::V4(destination);
    // Apart from each other: what one needs kept does not cost the other anything.
    match number {
        TCP => match bytes.near::<9>() {
            Some([.., control]) => tcp_is_granted(bytes, HEADER, control, destination, tables, flows),
            None => false,
        },
        UDP => udp_is_granted(destination, tables),
        _ => false,
    }
}

#[inline(always)]
fn passes_v6<B, P, T, F>(bytes: &B, ports: &P, tables: &T, flows: &mut F) -> bool
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    const HEADER: u32 = 40;
    let Some([start, next, _, _, _, _, d0, d1, d2, d3, both]) = bytes.near() else {
        return false;
    };
    let number = next >> 8 & 0xff;
    if start >> 28 != 6 || !matches!(number, TCP | UDP) {
        return false;
    }
    if !ports.contains(port(both)) {
        return true;
    }
    let join = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let destination = Address::V6(join(d0, d1), join(d2, d3));
    if number == UDP {
        return udp_is_granted(destination, tables);
    }
    match bytes.near::<14>() {
        Some([.., control]) => tcp_is_granted(bytes, HEADER, control, destination, tables, flows),
        None => false,
    }
}

const TCP: u32 = protocol::TCP as u32;
const UDP: u32 = protocol::UDP as u32;

/// The destination port, of the word with both.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn port(both: u32) -> u16 {
    both as u16
}

/// Whether a segment to a filtered port may go there, by the length of its IP header, the fourth word of its TCP header
/// (RFC 9293 section 3.1), and what is found for its destination. What few packets need is behind what most need: those to
/// loopback pay for a look-up, and the others for nothing.
#[inline(always)]
fn tcp_is_granted<B, T, F>(
    bytes: &B,
    header: u32,
    control: u32,
    destination: Address,
    tables: &T,
    flows: &mut F,
) -> bool
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
        return false;
    }
    // Zero when there is nothing that could be read for a server name.
    let readable = (length - payload) | u32::from(flags & Segment::URG);
    match find_once(tables, destination) {
        Some((_, grant)) if grant.condition() == 0 => true,
        Some((word, _)) => {
            readable == 0
                || flows
                    .kept()
                    .is_some_and(|flow| flow.judged == word.generation().0)
        }
        None => destination.is_loopback(),
    }
}

/// As [`tcp_is_granted`], for a datagram.
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
