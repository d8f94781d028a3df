//! Flow and grant to verdict. Every error on the way to a verdict is decided in this file.

use crate::bytes::Bytes;
use crate::flow::Flow;
use crate::packet::{self, Address, Family, Packet, PacketError, Segment, protocol};
use crate::reason::Reason;
use crate::table::{Found, Generation, GrantWord, PolicyWord, Settings, Tables, look_up};

/// What becomes of a packet or a system call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Not ours to judge: not a filtered port, or loopback.
    Ignored,
    /// Let through by a rule.
    Granted,
    /// Let through if its session is one under a granted server name: [`crate::session`] judges that.
    Session,
    /// Dropped, or in audit mode reported.
    Denied(Reason),
}

/// Which ports are filtered.
pub trait FilteredPorts {
    /// Whether traffic to `port` is judged.
    fn contains(&self, port: u16) -> bool;
}

/// A list of ports, for the host.
impl FilteredPorts for [u16] {
    fn contains(&self, port: u16) -> bool {
        <[u16]>::contains(self, &port)
    }
}

/// A verdict and what it was reached with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The settings of the policy that decided; default for [`Verdict::Ignored`].
    pub settings: Settings,
    /// The policy that decided; 0 for [`Verdict::Ignored`].
    pub generation: Generation,
    /// What grants the address, also when the packet is denied for its server name; 0 when nothing does.
    pub grant: GrantWord,
}

impl Judgement {
    /// Nothing was looked up.
    pub const IGNORED: Self = Self {
        verdict: Verdict::Ignored,
        settings: Settings(0),
        generation: Generation(0),
        grant: GrantWord(0),
    };
}

/// What an event tells of a packet besides its addresses, as far as it could be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Transport {
    /// The protocol.
    pub protocol: u8,
    /// Where the ports are, in bytes from the start of the packet; 0 when they could not be read.
    pub ports: u32,
}

/// What is kept with the socket that sends a packet.
pub trait Flows {
    /// Whether it is a TCP socket: what others send as TCP was forged.
    fn is_tcp(&self) -> bool;
    /// What is kept with it; `None` when it is no TCP socket, or nothing is kept yet.
    fn kept(&mut self) -> Option<&mut Flow>;
    /// As [`Self::kept`], with a place made for it if need be; `None` when it is no TCP socket, or without memory.
    fn keep(&mut self) -> Option<&mut Flow>;
}

/// Of a host test: nothing is kept, as with a raw socket.
impl Flows for () {
    fn is_tcp(&self) -> bool {
        false
    }
    fn kept(&mut self) -> Option<&mut Flow> {
        None
    }
    fn keep(&mut self) -> Option<&mut Flow> {
        None
    }
}

/// Of a host test: a TCP socket of which this is kept.
impl Flows for Flow {
    fn is_tcp(&self) -> bool {
        true
    }
    fn kept(&mut self) -> Option<&mut Flow> {
        Some(self)
    }
    fn keep(&mut self) -> Option<&mut Flow> {
        Some(self)
    }
}

/// Judges a packet by its bytes, which start with the IP header.
#[inline(always)]
pub fn judge_packet<B, P, T, F>(
    bytes: &B,
    family: Family,
    ports: &P,
    tables: &T,
    flows: &mut F,
) -> (Judgement, Transport)
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
    F: Flows + ?Sized,
{
    let mut packet = Packet::default();
    let parsed = packet::parse(bytes, family, &mut packet);
    let told = Transport {
        protocol: packet.protocol,
        ports: if packet.has_ports { packet.transport } else { 0 },
    };
    if let Err(error) = parsed {
        return (deny(on_error(error), tables), told);
    }
    if !packet.has_ports || !ports.contains(packet.ports.destination) {
        return (Judgement::IGNORED, told);
    }
    let judgement = if packet.destination.is_loopback() {
        Judgement::IGNORED
    } else if packet.protocol == protocol::TCP {
        match packet::segment(bytes, packet.transport) {
            Some(segment) => judge_segment(&segment, packet.transport, packet.destination, tables, flows),
            None => deny(Reason::Malformed, tables),
        }
    } else {
        judge_destination(packet.destination, packet.protocol, tables)
    };
    // Whatever the address, loopback included: with a route in the packet it is only the next stop, and the route is what
    // is to be told. Last, so that the verifier does not walk through the lookup for every way out of the options.
    if let Err(reason) = check_route(bytes, &packet) {
        return (deny(reason, tables), told);
    }
    (judgement, told)
}

