//! What the loaded program says of two addresses: whether it judges as it should.
//!
//! The packets are never sent, and nobody is told of them: programs know them by the source port 0 and the socket of a
//! test run, which no process has. They answer for audit mode as if it were not set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::enforcement::Probe;
use super::error::KernelError;
use crate::policy::table::Range;

/// Addresses of which at least one is granted by nobody: class E, which no host has (RFC 1112 section 4).
const NOBODY: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 1);
/// How many of them are looked at.
const NOBODY_COUNT: u32 = 256;
/// Sources that no packet on a wire has: the dummy address (RFC 7600 section 4.8) and one that is discarded (RFC 6666).
const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8);

const TCP: u8 = 6;
/// The SYN of a TCP header without options.
const SYN: [u8; 2] = [0x50, 0x02];

/// What the program got wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WrongVerdict {
    /// It let a packet through to an address that nobody grants.
    Passed(IpAddr),
    /// It dropped a packet to an address that is granted.
    Dropped(IpAddr),
}

impl std::fmt::Display for WrongVerdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed(to) => write!(out, "the loaded program lets {to} through, which no rule grants"),
            Self::Dropped(to) => write!(out, "the loaded program drops packets to {to}, which is granted"),
        }
    }
}

/// The addresses to try: one that is granted and one that is not, where there are such.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trial {
    granted: Option<IpAddr>,
    denied: Option<IpAddr>,
}

/// Runs the program over a SYN to each of the addresses.
///
/// # Errors
/// [`KernelError::System`] when the kernel can not run it.
pub fn self_check(probe: &Probe, trial: &Trial, port: u16) -> Result<Option<WrongVerdict>, KernelError> {
    let Trial { granted, denied } = *trial;
    if let Some(to) = denied
        && probe.passes(&syn(to, port))?
    {
        return Ok(Some(WrongVerdict::Passed(to)));
    }
    if let Some(to) = granted
        && !probe.passes(&syn(to, port))?
    {
        return Ok(Some(WrongVerdict::Dropped(to)));
    }
    Ok(None)
}

impl Trial {
    /// Addresses that tell whether a program knows `ranges`, which are ascending.
    #[must_use]
    pub fn of(ranges: &[Range]) -> Self {
        let first = ranges.first().map(|range| range.first);
        Self::with(first, |address| {
            let behind = ranges.partition_point(|range| range.first <= IpAddr::V4(address));
            behind > 0 && IpAddr::V4(address) <= ranges[behind - 1].last
        })
    }

    /// The same for a policy of which `granted` is an address that it grants, if it grants any.
    #[must_use]
    pub fn with(granted: Option<IpAddr>, is_granted: impl Fn(Ipv4Addr) -> bool) -> Self {
        let mut nobody = (0..NOBODY_COUNT).map(|more| Ipv4Addr::from_bits(NOBODY.to_bits() + more));
        Self {
            granted,
            denied: nobody.find(|address| !is_granted(*address)).map(IpAddr::V4),
        }
    }
}

/// A frame with a SYN from port 0.
fn syn(to: IpAddr, port: u16) -> Vec<u8> {
    let mut frame = vec![0; 12];
    match to {
        IpAddr::V4(to) => {
            frame.extend([0x08, 0x00]);
            frame.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0]);
            frame.extend(SOURCE_V4.octets());
            frame.extend(to.octets());
        }
        IpAddr::V6(to) => {
            frame.extend([0x86, 0xdd]);
            frame.extend([0x60, 0, 0, 0, 0, 20, TCP, 64]);
            frame.extend(SOURCE_V6.octets());
            frame.extend(to.octets());
        }
    }
    frame.extend([0, 0]);
    frame.extend(port.to_be_bytes());
    // Numbers of the stream.
    frame.extend([0; 8]);
    frame.extend(SYN);
    // Window, checksum, urgent pointer.
    frame.extend([0; 6]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuleId;
    use crate::endpoints::Condition;

    fn range(first: &str, last: &str) -> Range {
        Range {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            rule: RuleId(1),
            condition: Condition::Unconditional,
        }
    }

    #[test]
    fn the_addresses_are_granted_and_not() {
        let addresses = |ranges: &[Range]| {
            let Trial { granted, denied } = Trial::of(ranges);
            (granted, denied)
        };
        assert_eq!(addresses(&[]), (None, Some(NOBODY.into())));
        let ranges = [range("192.0.2.7", "192.0.2.9"), range("240.0.0.0", "240.0.0.16")];
        let (granted, denied) = addresses(&ranges);
        assert_eq!(granted, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(denied, Some("240.0.0.17".parse().unwrap()));
        assert_eq!(addresses(&[range("0.0.0.0", "255.255.255.255")]).1, None);
    }

    #[test]
    fn the_packets_are_what_the_programs_read() {
        use enforcer_common::packet::{Family, Packet, parse};
        for to in ["192.0.2.1", "2001:db8::1"] {
            let to: IpAddr = to.parse().unwrap();
            let frame = syn(to, 443);
            let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
            let mut packet = Packet::default();
            parse(&frame[14..], family, &mut packet).unwrap();
            assert_eq!(IpAddr::from(packet.destination), to);
            assert_eq!((packet.ports.source, packet.ports.destination), (0, 443));
        }
    }
}
