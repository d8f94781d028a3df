//! The tables, after the IANA special-purpose address registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use self::Cover::{Never, PrivateLink};

/// Whether a `private_link` prefix can cover a class.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cover {
    Never,
    PrivateLink,
}

/// Addresses of cloud services that hand out credentials or control the machine. They go before all else.
pub(super) const METADATA: [(IpAddr, &str); 9] = [
    (four([169, 254, 169, 254]), "instance metadata service"),
    (four([168, 63, 129, 16]), "Azure host agent (WireServer)"),
    (four([100, 100, 100, 200]), "instance metadata service (Alibaba)"),
    (four([192, 0, 0, 192]), "instance metadata service (Oracle)"),
    (
        six([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
        "instance metadata service (AWS)",
    ),
    (
        six([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]),
        "container credentials (AWS)",
    ),
    (
        six([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]),
        "instance metadata service (Oracle)",
    ),
    (
        six([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]),
        "instance metadata service (Scaleway)",
    ),
    (
        six([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
        "instance metadata service (Google)",
    ),
];

/// The first prefix that contains an address decides.
pub(super) const V4: [(Ipv4Net, Cover, &str); 12] = [
    (v4([0, 0, 0, 0], 8), Never, "this network (RFC 791)"),
    (v4([10, 0, 0, 0], 8), PrivateLink, "private (RFC 1918)"),
    (v4([100, 64, 0, 0], 10), PrivateLink, "shared (RFC 6598)"),
    (v4([127, 0, 0, 0], 8), Never, "loopback (RFC 1122)"),
    (v4([169, 254, 0, 0], 16), Never, "link-local (RFC 3927)"),
    (v4([172, 16, 0, 0], 12), PrivateLink, "private (RFC 1918)"),
    (
        v4([192, 0, 0, 0], 24),
        Never,
        "IETF protocol assignments (RFC 6890)",
    ),
    (v4([192, 88, 99, 0], 24), Never, "6to4 relay (RFC 7526)"),
    (v4([192, 168, 0, 0], 16), PrivateLink, "private (RFC 1918)"),
    (v4([224, 0, 0, 0], 4), Never, "multicast (RFC 5771)"),
    (v4([255, 255, 255, 255], 32), Never, "broadcast (RFC 919)"),
    (v4([240, 0, 0, 0], 4), Never, "reserved (RFC 1112)"),
];

/// The first octets below which anything of [`V4`] or [`METADATA`] lies: a file has 100,000 prefixes, nearly all elsewhere.
pub(super) const SPECIAL_OCTETS: [bool; 256] = {
    let mut octets = [false; 256];
    let mut at = 0;
    while at < V4.len() {
        let net = &V4[at].0;
        let first = net.addr().octets()[0] as usize;
        let last = first
            + if net.prefix_len() < 8 {
                (1 << (8 - net.prefix_len())) - 1
            } else {
                0
            };
        let mut octet = first;
        while octet <= last {
            octets[octet] = true;
            octet += 1;
        }
        at += 1;
    }
    let mut at = 0;
    while at < METADATA.len() {
        if let IpAddr::V4(address) = METADATA[at].0 {
            octets[address.octets()[0] as usize] = true;
        }
        at += 1;
    }
    octets
};

/// The first prefix that contains an address decides. What carries an IPv4 address is dealt with before.
pub(super) const V6: [(Ipv6Net, Cover, &str); 14] = [
    (v6(&[], 128), Never, "unspecified (RFC 4291)"),
    (v6(&[0, 0, 0, 0, 0, 0, 0, 1], 128), Never, "loopback (RFC 4291)"),
    (v6(&[], 96), Never, "IPv4-compatible (RFC 4291, deprecated)"),
    (v6(&[0x64, 0xff9b, 1], 48), PrivateLink, "local NAT64 (RFC 8215)"),
    (v6(&[0x100], 64), Never, "discard (RFC 6666)"),
    (v6(&[0x100, 0, 0, 1], 64), Never, "dummy (RFC 9780)"),
    (v6(&[0xfc00], 7), PrivateLink, "unique local (RFC 4193)"),
    (v6(&[0xfe80], 10), Never, "link-local (RFC 4291)"),
    (v6(&[0xfec0], 10), Never, "site-local (RFC 3879, deprecated)"),
    (v6(&[0xff00], 8), Never, "multicast (RFC 4291)"),
    (v6(&[0x2001, 0x10], 28), Never, "ORCHID (RFC 4843, deprecated)"),
    (v6(&[0x2001, 0x20], 28), Never, "ORCHIDv2 (RFC 7343)"),
    (v6(&[0x2001], 23), Never, "IETF protocol assignments (RFC 2928)"),
    (v6(&[0x5f00], 16), Never, "segment routing (RFC 9602)"),
];

/// Global unicast, as far as it is allocated (IANA, IPv6 address space). What is neither in here nor special by a name of
/// its own is nobody's.
pub(super) const GLOBAL: Ipv6Net = v6(&[0x2000], 3);

/// NAT64 well-known prefix (RFC 6052 section 2.1): the IPv4 address is the last 32 bits.
pub(super) const NAT64: Ipv6Net = v6(&[0x64, 0xff9b], 96);
/// 6to4 (RFC 3056 section 2): the IPv4 address follows the first 16 bits.
pub(super) const SIX_TO_FOUR: Ipv6Net = v6(&[0x2002], 16);
/// Teredo (RFC 4380 section 4): the server's address, and the client's with all bits inverted at the end.
pub(super) const TEREDO: Ipv6Net = v6(&[0x2001], 32);

/// RFC 5180 section 8. Inside the IETF protocol assignments, of which nothing else serves anybody.
pub(super) const BENCHMARKING: Ipv6Net = v6(&[0x2001, 2], 48);

const fn four([a, b, c, d]: [u8; 4]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn six([a, b, c, d, e, f, g, h]: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// `first` are the first groups; the others are 0.
const fn v6(first: &[u16], length: u8) -> Ipv6Net {
    let mut groups = [0; 8];
    groups.split_at_mut(first.len()).0.copy_from_slice(first);
    let [a, b, c, d, e, f, g, h] = groups;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}
