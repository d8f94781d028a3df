//! Bytes to flow: what an IPv4 or IPv6 packet says about where it goes.
//!
//! The parser finds the destination, the protocol and the ports, or says precisely why it can not. It does not judge:
//! every [`PacketError`] is turned into pass or deny by the one `match` in [`crate::verdict`].
//!
//! Sources: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 4302 (authentication header), and the registry "IPv6 Extension
//! Header Types" of IANA.

use crate::bytes::Bytes;

/// Most extension headers in front of the transport header. Honest stacks send two or three.
pub const EXTENSION_HEADERS_MAX: u32 = 8;
/// Most bytes of IPv4 options: a header of 60 bytes less the fixed 20 (RFC 791 section 3.1).
pub const IPV4_OPTIONS_BYTES_MAX: u32 = 40;
/// Most IPv4 options, padding counted, that are looked at. Honest packets have three at the most, and the verifier's
/// work grows with the square of this.
pub const IPV4_OPTIONS_MAX: u32 = 16;

const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;

/// Protocol numbers (IANA "Protocol Numbers").
pub mod protocol {
    /// Transmission control protocol.
    pub const TCP: u8 = 6;
    /// User datagram protocol; QUIC runs over it.
    pub const UDP: u8 = 17;
    /// Datagram congestion control protocol (RFC 4340).
    pub const DCCP: u8 = 33;
    /// Stream control transmission protocol (RFC 9260).
    pub const SCTP: u8 = 132;
    /// Lightweight user datagram protocol (RFC 3828).
    pub const UDP_LITE: u8 = 136;

    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(super) const NO_NEXT_HEADER: u8 = 59;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const HOST_IDENTITY: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
    pub(super) const EXPERIMENT_1: u8 = 253;
    pub(super) const EXPERIMENT_2: u8 = 254;
}

/// Which header a packet starts with, as its link-layer type says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// Internet protocol version 4.
    V4,
    /// Internet protocol version 6.
    V6,
}

/// An address in the number form in which tables compare it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Address {
    /// An IPv4 address, first byte most significant.
    V4(u32),
    /// An IPv6 address: its first and its last 64 bits, first byte most significant.
    V6(u64, u64),
}

impl Default for Address {
    /// Unspecified: what has not been read yet.
    fn default() -> Self {
        Self::V4(0)
    }
}

impl Address {
    /// `127.0.0.0/8` or `::1`.
    #[inline(always)]
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        match self {
            Self::V4(address) => address >> 24 == 127,
            Self::V6(high, low) => high == 0 && low == 1,
        }
    }

    /// `0.0.0.0` or `::`, which `connect` turns into loopback (Linux `net/ipv4/route.c` `ip_route_output_key_hash`,
    /// `net/ipv6/datagram.c` and `tcp_ipv6.c`).
    #[inline(always)]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        matches!(self, Self::V4(0) | Self::V6(0, 0))
    }

    /// An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) as the IPv4 address that it stands for on a socket.
    #[inline(always)]
    #[must_use]
    pub const fn canonical(self) -> Self {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the address")]
            Self::V6(0, low) if low >> 32 == 0xffff => Self::V4(low as u32),
            other => other,
        }
    }

    /// One form for both families, IPv4 as in [`Self::canonical`]: the first and the last 64 bits.
    #[inline(always)]
    #[must_use]
    pub const fn mapped(self) -> [u64; 2] {
        match self {
            Self::V4(address) => [0, 0xffff_0000_0000 | address as u64],
            Self::V6(high, low) => [high, low],
        }
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(address) => Self::V4(address.to_bits()),
            core::net::IpAddr::V6(address) => {
                let bits = address.to_bits();
                #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
                Self::V6((bits >> 64) as u64, bits as u64)
            }
        }
    }
}

impl From<Address> for core::net::IpAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(bits) => Self::V4(core::net::Ipv4Addr::from_bits(bits)),
            Address::V6(high, low) => Self::V6(core::net::Ipv6Addr::from_bits(
                (u128::from(high) << 64) | u128::from(low),
            )),
        }
    }
}

/// The ports of a transport header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Ports {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// What a packet says about where it goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Packet {
    /// Destination address of the outermost header.
    pub destination: Address,
    /// The protocol behind all extension headers.
    pub protocol: u8,
    /// Whether the protocol has ports.
    pub has_ports: bool,
    /// The ports, zero when it has none.
    pub ports: Ports,
    /// Where the transport header starts, in bytes.
    pub transport: u32,
    /// Whether an IPv6 routing header stands before it: the destination then is only the next stop.
    pub routed: bool,
    /// Bytes of IPv4 options, 0 to [`IPV4_OPTIONS_BYTES_MAX`]; look into them with [`check_options`].
    pub options: u32,
}

