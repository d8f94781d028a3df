//! What lies in maps and ring buffers: fixed sizes, explicit padding, byte order stated.
//!
//! Both sides are compiled from this file. [`VERSION`] is in the header of the policy, so that a daemon which finds
//! programs of another build can tell.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::flow::Flow;
use crate::names::NAMES_HALF;
use crate::packet::Address;
use crate::reason::{REASONS, Reason};
use crate::table::{BLOCKS, CHUNK, Index, IntervalV4, IntervalV6};

/// Layout of everything in this file and in [`crate::table`]; counts up with every change.
pub const VERSION: u32 = 9;

/// Most filtered ports.
pub const PORTS_MAX: usize = 16;

/// Intervals of IPv4 that one half of the table holds, unless it is configured otherwise; whole chunks.
pub const INTERVALS_V4: u32 = CHUNK;
/// The index of one family, both halves, as one element of a map: a program finds it without a check of where in it.
pub type Blocks = [Index; 2 * BLOCKS as usize];
/// IPv4 intervals as one element of a map: two chunks, which is both halves where nobody configured more.
pub type Chunks = [IntervalV4; 2 * CHUNK as usize];
/// The table of names, both halves, as one element of a map.
pub type Names = [u64; 2 * NAMES_HALF as usize];
/// Intervals of IPv6 that one half of the table holds, unless it is configured otherwise.
pub const INTERVALS_V6: u32 = 1 << 15;

/// The word that puts a policy into force, and what a reader must know before it believes it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Header {
    /// [`crate::table::PolicyWord`].
    pub word: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Always zero.
    pub padding: u32,
    /// Nanoseconds of `CLOCK_BOOTTIME` from which on denials are only reported, as in audit mode; 0 for never. The programs
    /// look at the clock themselves, so that it comes true without a daemon as well.
    pub revert_ns: u64,
}

/// A map whose one element the programs reach by its address, which is part of their instructions, and not by a look-up.
///
/// The compiler can not say such a thing (`BPF_PSEUDO_MAP_VALUE` of Linux `include/uapi/linux/bpf.h`), so the programs have a
/// number in its place, [`Direct::mark`], and the loader puts the map there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Direct {
    /// The [`Header`].
    Header = 0,
    /// The IPv4 [`Blocks`].
    IndexV4 = 1,
    /// The IPv6 [`Blocks`].
    IndexV6 = 2,
    /// The IPv4 intervals, where one element holds them all. Where not, this is never reached.
    TableV4 = 3,
    /// The [`Names`].
    Names = 4,
}

impl Direct {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 5] = [
        Self::Header,
        Self::IndexV4,
        Self::IndexV6,
        Self::TableV4,
        Self::Names,
    ];
    /// The upper half of every mark: "enfr".
    pub const MARK: u32 = 0x656e_6672;

    /// What the programs have in the place of the address.
    #[must_use]
    pub const fn mark(self) -> u64 {
        (Self::MARK as u64) << 32 | self as u64
    }

    /// The name of the map.
    #[must_use]
    pub const fn map(self) -> &'static str {
        match self {
            Self::Header => "HEADER",
            Self::IndexV4 => "INDEX_V4",
            Self::IndexV6 => "INDEX_V6",
            Self::TableV4 => "TABLE_V4",
            Self::Names => "NAMES",
        }
    }
}

/// A number that a load fixes and that the programs have in their instructions: no memory is read for it. As with [`Direct`],
/// the compiler has a mark in its place, and the loader puts the number there. The verifier knows it, and drops what can not
/// happen with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct Constant(u32);

impl Constant {
    /// Intervals in a half of the IPv4 table.
    pub const CAPACITY_V4: Self = Self(0);
    /// Intervals in a half of the IPv6 table.
    pub const CAPACITY_V6: Self = Self(1);
    /// How many there are.
    pub const COUNT: usize = 2 + PORTS_MAX;
    /// The first of their marks has this for its lower half, far from those of [`Direct`].
    const FIRST: u32 = 1 << 16;

    /// A filtered port in network order, of fewer than [`PORTS_MAX`]; zero behind the last one.
    #[must_use]
    pub const fn port(at: u32) -> Self {
        Self(2 + at)
    }

    /// What the programs have in its place.
    #[must_use]
    pub const fn mark(self) -> u64 {
        (Direct::MARK as u64) << 32 | (Self::FIRST + self.0) as u64
    }

