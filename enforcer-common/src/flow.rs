//! What is kept with a TCP socket: who uses it, and how far its session has been judged.

use crate::bytes::Window;
use crate::names::Name;
use crate::packet::{Address, Segment};
use crate::table::{Generation, GrantWord, PolicyWord};

/// Layout of what is kept with a socket; counts up with every change. Apart from [`crate::abi::VERSION`], so that an upgrade
/// which changes only the tables of the policy lets connections go on.
pub const VERSION: u32 = 3;

/// How far a connection to an address with a condition has been judged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Stage {
    /// Its SYN has not been seen: nothing is known of the stream.
    #[default]
    Unknown = 0,
    /// Its SYN has been seen: what is next must be a ClientHello.
    Opened = 1,
    /// A ClientHello was let through, and a second one may follow (RFC 8446 section 4.1.4).
    Greeted = 2,
    /// No other ClientHello can follow.
    Settled = 3,
    /// It is let be although its beginning was not seen.
    Excused = 4,
    /// It was denied for [`Flow::condemned`], and audit mode let it through.
    Condemned = 5,
}

/// What reading a segment has come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Finding {
    /// Nothing that is to be judged, or nothing but the name that is known already.
    #[default]
    Nothing = 0,
    /// A whole ClientHello.
    Hello = 1,
    /// A part of one.
    Part = 2,
    /// No session that could be granted.
    Wrong = 3,
}

/// What is kept with a socket that connects to a filtered port. All zero at first.
///
/// The kernel runs the programs of one TCP socket one after the other, under the socket's lock; so no two packets read or
/// write this at the same time, and `connect` takes the same lock. Calls on a UDP socket may run side by side: of them only
/// who uses the socket is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Flow {
    /// The generation under which everything this socket sends passes by its address alone; 0 for none.
    pub judged: u64,
    /// The generation under which its destination and its name were found to be granted; 0 for none.
    pub named: u64,
    /// The generation under which audit mode has told of this socket last; 0 when it has not.
    pub told: u64,
    /// The destination of which it told, as [`Address::mapped`].
    pub told_address: [u64; 2],
    /// Its port, in host order.
    pub told_port: u16,
    /// [`Stage`].
    pub stage: u8,
    /// Whether `connect` was called while the programs were attached: then its SYN was seen, or never sent.
    pub connected: u8,
    /// Sequence number of the first byte that has not been judged: that of a record.
    pub next: u32,
    /// Bytes from `next` on that are kept elsewhere until the record is whole.
    pub gathered: u32,
    /// Whether the client said that data may follow its hello at once, before the server's answer.
    pub early_data: u32,
    /// The process (thread group) in the initial pid namespace; 0 when it connected before the programs were attached.
    pub pid: u32,
    /// Code of the reason for which audit mode would have ended the session, with [`Stage::Condemned`].
    pub condemned: u8,
    /// [`Finding`] of the segment that is being judged.
    pub finding: u8,
    /// Code of the reason, with [`Finding::Wrong`].
    pub reason: u8,
    /// How often the segment that is being judged was looked at.
    pub looks: u8,
    /// With [`Finding::Hello`] the number behind its end, with [`Finding::Part`] the bytes that there are of it.
    pub found_end: u32,
    /// Whether the hello that was found says that data follows at once.
    pub found_early_data: u32,
    /// The name of the thread, ended by a NUL.
    pub comm: [u8; 16],
    /// The segment that is being judged.
    pub segment: Segment,
    /// Where its TCP header starts, in bytes from the start of the packet.
    pub transport: u32,
    /// Whether pieces of a record are kept elsewhere, or were: the memory that they take.
    pub has_pieces: u32,
    /// Its destination, as [`Address::mapped`].
    pub destination: [u64; 2],
    /// The policy under which the segment's destination was found to be granted; its generation is 0 when nobody has looked.
    pub policy: PolicyWord,
    /// What grants it there.
    pub grant: GrantWord,
    /// Always zero.
    pub padding: u32,
    /// The server name that was asked for last, granted or not.
    pub name: Name,
    /// What the segment is read through.
    pub window: Window,
}

/// Of a socket that sends datagrams, how many changes of its granted destination are told: what goes on to change it
/// pays for no more than the verdict.
pub const DESTINATIONS_TOLD: u8 = 16;