/// What a TCP header says (RFC 9293 section 3.1), as far as it matters here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Segment {
    /// Number of the first byte of payload, or of the SYN.
    pub sequence: u32,
    /// Where the payload starts, in bytes from the start of the packet.
    pub payload: u32,
    /// Bytes of payload.
    pub length: u32,
    /// The byte of flags, with [`SYN`](Segment::SYN) and [`URG`](Segment::URG) among them.
    pub flags: u8,
    /// Always zero.
    pub padding: [u8; 3],
}

impl Segment {
    /// It opens a connection.
    pub const SYN: u8 = 0x02;
    /// Its urgent pointer counts.
    pub const URG: u8 = 0x20;

    /// Whether it opens a connection.
    #[inline(always)]
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.flags & Self::SYN != 0
    }

    /// Whether it speaks of urgent data, before, in or behind it.
    #[inline(always)]
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        self.flags & Self::URG != 0
    }
}

/// Reads the TCP header that starts at `transport`; `None` when it is not whole.
#[inline(always)]
pub fn segment<B: Bytes + ?Sized>(bytes: &B, transport: u32) -> Option<Segment> {
    const LENGTH_MIN: u32 = 20;
    let [_, sequence, _, control] = if transport <= crate::bytes::NEAR {
        bytes.words::<4>(transport)?
    } else {
        let header = bytes.read::<16>(transport)?;
        core::array::from_fn(|at| {
            u32::from_be_bytes([
                header[at * 4],
                header[at * 4 + 1],
                header[at * 4 + 2],
                header[at * 4 + 3],
            ])
        })
    };
    let length = (control >> 28) * 4;
    let payload = transport + length;
    let all = bytes.length();
    if length < LENGTH_MIN || payload > all {
        return None;
    }
    Some(Segment {
        sequence,
        payload,
        length: all - payload,
        flags: byte(control, 1),
        padding: [0; 3],
    })
}

/// Why a packet's destination and ports can not be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PacketError {
    /// It ends before a header does.
    Truncated,
    /// The version in the header is not that of the link-layer type.
    Version,
    /// The IPv4 header length is below 20 bytes.
    HeaderLength,
    /// A fragment: the ports are elsewhere, or another fragment may overwrite them.
    Fragment,
    /// An IPv6 header behind which ports can not be found, or more headers than [`EXTENSION_HEADERS_MAX`].
    ExtensionHeader,
    /// An IPv4 source route (RFC 791 section 3.1): the destination is only the next stop.
    SourceRoute,
    /// IPv4 options whose lengths do not add up, or more of them than [`IPV4_OPTIONS_MAX`].
    Options,
}

/// Whether the first four bytes of the protocol's header are a source and a destination port.
#[inline(always)]
const fn has_ports(number: u8) -> bool {
    matches!(
        number,
        protocol::TCP | protocol::UDP | protocol::DCCP | protocol::SCTP | protocol::UDP_LITE
    )
}

/// Reads the headers of a packet that starts at offset 0 into `packet`.
///
/// # Errors
/// Why the destination or the ports can not be told; `packet` then holds what was read before.
#[inline(always)]
pub fn parse<B: Bytes + ?Sized>(bytes: &B, family: Family, packet: &mut Packet) -> Result<(), PacketError> {
    match family {
        Family::V4 => parse_v4(bytes, packet),
        Family::V6 => parse_v6(bytes, packet),
    }
}

#[inline(always)]
fn parse_v4<B: Bytes + ?Sized>(bytes: &B, packet: &mut Packet) -> Result<(), PacketError> {
    let Some([start, fragment, middle, _, destination]) = bytes.words::<{ IPV4_HEADER as usize / 4 }>(0)
    else {
        return Err(PacketError::Truncated);
    };
    if start >> 28 != 4 {
        return Err(PacketError::Version);
    }
    packet.destination = Address::V4(destination);
    packet.protocol = byte(middle, 1);
    let length = (start >> 24 & 0x0f) * 4;
    if length < IPV4_HEADER {
        return Err(PacketError::HeaderLength);
    }
    packet.transport = length;
    packet.options = length - IPV4_HEADER;
    // More fragments, or an offset: the word's last 14 bits (RFC 791 section 3.1).
    if fragment & 0x3fff != 0 {
        return Err(PacketError::Fragment);
    }
    if has_ports(packet.protocol) {
        packet.ports = ports(bytes.words(length))?;
        packet.has_ports = true;
        return Ok(());
    }
    if packet.protocol == protocol::AUTHENTICATION {
        return walk(bytes, packet, Family::V4);
    }
    Ok(())
}

#[inline(always)]
fn parse_v6<B: Bytes + ?Sized>(bytes: &B, packet: &mut Packet) -> Result<(), PacketError> {
    let Some([start, next, _, _, _, _, d0, d1, d2, d3]) = bytes.words::<{ IPV6_HEADER as usize / 4 }>(0)
    else {
        return Err(PacketError::Truncated);
    };
    if start >> 28 != 6 {
        return Err(PacketError::Version);
    }
    packet.destination = Address::V6(joined(d0, d1), joined(d2, d3));
    packet.protocol = byte(next, 2);
    packet.transport = IPV6_HEADER;
    if has_ports(packet.protocol) {
        packet.ports = ports(bytes.words(IPV6_HEADER))?;
        packet.has_ports = true;
        return Ok(());
    }
    walk(bytes, packet, Family::V6)
}