    /// Which one it is, from 0, by the lower half of a mark; `None` for any other number.
    #[must_use]
    pub const fn position(lower: u32) -> Option<usize> {
        match lower.checked_sub(Self::FIRST) {
            Some(at) if (at as usize) < Self::COUNT => Some(at as usize),
            _ => None,
        }
    }
}

/// What the program that is run by hand gives for a ClientHello: whole, a part, or this and the code of the reason.
pub mod hello {
    /// Whole: its name is in the flow.
    pub const WHOLE: u32 = 0;
    /// A part: its name is in the flow, if it has one by now.
    pub const PART: u32 = 1;
    /// No session could be granted, for the reason with the code that is added to this.
    pub const WRONG: u32 = 2;
}

/// Which hook reached a verdict.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Hook {
    /// `cgroup_skb/egress`: a packet.
    Egress = 0,
    /// `cgroup/connect4` or `connect6`.
    Connect = 1,
    /// `cgroup/sendmsg4` or `sendmsg6`.
    Sendmsg = 2,
}

impl Hook {
    /// The hook with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Egress),
            1 => Some(Self::Connect),
            2 => Some(Self::Sendmsg),
            _ => None,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Connect => "connect",
            Self::Sendmsg => "sendmsg",
        }
    }
}

/// Where counters, buckets and events have the code of a [`Reason`]: a connection was granted.
#[expect(clippy::cast_possible_truncation, reason = "codes are bytes")]
pub const GRANTED: u8 = REASONS as u8;
/// What is counted, and limited in its rate, by itself: each reason, and [`GRANTED`].
pub const KINDS: u32 = REASONS + 1;

/// One denial or granted connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The cgroup of the process or socket; 0 when unknown.
    pub cgroup: u64,
    /// Source address in network order; an IPv4 address takes the first four bytes. All zero when not known yet.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// Source port in network order; zero when not known yet.
    pub source_port: [u8; 2],
    /// Destination port in network order.
    pub destination_port: [u8; 2],
    /// The process (thread group) in the initial pid namespace; 0 when unknown.
    pub pid: u32,
    /// Events of this reason on this CPU that the rate limit or a full ring suppressed before this one.
    pub suppressed: u32,
    /// 4 or 6; 0 when the packet could not be read that far.
    pub family: u8,
    /// Protocol number.
    pub protocol: u8,
    /// Code of the [`Reason`], or [`GRANTED`].
    pub reason: u8,
    /// Code of the [`Hook`].
    pub hook: u8,
    /// 1 in audit mode: it was let through.
    pub audit: u8,
    /// Bytes of the server name, 0 when none was read.
    pub server_name_length: u8,
    /// Always zero.
    pub padding: [u8; 2],
    /// The rule that grants the address, when it is not the address that was denied; 0 for none.
    pub rule: u32,
    /// The name of the thread, ended by a NUL; empty when unknown.
    pub comm: [u8; 16],
    /// The socket's cookie (`SO_COOKIE`); 0 when there is no socket yet, or none that could be ended.
    pub cookie: u64,
    /// The server name that was asked for, as far as it could be read; in lower case.
    pub server_name: [u8; 256],
}

impl Event {
    /// Reads an event as it lies in the ring buffer; `None` when the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size_of::<Self>() {
            return None;
        }
        let mut at = 0;
        Some(Self {
            time_ns: u64::from_ne_bytes(take(bytes, &mut at)?),
            cgroup: u64::from_ne_bytes(take(bytes, &mut at)?),
            source: take(bytes, &mut at)?,
            destination: take(bytes, &mut at)?,
            source_port: take(bytes, &mut at)?,
            destination_port: take(bytes, &mut at)?,
            pid: u32::from_ne_bytes(take(bytes, &mut at)?),
            suppressed: u32::from_ne_bytes(take(bytes, &mut at)?),
            family: u8::from_ne_bytes(take(bytes, &mut at)?),
            protocol: u8::from_ne_bytes(take(bytes, &mut at)?),
            reason: u8::from_ne_bytes(take(bytes, &mut at)?),
            hook: u8::from_ne_bytes(take(bytes, &mut at)?),
            audit: u8::from_ne_bytes(take(bytes, &mut at)?),
            server_name_length: u8::from_ne_bytes(take(bytes, &mut at)?),
            padding: take(bytes, &mut at)?,
            rule: u32::from_ne_bytes(take(bytes, &mut at)?),
            comm: take(bytes, &mut at)?,
            cookie: u64::from_ne_bytes(take(bytes, &mut at)?),
            server_name: take(bytes, &mut at)?,
        })
    }

    /// The destination, when the packet could be read that far.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        socket_address(self.family, self.destination, self.destination_port)
    }

    /// The source, when it is known.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        socket_address(self.family, self.source, self.source_port).filter(|source| source.port() != 0)
    }

    /// The server name that was asked for, any bytes.
    #[must_use]
    pub fn server_name(&self) -> &[u8] {
        self.server_name
            .get(..usize::from(self.server_name_length))
            .unwrap_or_default()
    }

    /// Whether it tells of a granted connection, which has no reason.
    #[must_use]
    pub const fn is_granted(&self) -> bool {
        self.reason == GRANTED
    }

    /// The reason; `None` when the event comes from programs of another build.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        Reason::from_code(self.reason)
    }
}