/// Judges a TCP segment up to its payload.
#[inline(always)]
fn judge_segment<T: Tables, F: Flows + ?Sized>(
    segment: &Segment,
    transport: u32,
    destination: Address,
    tables: &T,
    flows: &mut F,
) -> Judgement {
    let opens = segment.opens();
    let mut judgement = judge_destination(destination, protocol::TCP, tables);
    if !matches!(judgement.verdict, Verdict::Granted) {
        return judgement;
    }
    let has_condition = judgement.grant.condition() != 0;
    judgement.verdict = if opens {
        if has_condition && segment.length != 0 {
            Verdict::Denied(Reason::PayloadInSyn)
        } else {
            // Without memory nothing is kept, and then its payload is denied.
            if let Some(flow) = flows.keep() {
                flow.open(segment);
            }
            Verdict::Granted
        }
    } else if !has_condition
        || flows
            .kept()
            .is_some_and(|flow| flow.judged == judgement.generation.0)
    {
        Verdict::Granted
    } else if segment.length != 0 {
        if !flows.is_tcp() {
            Verdict::Denied(Reason::ForgedSegment)
        } else if let Some(flow) = flows.keep() {
            flow.note(segment, transport, destination);
            Verdict::Session
        } else {
            Verdict::Denied(Reason::NoMemory)
        }
    } else if segment.is_urgent() {
        Verdict::Denied(Reason::UrgentData)
    } else {
        Verdict::Granted
    };
    judgement
}

/// Whether the packet goes where its destination says.
#[inline(always)]
fn check_route<B: Bytes + ?Sized>(bytes: &B, packet: &Packet) -> Result<(), Reason> {
    if packet.routed {
        return Err(Reason::RoutingHeader);
    }
    if packet.options == 0 {
        return Ok(());
    }
    bytes.check_options(packet.options).map_err(on_error)
}

/// Judges a destination on a filtered port that is not loopback.
#[inline(always)]
pub fn judge_destination<T: Tables>(destination: Address, number: u8, tables: &T) -> Judgement {
    let answer = look_up(tables, destination);
    let verdict = match answer.found {
        Found::NoPolicy => Verdict::Denied(Reason::NoPolicy),
        Found::Changing => Verdict::Denied(Reason::PolicyChanging),
        Found::Damaged => Verdict::Denied(Reason::TableDamaged),
        Found::NotGranted | Found::Granted if number == protocol::UDP && !answer.settings.quic_allowed() => {
            Verdict::Denied(Reason::QuicDenied)
        }
        Found::NotGranted => Verdict::Denied(Reason::AddressNotGranted),
        // Of other protocols no server name can be read; UDP was let through by its address on purpose.
        Found::Granted
            if answer.grant.condition() != 0 && !matches!(number, protocol::TCP | protocol::UDP) =>
        {
            Verdict::Denied(Reason::NotTls)
        }
        Found::Granted => Verdict::Granted,
    };
    Judgement {
        verdict,
        settings: answer.settings,
        generation: answer.generation,
        grant: answer.grant,
    }
}

/// Open or closed, for every way in which a packet can fail to be understood: closed, always, for this reason.
///
/// The kernel builds whole and well-formed packets, so each of these was made by hand on a raw socket.
#[inline(always)]
const fn on_error(error: PacketError) -> Reason {
    match error {
        PacketError::Truncated | PacketError::Version | PacketError::HeaderLength | PacketError::Options => {
            Reason::Malformed
        }
        PacketError::Fragment => Reason::Fragment,
        PacketError::ExtensionHeader => Reason::ExtensionHeader,
        PacketError::SourceRoute => Reason::SourceRoute,
    }
}

/// A denial that needs no address, with the settings that say whether it is carried out.
#[inline(always)]
pub fn deny<T: Tables>(reason: Reason, tables: &T) -> Judgement {
    let word = match tables.header() {
        Some(header) => tables.word(header, 0),
        None => PolicyWord::default(),
    };
    Judgement {
        verdict: Verdict::Denied(reason),
        settings: word.settings(),
        generation: word.generation(),
        grant: GrantWord::default(),
    }
}
