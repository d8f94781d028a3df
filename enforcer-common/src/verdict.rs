//! Flow and grant to verdict. Every error on the way to a verdict is decided in this file.

use crate::bytes::Bytes;
use crate::packet::{self, Address, Family, Packet, PacketError, Ports, protocol};
use crate::reason::Reason;
use crate::table::{Found, Generation, GrantWord, PolicyWord, Settings, Tables, look_up};

/// What becomes of a packet or a system call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Not ours to judge: not a filtered port, or loopback.
    Ignored,
    /// Let through by a rule.
    Granted(GrantWord),
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
}

impl Judgement {
    /// Nothing was looked up.
    pub const IGNORED: Self = Self {
        verdict: Verdict::Ignored,
        settings: Settings(0),
        generation: Generation(0),
    };
}

/// What an event tells of a packet besides its addresses, as far as it could be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Transport {
    /// The protocol.
    pub protocol: u8,
    /// Its ports.
    pub ports: Ports,
}

/// Judges a packet by its bytes, which start with the IP header.
#[inline(always)]
pub fn judge_packet<B, P, T>(bytes: &B, family: Family, ports: &P, tables: &T) -> (Judgement, Transport)
where
    B: Bytes + ?Sized,
    P: FilteredPorts + ?Sized,
    T: Tables,
{
    let mut packet = Packet::default();
    let parsed = packet::parse(bytes, family, &mut packet);
    let told = Transport {
        protocol: packet.protocol,
        ports: packet.ports.unwrap_or_default(),
    };
    if let Err(error) = parsed {
        return (deny(on_error(error), tables), told);
    }
    let Some(found) = packet.ports else {
        return (Judgement::IGNORED, told);
    };
    if !ports.contains(found.destination) {
        return (Judgement::IGNORED, told);
    }
    let judgement = if packet.destination.is_loopback() {
        Judgement::IGNORED
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

/// Whether the packet goes where its destination says.
#[inline(always)]
fn check_route<B: Bytes + ?Sized>(bytes: &B, packet: &Packet) -> Result<(), Reason> {
    if packet.routed {
        return Err(Reason::RoutingHeader);
    }
    if packet.options == 0 {
        return Ok(());
    }
    packet::check_options(bytes, packet.options).map_err(on_error)
}

/// Judges a destination on a filtered port that is not loopback.
#[inline(always)]
pub fn judge_destination<T: Tables>(destination: Address, number: u8, tables: &T) -> Judgement {
    let answer = look_up(tables, destination);
    let verdict = match answer.found {
        Found::NoPolicy => Verdict::Denied(Reason::NoPolicy),
        Found::Changing => Verdict::Denied(Reason::PolicyChanging),
        Found::Damaged => Verdict::Denied(Reason::TableDamaged),
        Found::NotGranted | Found::Granted(_)
            if number == protocol::UDP && !answer.settings.quic_allowed() =>
        {
            Verdict::Denied(Reason::QuicDenied)
        }
        Found::NotGranted => Verdict::Denied(Reason::AddressNotGranted),
        Found::Granted(grant) => Verdict::Granted(grant),
    };
    Judgement {
        verdict,
        settings: answer.settings,
        generation: answer.generation,
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
    }
}