/// The next field: the structure has no padding that is not a field, so fields lie behind each other.
fn take<const N: usize>(bytes: &[u8], at: &mut usize) -> Option<[u8; N]> {
    let field = bytes.get(*at..)?.first_chunk::<N>().copied();
    *at += N;
    field
}

fn socket_address(family: u8, bytes: [u8; 16], port: [u8; 2]) -> Option<SocketAddr> {
    let address = match family {
        4 => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
        6 => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

/// An address as an event carries it: its family, and its bytes as two words of memory.
#[inline(always)]
#[must_use]
pub const fn address_words(address: Address) -> (u8, [u64; 2]) {
    match address {
        Address::V4(bits) => (4, [((bits as u64) << 32).to_be(), 0]),
        Address::V6(high, low) => (6, [high.to_be(), low.to_be()]),
    }
}

/// What is counted per reason, per CPU. Nothing resets the counts. Each goes up by itself: whoever reads them meanwhile never
/// sees one that goes back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Counter {
    /// What was dropped or refused, or granted connections, whether or not an event told of them.
    pub denied: u64,
    /// Denials that audit mode let through. Since nothing ends a flow then, it counts what an event tells: a socket and its
    /// destination once under each policy.
    pub audit: u64,
    /// Those of which no event could be sent.
    pub suppressed: u64,
    /// What limits their events. Here, since the two are needed together, and memory of a CPU that is looked for costs more than
    /// what is done with it.
    pub bucket: Bucket,
}

/// The rate limit of one reason on one CPU: a bucket of tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Bucket {
    /// When tokens were last added, nanoseconds of `CLOCK_MONOTONIC`; 0 before the first event.
    pub refilled_ns: u64,
    /// Tokens left, at most [`EVENT_BURST`].
    pub tokens: u16,
    /// The last bits of the kernel's count of ticks (`jiffies`) when the clock was last looked at.
    pub tick: u16,
    /// Events suppressed since the last one that was sent.
    pub suppressed: u32,
}

/// Events of one reason that one CPU may send at once.
pub const EVENT_BURST: u32 = 256;
/// The same, as a bucket counts.
const FULL: u16 = 256;
/// Nanoseconds after which one more event may be sent: 100 a second for each reason and CPU.
pub const EVENT_INTERVAL_NS: u64 = 10_000_000;
/// Bytes of the ring buffer: a power of two and whole pages. Room for about 2,900 events.
pub const RING_BYTES: u32 = 1024 * 1024;
/// Bytes of the ring buffer from which on granted connections are only counted: the rest is for denials.
pub const RING_GRANTED_BYTES: u64 = RING_BYTES as u64 / 2;

