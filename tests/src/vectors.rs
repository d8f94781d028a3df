//! The vectors of the verdict: packets, and what must become of each under [`policy`]. The host and the kernel are
//! held against the same list.

use std::net::{Ipv4Addr, Ipv6Addr};

use enforcer::config::RuleId;
use enforcer::endpoints::Condition;
use enforcer::policy::table::{Grant, Table, TableError};
use enforcer_common::Reason;
use enforcer_common::packet::protocol;

use crate::packets::{Packet, authentication, extension, tcp4, tcp6, transport, v4, v6};

/// The filtered ports of the vectors.
pub const PORTS: [u16; 2] = [443, 8443];
/// Granted by a prefix.
pub const GRANTED_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Granted by a prefix.
pub const GRANTED_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// In no grant.
pub const FOREIGN_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// In no grant.
pub const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x10);

/// What must become of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Not ours to judge.
    Ignored,
    /// Let through by this rule.
    Granted(u32),
    /// Denied for this reason.
    Denied(Reason),
}

/// One packet and what must become of it.
#[derive(Clone, Debug)]
pub struct Vector {
    /// What it shows.
    pub name: &'static str,
    /// The packet.
    pub packet: Packet,
    /// What must become of it.
    pub expected: Expected,
}

/// The policy of the vectors.
///
/// # Errors
/// None: it is small.
pub fn policy() -> Result<Table, TableError> {
    let grant = |net: ipnet::IpNet, rule, condition| Grant {
        net,
        rule: RuleId(rule),
        condition,
    };
    let (any, of_the_policy) = (Condition::Unconditional, Condition::POLICY);
    let grants = [
        grant(
            ipnet::Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 28).into(),
            1,
            any,
        ),
        grant(
            ipnet::Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 200), 32).into(),
            2,
            of_the_policy,
        ),
        grant(
            ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 64).into(),
            3,
            any,
        ),
        // A whole 16-bit block, which the index alone answers.
        grant(
            ipnet::Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 16).into(),
            4,
            any,
        ),
    ];
    Table::of(&grants, &[])
}