/// The source and the destination of the outermost header, when there is a whole one.
#[inline(always)]
pub fn addresses<B: Bytes + ?Sized>(bytes: &B, family: Family) -> Option<(Address, Address)> {
    match family {
        Family::V4 => {
            let [_, _, _, source, destination] = bytes.words(0)?;
            Some((Address::V4(source), Address::V4(destination)))
        }
        Family::V6 => {
            let [_, _, s0, s1, s2, s3, d0, d1, d2, d3] = bytes.words(0)?;
            let source = Address::V6(joined(s0, s1), joined(s2, s3));
            Some((source, Address::V6(joined(d0, d1), joined(d2, d3))))
        }
    }
}

/// The byte at `at`, counted from 0 in network order, of a word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "one byte is meant")]
const fn byte(word: u32, at: u32) -> u8 {
    (word >> (24 - at * 8)) as u8
}

#[inline(always)]
const fn joined(high: u32, low: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

/// Steps over extension headers until a protocol is found that is none.
#[inline(always)]
fn walk<B: Bytes + ?Sized>(bytes: &B, packet: &mut Packet, family: Family) -> Result<(), PacketError> {
    let v6 = matches!(family, Family::V6);
    let mut next = packet.protocol;
    let mut offset = packet.transport;
    for _ in 0..EXTENSION_HEADERS_MAX {
        let unit = match next {
            // The length counts units of 4 bytes, less 2 (RFC 4302 section 2.2).
            protocol::AUTHENTICATION => 4,
            // The length counts units of 8 bytes, less 1 (RFC 8200 section 4).
            protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS if v6 => 8,
            protocol::ROUTING if v6 => {
                packet.routed = true;
                8
            }
            protocol::FRAGMENT if v6 => return Err(PacketError::Fragment),
            // Signalling of Mobile IPv6 has nothing behind it (RFC 6275 section 6.1.1); anything else would hide there.
            protocol::MOBILITY if v6 => match bytes.read::<1>(offset) {
                Some([protocol::NO_NEXT_HEADER]) => {
                    packet.protocol = next;
                    packet.transport = offset;
                    return Ok(());
                }
                Some(_) => return Err(PacketError::ExtensionHeader),
                None => return Err(PacketError::Truncated),
            },
            protocol::HOST_IDENTITY | protocol::SHIM6 | protocol::EXPERIMENT_1 | protocol::EXPERIMENT_2
                if v6 =>
            {
                return Err(PacketError::ExtensionHeader);
            }
            other => {
                packet.protocol = other;
                packet.transport = offset;
                if has_ports(other) {
                    packet.ports = ports(bytes.read(offset).map(|word| [u32::from_be_bytes(word)]))?;
                    packet.has_ports = true;
                }
                return Ok(());
            }
        };
        let Some([following, length]) = bytes.read::<2>(offset) else {
            return Err(PacketError::Truncated);
        };
        offset += if unit == 4 {
            (u32::from(length) + 2) * 4
        } else {
            (u32::from(length) + 1) * 8
        };
        next = following;
    }
    Err(PacketError::ExtensionHeader)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
fn ports(word: Option<[u32; 1]>) -> Result<Ports, PacketError> {
    let Some([word]) = word else {
        return Err(PacketError::Truncated);
    };
    Ok(Ports {
        source: (word >> 16) as u16,
        destination: word as u16,
    })
}

/// Looks for a source route in the IPv4 options of a packet with `length` bytes of them.
///
/// # Errors
/// [`PacketError::SourceRoute`], or [`PacketError::Options`] when the options can not be read to their end.
#[inline(always)]
pub fn check_options<B: Bytes + ?Sized>(bytes: &B, length: u32) -> Result<(), PacketError> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    let mut at = 0;
    for _ in 0..IPV4_OPTIONS_MAX {
        if at >= length {
            break;
        }
        let Some([kind]) = bytes.read::<1>(IPV4_HEADER + at) else {
            return Err(PacketError::Truncated);
        };
        match kind {
            END => return Ok(()),
            NO_OPERATION => at += 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(PacketError::SourceRoute),
            _ => {
                let Some([size]) = bytes.read::<1>(IPV4_HEADER + at + 1) else {
                    return Err(PacketError::Truncated);
                };
                if size < 2 {
                    return Err(PacketError::Options);
                }
                at += u32::from(size);
            }
        }
    }
    // Beyond the end, or not there yet.
    if at == length {
        Ok(())
    } else {
        Err(PacketError::Options)
    }
}