/// Port 0 of an address that is all zero is a destination as well.
#[inline(always)]
const fn told_port(port: u16) -> u32 {
    port as u32 | 1 << 16
}

impl Flow {
    /// How far it has been judged.
    #[inline(always)]
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self.stage {
            1 => Stage::Opened,
            2 => Stage::Greeted,
            3 => Stage::Settled,
            4 => Stage::Excused,
            5 => Stage::Condemned,
            _ => Stage::Unknown,
        }
    }

    /// What reading the segment has come to.
    #[inline(always)]
    #[must_use]
    pub const fn finding(&self) -> Finding {
        match self.finding {
            0 => Finding::Nothing,
            1 => Finding::Hello,
            2 => Finding::Part,
            _ => Finding::Wrong,
        }
    }

    /// Notes the segment that is to be judged next.
    #[inline(always)]
    pub const fn note(&mut self, segment: &Segment, transport: u32, destination: Address) {
        // One by one: a routine would be called for the padding.
        self.segment.sequence = segment.sequence;
        self.segment.payload = segment.payload;
        self.segment.length = segment.length;
        self.segment.flags = segment.flags;
        self.transport = transport;
        self.destination = destination.mapped();
        self.policy = PolicyWord(0);
        self.looks = 0;
    }

    /// Notes what grants the segment that was noted.
    #[inline(always)]
    pub const fn note_grant(&mut self, policy: PolicyWord, grant: GrantWord) {
        self.policy = policy;
        self.grant = grant;
    }

    /// Where the segment goes that was noted.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> Address {
        let [high, low] = self.destination;
        Address::V6(high, low).canonical()
    }

    /// Begins anew with the SYN of a connection.
    #[inline(always)]
    pub const fn open(&mut self, segment: &Segment) {
        self.forget();
        self.stage = Stage::Opened as u8;
        // The SYN itself takes one number (RFC 9293 section 3.4).
        self.next = segment.sequence.wrapping_add(1);
    }

    /// Begins anew with a call to `connect`: until the SYN has been seen nothing is known.
    #[inline(always)]
    pub const fn connect(&mut self, pid: u32, comm: [u8; 16]) {
        self.forget();
        self.connected = 1;
        self.pid = pid;
        self.comm = comm;
    }

    #[inline(always)]
    const fn forget(&mut self) {
        self.judged = 0;
        self.named = 0;
        self.stage = Stage::Unknown as u8;
        self.gathered = 0;
        self.early_data = 0;
        self.name.length = 0;
    }

    /// Whether audit mode has to tell of a call to this destination; not when it did so last, under the same policy.
    #[inline(always)]
    pub fn is_news(&mut self, generation: Generation, address: Address, port: u16) -> bool {
        let address = address.mapped();
        if self.told == generation.0 && self.told_address == address && self.told_port == port {
            return false;
        }
        self.told = generation.0;
        self.told_address = address;
        self.told_port = port;
        true
    }

    /// Whether nothing is to be told of a datagram to this granted destination: the one before went there, or the socket
    /// has changed its destination [`DESTINATIONS_TOLD`] times.
    #[inline(always)]
    #[must_use]
    pub fn has_told(&self, address: Address, port: u16) -> bool {
        self.looks >= DESTINATIONS_TOLD
            || self.transport == told_port(port) && self.destination == address.mapped()
    }

    /// Whether a datagram to this granted destination is to be told of, which it is from then on. Of a socket whose
    /// datagrams are not judged by their sessions the fields are free.
    #[inline(always)]
    pub fn is_next_destination(&mut self, address: Address, port: u16) -> bool {
        if self.has_told(address, port) {
            return false;
        }
        self.destination = address.mapped();
        self.transport = told_port(port);
        self.looks = self.looks.saturating_add(1);
        true
    }

    /// Whether audit mode has to tell of a packet: of the first under each policy, since the calls have told where the
    /// others go.
    #[inline(always)]
    pub const fn is_untold(&mut self, generation: Generation) -> bool {
        if self.told == generation.0 {
            return false;
        }
        self.told = generation.0;
        self.told_address = [0; 2];
        self.told_port = 0;
        true
    }
}
