//! Packets for the verdict: made byte by byte, so that also what no honest stack sends can be said.

use std::net::{Ipv4Addr, Ipv6Addr};

use enforcer_common::packet::{Family, protocol};

/// Where the packets of the vectors come from.
pub const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// As [`SOURCE_V4`].
pub const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7);

/// A packet and its family.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// What the link-layer type says.
    pub family: Family,
    /// The bytes from the IP header on.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// The packet behind an Ethernet header, as the kernel's test run wants it.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let kind: u16 = match self.family {
            Family::V4 => 0x0800,
            Family::V6 => 0x86dd,
        };
        let mut frame = vec![0; 12];
        frame.extend(kind.to_be_bytes());
        frame.extend(&self.bytes);
        frame
    }

    /// The packet with the byte at `at` replaced.
    #[must_use]
    pub fn with(mut self, at: usize, byte: u8) -> Self {
        self.bytes[at] = byte;
        self
    }

    /// The first `length` bytes of the packet.
    #[must_use]
    pub fn cut(mut self, length: usize) -> Self {
        self.bytes.truncate(length);
        self
    }
}

/// The first bytes of a transport header, long enough for every protocol with ports.
#[must_use]
pub fn transport(port: u16) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&40_000_u16.to_be_bytes());
    header[2..4].copy_from_slice(&port.to_be_bytes());
    // TCP: five words of header, an acknowledgement.
    header[12] = 5 << 4;
    header[13] = 0x10;
    header
}

/// An IPv4 packet with `options` (a multiple of 4 bytes) and `payload`.
#[must_use]
pub fn v4(to: Ipv4Addr, number: u8, options: &[u8], payload: &[u8]) -> Packet {
    let words = 5 + options.len() / 4;
    let length = words * 4 + payload.len();
    let mut bytes = vec![0; 20];
    bytes[0] = 0x40 | u8::try_from(words).unwrap_or(15);
    bytes[2..4].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    bytes[8] = 64;
    bytes[9] = number;
    bytes[12..16].copy_from_slice(&SOURCE_V4.octets());
    bytes[16..20].copy_from_slice(&to.octets());
    bytes.extend(options);
    bytes.extend(payload);
    Packet {
        family: Family::V4,
        bytes,
    }
}

/// An IPv6 packet; `headers` are extension headers by [`extension`], each under its own number.
#[must_use]
pub fn v6(to: Ipv6Addr, headers: &[(u8, Vec<u8>)], number: u8, payload: &[u8]) -> Packet {
    let mut body = Vec::new();
    for (at, (_, header)) in headers.iter().enumerate() {
        let next = headers.get(at + 1).map_or(number, |(following, _)| *following);
        let mut header = header.clone();
        if let Some(first) = header.first_mut() {
            *first = next;
        }
        body.extend(header);
    }
    body.extend(payload);
    let mut bytes = vec![0; 40];
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes[6] = headers.first().map_or(number, |(first, _)| *first);
    bytes[7] = 64;
    bytes[8..24].copy_from_slice(&SOURCE_V6.octets());
    bytes[24..40].copy_from_slice(&to.octets());
    bytes.extend(body);
    Packet {
        family: Family::V6,
        bytes,
    }
}

/// An extension header of `units` times 8 bytes, with its length byte set.
#[must_use]
pub fn extension(number: u8, units: u8) -> (u8, Vec<u8>) {
    let mut header = vec![0; usize::from(units) * 8];
    if let Some(length) = header.get_mut(1) {
        *length = units - 1;
    }
    (number, header)
}

/// An authentication header of 24 bytes (RFC 4302), in front of `next`.
#[must_use]
pub fn authentication(next: u8) -> Vec<u8> {
    let mut header = vec![0; 24];
    header[0] = next;
    header[1] = 4;
    header
}

/// TCP to a port.
#[must_use]
pub fn tcp4(to: Ipv4Addr, port: u16) -> Packet {
    v4(to, protocol::TCP, &[], &transport(port))
}

/// TCP to a port.
#[must_use]
pub fn tcp6(to: Ipv6Addr, port: u16) -> Packet {
    v6(to, &[], protocol::TCP, &transport(port))
}
