//! The verdict of nearly every packet, in the fewest steps that there are.
//!
//! What is paid for every packet that a host sends is paid here, and a packet that passes here is not looked at any further.
//! This says less than [`judge_packet`](crate::verdict::judge_packet) and nothing else: whatever passes here would pass
//! there, which the tests hold against each other. A packet of any other shape, a denial, the beginning of a connection and
//! a name that is to be read are left to it, and so is an answer that a new policy has overtaken.

use crate::bytes::Bytes;
use crate::packet::{Address, Family, Segment, protocol};
use crate::table::{PolicyWord, Tables, find_once};
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

/// Version 4, and a header of five words (RFC 791 section 3.1).
const PLAIN_V4: u32 = 0x45;

#[inline(always)]
fn passes_v4<B, P, T, F>(bytes: &B, ports: &P, tables: &T, flows: &mut F) -> bool
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    const HEADER: u32 = 20;
    let Some([start, fragment, middle, _, destination, both]) = bytes.near() else {
        return false;
    };
    let number = middle >> 16 & 0xff;
    // More fragments, or an offset; and the one header of IPv4 behind which ports may be found.
    if start >> 24 != PLAIN_V4 || fragment & 0x3fff != 0 || number == protocol::AUTHENTICATION as u32 {
        return false;
    }
    // Of a protocol without ports these are other bytes; then it does not matter what they are.
    if !ports.contains(port(both)) {
        return true;
    }
    if destination >> 24 == 127 {
        return has_known_ports(number);
    }
    let segment = if number == protocol::TCP as u32 {
        let Some([.., control]) = bytes.near::<9>() else {
            return false;
        };
        Transport::tcp(control, HEADER, bytes.length())
    } else {
        Transport::other(number)
    };
    segment.is_granted(Address::V4(destination), tables, flows)
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
    if start >> 28 != 6 || !has_known_ports(number) {
        return false;
    }
    if !ports.contains(port(both)) {
        return true;
    }
    let join = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let destination = Address::V6(join(d0, d1), join(d2, d3));
    if destination.is_loopback() {
        return true;
    }
    let segment = if number == protocol::TCP as u32 {
        let Some([.., control]) = bytes.near::<14>() else {
            return false;
        };
        Transport::tcp(control, HEADER, bytes.length())
    } else {
        Transport::other(number)
    };
    segment.is_granted(destination, tables, flows)
}

/// The destination port, of the word with both.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn port(both: u32) -> u16 {
    both as u16
}

/// Those that honest packets to filtered ports have.
#[inline(always)]
const fn has_known_ports(number: u32) -> bool {
    number == protocol::TCP as u32 || number == protocol::UDP as u32
}

/// What is behind the IP header, as far as it decides whether a granted packet needs another look.
#[derive(Clone, Copy)]
enum Transport {
    /// A segment of an open connection that has nothing in it which could be the server name.
    Bare,
    /// One with payload, or with an urgent pointer.
    Payload,
    Udp,
    /// A SYN, a broken header, or another protocol.
    Other,
}

impl Transport {
    /// Of a TCP header by its fourth word (RFC 9293 section 3.1), behind an IP header of this length.
    #[inline(always)]
    fn tcp(control: u32, header: u32, all: u32) -> Self {
        const LENGTH_MIN: u32 = 20;
        let flags = control >> 16;
        let length = (control >> 28) * 4;
        if length < LENGTH_MIN || header + length > all || flags & Segment::SYN as u32 != 0 {
            Self::Other
        } else if header + length < all || flags & Segment::URG as u32 != 0 {
            Self::Payload
        } else {
            Self::Bare
        }
    }

    #[inline(always)]
    const fn other(number: u32) -> Self {
        if number == protocol::UDP as u32 {
            Self::Udp
        } else {
            Self::Other
        }
    }

    /// Whether it may go there.
    #[inline(always)]
    fn is_granted<T, F>(self, destination: Address, tables: &T, flows: &mut F) -> bool
    where
        T: Tables,
        F: Flows + ?Sized,
    {
        if matches!(self, Self::Other) {
            return false;
        }
        let Some((word, grant)) = find_once(tables, destination) else {
            return false;
        };
        match self {
            Self::Bare => true,
            Self::Payload => grant.condition() == 0 || was_judged(word, flows),
            Self::Udp => word.settings().quic_allowed(),
            Self::Other => false,
        }
    }
}

/// Whether the session was judged under this very policy. Asked last: this costs more than everything before it.
#[inline(always)]
fn was_judged<F: Flows + ?Sized>(word: PolicyWord, flows: &mut F) -> bool {
    flows
        .kept()
        .is_some_and(|flow| flow.judged == word.generation().0)
}