impl Bucket {
    /// Takes one token; whether there was one. `now_ns` is asked once a `tick` only, of which there are 100 to 1,000 a second: to
    /// read the clock is to wait for all that was begun before (`rdtsc_ordered` in `arch/x86/include/asm/msr.h`), which costs a
    /// check of a server name more than all else that is counted and told of it. What is earned within a tick is there with the
    /// next one.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the last bits are meant")]
    pub fn take(&mut self, tick: u64, now_ns: impl FnOnce() -> u64) -> bool {
        if self.refilled_ns == 0 || self.tick != tick as u16 {
            self.tick = tick as u16;
            self.refill(now_ns());
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }

    /// Adds the tokens that were earned by `now_ns`.
    #[inline(always)]
    fn refill(&mut self, now_ns: u64) {
        if self.refilled_ns == 0 {
            self.refilled_ns = now_ns;
            self.tokens = FULL;
        }
        if now_ns <= self.refilled_ns {
            return;
        }
        let earned = (now_ns - self.refilled_ns) / EVENT_INTERVAL_NS;
        if earned >= FULL.into() {
            self.tokens = FULL;
            self.refilled_ns = now_ns;
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "below FULL")]
            let more = self.tokens + earned as u16;
            self.tokens = if more > FULL { FULL } else { more };
            self.refilled_ns += earned * EVENT_INTERVAL_NS;
        }
    }
}

const _: () = {
    assert!(size_of::<Header>() == 24);
    assert!(size_of::<Event>() == 352);
    assert!(size_of::<Flow>() == 880);
    assert!(size_of::<Counter>() == 40);
    assert!(size_of::<Bucket>() == 16);
    assert!(FULL as u32 == EVENT_BURST);
    assert!(size_of::<Index>() == 8);
    assert!(size_of::<IntervalV4>() == 8);
    assert!(size_of::<IntervalV6>() == 40);
    // `KMALLOC_MAX_SIZE`, the most that an element of a map may have before Linux 6.10 (`kernel/bpf/arraymap.c`).
    assert!(size_of::<Blocks>() <= 4 << 20);
    assert!(size_of::<Chunks>() <= 4 << 20);
    assert!(size_of::<Names>() <= 4 << 20);
    assert!(INTERVALS_V4.is_multiple_of(CHUNK));
    assert!(RING_BYTES.is_power_of_two());
    assert!(KINDS < u8::MAX as u32);
    assert!(Reason::from_code(GRANTED).is_none());
};

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Events that are sent of `wanted` at one moment.
    fn sent(bucket: &mut Bucket, tick: u64, now_ns: u64, wanted: u32) -> u32 {
        (0..wanted).map(|_| u32::from(bucket.take(tick, || now_ns))).sum()
    }

    #[test]
    fn a_burst_is_sent_and_then_one_an_interval() {
        let mut bucket = Bucket::default();
        assert_eq!(sent(&mut bucket, 0, SECOND_NS, 1000), EVENT_BURST);
        // Ticks of 4 ms: the third is the first behind 10 ms.
        let at = |tick: u64| SECOND_NS + tick * 4_000_000;
        for tick in 1..=2 {
            assert_eq!(sent(&mut bucket, tick, at(tick), 9), 0);
        }
        assert_eq!(sent(&mut bucket, 3, at(3), 9), 1);
        let more: u32 = (4..=250).map(|tick| sent(&mut bucket, tick, at(tick), 9)).sum();
        assert_eq!(more, 99, "100 in the first second behind the burst");
    }

    #[test]
    fn after_a_pause_no_more_than_a_burst_is_sent() {
        let mut bucket = Bucket::default();
        assert_eq!(sent(&mut bucket, 1, SECOND_NS, 10), 10);
        assert_eq!(sent(&mut bucket, 7, 3600 * SECOND_NS, 1000), EVENT_BURST);
        // Nearly full: what is earned beyond is lost.
        assert_eq!(sent(&mut bucket, 8, 3603 * SECOND_NS, 90), 90);
        assert_eq!(sent(&mut bucket, 9, 3605 * SECOND_NS, 1000), EVENT_BURST);
    }

    #[test]
    fn the_clock_is_asked_once_a_tick() {
        let mut bucket = Bucket::default();
        let mut asked = 0;
        // The tick 0 is one as well, although the bucket has that from the start.
        for tick in [0, 0, 0, 1, 1, 0x1_0002, 0x1_0002] {
            assert!(bucket.take(tick, || {
                asked += 1;
                SECOND_NS
            }));
        }
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing() {
        let mut bucket = Bucket::default();
        assert_eq!(sent(&mut bucket, 1, 2 * SECOND_NS, 300), EVENT_BURST);
        assert_eq!(sent(&mut bucket, 2, 2 * SECOND_NS, 1), 0);
        assert_eq!(sent(&mut bucket, 3, SECOND_NS, 1), 0);
        assert_eq!(sent(&mut bucket, 4, 2 * SECOND_NS + EVENT_INTERVAL_NS, 9), 1);
    }
}