/// Every vector.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn vectors() -> Vec<Vector> {
    use Expected::{Denied, Granted, Ignored};
    let mut all = Vec::new();
    let mut add = |name, packet, expected| {
        all.push(Vector {
            name,
            packet,
            expected,
        })
    };
    let tcp = || transport(443);

    add("a granted address", tcp4(GRANTED_V4, 443), Granted(1));
    add(
        "a granted address, second port",
        tcp4(GRANTED_V4, 8443),
        Granted(1),
    );
    add(
        "an address granted by name",
        tcp4(Ipv4Addr::new(192, 0, 2, 200), 443),
        Granted(2),
    );
    add(
        "an address in a wholly granted block",
        tcp4(Ipv4Addr::new(100, 64, 200, 1), 443),
        Granted(4),
    );
    add(
        "the last address of a prefix",
        tcp4(Ipv4Addr::new(192, 0, 2, 15), 443),
        Granted(1),
    );
    add(
        "one behind the last",
        tcp4(Ipv4Addr::new(192, 0, 2, 16), 443),
        Denied(Reason::AddressNotGranted),
    );
    add("a granted IPv6 address", tcp6(GRANTED_V6, 443), Granted(3));
    add(
        "a foreign address",
        tcp4(FOREIGN_V4, 443),
        Denied(Reason::AddressNotGranted),
    );
    add(
        "a foreign IPv6 address",
        tcp6(FOREIGN_V6, 443),
        Denied(Reason::AddressNotGranted),
    );
    add("another port", tcp4(FOREIGN_V4, 80), Ignored);
    add("another port, IPv6", tcp6(FOREIGN_V6, 22), Ignored);
    add(
        "port 443 as source port",
        v4(FOREIGN_V4, protocol::TCP, &[], &[1, 187, 0, 80, 0, 0, 0, 0]),
        Ignored,
    );
    add("loopback", tcp4(Ipv4Addr::new(127, 9, 9, 9), 443), Ignored);
    add("loopback, IPv6", tcp6(Ipv6Addr::LOCALHOST, 443), Ignored);
    add(
        "UDP to a granted address",
        v4(GRANTED_V4, protocol::UDP, &[], &tcp()),
        Denied(Reason::QuicDenied),
    );
    add(
        "UDP to a foreign address",
        v4(FOREIGN_V4, protocol::UDP, &[], &tcp()),
        Denied(Reason::QuicDenied),
    );
    add(
        "UDP to a granted address, IPv6",
        v6(GRANTED_V6, &[], protocol::UDP, &tcp()),
        Denied(Reason::QuicDenied),
    );
    add(
        "UDP to another port",
        v4(FOREIGN_V4, protocol::UDP, &[], &transport(53)),
        Ignored,
    );
    for number in [protocol::DCCP, protocol::SCTP, protocol::UDP_LITE] {
        add(
            "another transport, granted",
            v4(GRANTED_V4, number, &[], &tcp()),
            Granted(1),
        );
        add(
            "another transport, foreign",
            v4(FOREIGN_V4, number, &[], &tcp()),
            Denied(Reason::AddressNotGranted),
        );
        add(
            "another transport, foreign, IPv6",
            v6(FOREIGN_V6, &[], number, &tcp()),
            Denied(Reason::AddressNotGranted),
        );
    }
    add(
        "ICMP",
        v4(FOREIGN_V4, 1, &[], &[8, 0, 1, 187, 0, 0, 0, 0]),
        Ignored,
    );
    add(
        "ICMP version 6",
        v6(FOREIGN_V6, &[], 58, &[128, 0, 1, 187]),
        Ignored,
    );
    add(
        "ESP has no ports to see",
        v6(FOREIGN_V6, &[], 50, &tcp()),
        Ignored,
    );

    // IPv4 options and lengths.
    let nops = [1, 1, 1, 1];
    add(
        "options before the ports, granted",
        v4(GRANTED_V4, protocol::TCP, &nops, &tcp()),
        Granted(1),
    );
    add(
        "options before the ports, foreign",
        v4(FOREIGN_V4, protocol::TCP, &nops, &tcp()),
        Denied(Reason::AddressNotGranted),
    );
    add(
        "sixteen options",
        v4(GRANTED_V4, protocol::TCP, &[1; 16], &tcp()),
        Granted(1),
    );
    add(
        "more options than honest packets have",
        v4(GRANTED_V4, protocol::TCP, &[1; 20], &tcp()),
        Denied(Reason::Malformed),
    );
    add(
        "ports that only a wrong header length finds",
        v4(FOREIGN_V4, protocol::TCP, &nops, &transport(80)),
        Ignored,
    );
    let loose = [131, 7, 4, 203, 0, 113, 10, 0];
    let strict = [1, 137, 7, 4, 203, 0, 113, 10];
    add(
        "a loose source route",
        v4(GRANTED_V4, protocol::TCP, &loose, &tcp()),
        Denied(Reason::SourceRoute),
    );
    add(
        "a strict source route",
        v4(GRANTED_V4, protocol::TCP, &strict, &tcp()),
        Denied(Reason::SourceRoute),
    );
    add(
        "a source route behind another option",
        v4(
            GRANTED_V4,
            protocol::TCP,
            &[7, 3, 4, 131, 7, 4, 203, 0, 113, 10, 0, 0],
            &tcp(),
        ),
        Denied(Reason::SourceRoute),
    );
    add(
        "a source route to another port",
        v4(FOREIGN_V4, protocol::TCP, &loose, &transport(80)),
        Ignored,
    );
    add(
        "no source route behind the end of options",
        v4(GRANTED_V4, protocol::TCP, &[0, 131, 7, 4], &tcp()),
        Granted(1),
    );
    add(
        "an option of length 0",
        v4(GRANTED_V4, protocol::TCP, &[7, 0, 0, 0], &tcp()),
        Denied(Reason::Malformed),
    );
    add(
        "an option of length 1",
        v4(GRANTED_V4, protocol::TCP, &[7, 1, 0, 0], &tcp()),
        Denied(Reason::Malformed),
    );
    add(
        "an option beyond the header",
        v4(GRANTED_V4, protocol::TCP, &[7, 9, 4, 0], &tcp()),
        Denied(Reason::Malformed),
    );
    add(
        "a header length of 16",
        tcp4(GRANTED_V4, 443).with(0, 0x44),
        Denied(Reason::Malformed),
    );
    add(
        "version 6 in an IPv4 packet",
        tcp4(GRANTED_V4, 443).with(0, 0x65),
        Denied(Reason::Malformed),
    );
    add(
        "version 4 in an IPv6 packet",
        tcp6(GRANTED_V6, 443).with(0, 0x40),
        Denied(Reason::Malformed),
    );
    add(
        "a header length beyond the packet",
        tcp4(GRANTED_V4, 443).with(0, 0x4f),
        Denied(Reason::Malformed),
    );
    add(
        "no ports",
        v4(GRANTED_V4, protocol::TCP, &[], &[0, 1, 2]),
        Denied(Reason::Malformed),
    );
    add(
        "no ports, IPv6",
        v6(GRANTED_V6, &[], protocol::TCP, &[0, 1, 2]),
        Denied(Reason::Malformed),
    );

    // Fragments.
    add(
        "a first fragment",
        tcp4(GRANTED_V4, 443).with(6, 0x20),
        Denied(Reason::Fragment),
    );
    add(
        "a later fragment",
        tcp4(GRANTED_V4, 443).with(7, 0x01),
        Denied(Reason::Fragment),
    );
    add(
        "a fragment to another port",
        tcp4(FOREIGN_V4, 80).with(6, 0x20),
        Denied(Reason::Fragment),
    );
    add(
        "do not fragment is no fragment",
        tcp4(GRANTED_V4, 443).with(6, 0x40),
        Granted(1),
    );
    add(
        "an IPv6 fragment",
        v6(GRANTED_V6, &[extension(44, 1)], protocol::TCP, &tcp()),
        Denied(Reason::Fragment),
    );

    // Authentication headers.
    let behind = |next, payload: Vec<u8>| [authentication(next), payload].concat();
    add(
        "ports behind an authentication header",
        v4(FOREIGN_V4, 51, &[], &behind(protocol::TCP, tcp())),
        Denied(Reason::AddressNotGranted),
    );
    add(
        "another port behind one",
        v4(FOREIGN_V4, 51, &[], &behind(protocol::TCP, transport(80))),
        Ignored,
    );
    add(
        "a granted address behind one",
        v6(GRANTED_V6, &[(51, authentication(0))], protocol::TCP, &tcp()),
        Granted(3),
    );
    add(
        "a cut authentication header",
        v4(GRANTED_V4, 51, &[], &[6]),
        Denied(Reason::Malformed),
    );
    add(
        "numbers of IPv6 headers mean nothing in IPv4",
        v4(FOREIGN_V4, 43, &[], &tcp()),
        Ignored,
    );

    // IPv6 extension headers.
    add(
        "hop-by-hop options",
        v6(FOREIGN_V6, &[extension(0, 1)], protocol::TCP, &tcp()),
        Denied(Reason::AddressNotGranted),
    );
    add(
        "options of 2,048 bytes",
        v6(FOREIGN_V6, &[extension(60, 255)], protocol::TCP, &tcp()),
        Denied(Reason::AddressNotGranted),
    );
    add(
        "options before a granted address",
        v6(
            GRANTED_V6,
            &[extension(0, 1), extension(60, 2)],
            protocol::TCP,
            &tcp(),
        ),
        Granted(3),
    );
    add(
        "seven headers",
        v6(GRANTED_V6, &vec![extension(60, 1); 7], protocol::TCP, &tcp()),
        Granted(3),
    );
    add(
        "eight headers",
        v6(GRANTED_V6, &vec![extension(60, 1); 8], protocol::TCP, &tcp()),
        Denied(Reason::ExtensionHeader),
    );
    add(
        "a routing header",
        v6(GRANTED_V6, &[extension(43, 3)], protocol::TCP, &tcp()),
        Denied(Reason::RoutingHeader),
    );
    add(
        "a routing header behind options",
        v6(
            GRANTED_V6,
            &[extension(60, 1), extension(43, 3)],
            protocol::TCP,
            &tcp(),
        ),
        Denied(Reason::RoutingHeader),
    );
    // Loopback is only the next stop.
    add(
        "a source route by way of loopback",
        v4(Ipv4Addr::LOCALHOST, protocol::TCP, &loose, &tcp()),
        Denied(Reason::SourceRoute),
    );
    add(
        "a routing header by way of loopback",
        v6(Ipv6Addr::LOCALHOST, &[extension(43, 3)], protocol::TCP, &tcp()),
        Denied(Reason::RoutingHeader),
    );
    add(
        "harmless options on the way to loopback",
        v4(Ipv4Addr::LOCALHOST, protocol::TCP, &[1, 1, 1, 1], &tcp()),
        Ignored,
    );
    add(
        "a routing header to another port",
        v6(FOREIGN_V6, &[extension(43, 3)], protocol::TCP, &transport(80)),
        Ignored,
    );
    add(
        "a fragment behind options",
        v6(
            GRANTED_V6,
            &[extension(60, 1), extension(44, 1)],
            protocol::TCP,
            &tcp(),
        ),
        Denied(Reason::Fragment),
    );
    for number in [139, 140, 253, 254] {
        add(
            "a header that hides the ports",
            v6(GRANTED_V6, &[extension(number, 1)], protocol::TCP, &tcp()),
            Denied(Reason::ExtensionHeader),
        );
    }
    add(
        "mobility signalling",
        v6(FOREIGN_V6, &[], 135, &[59, 0, 0, 0, 0, 0, 0, 0]),
        Ignored,
    );
    add(
        "something behind a mobility header",
        v6(GRANTED_V6, &[extension(135, 1)], protocol::TCP, &tcp()),
        Denied(Reason::ExtensionHeader),
    );
    add("no next header", v6(FOREIGN_V6, &[], 59, &tcp()), Ignored);
    add(
        "an extension header that is not there",
        v6(GRANTED_V6, &[], 60, &[]),
        Denied(Reason::Malformed),
    );
    add(
        "an extension header that ends behind the packet",
        v6(
            GRANTED_V6,
            &[(60, vec![0, 9, 0, 0, 0, 0, 0, 0])],
            protocol::TCP,
            &tcp(),
        ),
        Denied(Reason::Malformed),
    );
    let mapped = FOREIGN_V4.to_ipv6_mapped();
    add(
        "an IPv4-mapped address on the wire is IPv6",
        tcp6(mapped, 443),
        Denied(Reason::AddressNotGranted),
    );
    add(
        "a granted IPv4 address does not grant its mapped form",
        tcp6(GRANTED_V4.to_ipv6_mapped(), 443),
        Denied(Reason::AddressNotGranted),
    );
    all
}
