//! Special-purpose addresses: what an answer may not point to, and what belongs to no service of a provider.
//!
//! A name that resolves to the host itself, to its neighbours or to a cloud's metadata service is either an attack (DNS
//! rebinding) or a mistake, so such addresses are refused. The tables follow the IANA special-purpose address registries
//! (RFC 6890 and the updates named below).
//!
//! What a configured `private_link` prefix can cover: private (RFC 1918), shared (RFC 6598), unique local (RFC 4193) and
//! local NAT64 (RFC 8215) addresses. Never loopback, link-local, multicast, unspecified, reserved, or a metadata address,
//! not even inside a prefix that names them.
//!
//! Not special: documentation prefixes and benchmarking prefixes (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24,
//! 2001:db8::/32, 3fff::/20, 198.18.0.0/15, 2001:2::/48). Nothing of value answers there, and labs live there.
//!
//! An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, Teredo) is judged by what it carries as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Whether a `private_link` prefix can cover a class.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cover {
    Never,
    PrivateLink,
}
use Cover::{Never, PrivateLink};

/// Addresses of cloud services that hand out credentials or control the machine. They go before all else.
const METADATA: [(IpAddr, &str); 9] = [
    (
        IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
        "instance metadata service",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        "Azure host agent (WireServer)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        "instance metadata service (Alibaba)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
        "instance metadata service (Oracle)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        "instance metadata service (AWS)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
        "container credentials (AWS)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
        "instance metadata service (Oracle)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
        "instance metadata service (Scaleway)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
        "instance metadata service (Google)",
    ),
];

/// The first prefix that contains an address decides.
const V4: [(Ipv4Net, Cover, &str); 12] = [
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
const SPECIAL_OCTETS: [bool; 256] = {
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
const V6: [(Ipv6Net, Cover, &str); 14] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Never, "unspecified (RFC 4291)"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Never, "loopback (RFC 4291)"),
    (
        v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
        Never,
        "IPv4-compatible (RFC 4291, deprecated)",
    ),
    (
        v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
        PrivateLink,
        "local NAT64 (RFC 8215)",
    ),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), Never, "discard (RFC 6666)"),
    (v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), Never, "dummy (RFC 9780)"),
    (
        v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
        PrivateLink,
        "unique local (RFC 4193)",
    ),
    (
        v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
        Never,
        "link-local (RFC 4291)",
    ),
    (
        v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
        Never,
        "site-local (RFC 3879, deprecated)",
    ),
    (
        v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
        Never,
        "multicast (RFC 4291)",
    ),
    (
        v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28),
        Never,
        "ORCHID (RFC 4843, deprecated)",
    ),
    (
        v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),
        Never,
        "ORCHIDv2 (RFC 7343)",
    ),
    (
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
        Never,
        "IETF protocol assignments (RFC 2928)",
    ),
    (
        v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
        Never,
        "segment routing (RFC 9602)",
    ),
];

/// Global unicast, as far as it is allocated (IANA, IPv6 address space). What is neither in here nor special by a name of
/// its own is nobody's.
const GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// NAT64 well-known prefix (RFC 6052 section 2.1): the IPv4 address is the last 32 bits.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// 6to4 (RFC 3056 section 2): the IPv4 address follows the first 16 bits.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
/// Teredo (RFC 4380 section 4): the server's address, and the client's with all bits inverted at the end.
const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32);

/// RFC 5180 section 8. Inside the IETF protocol assignments, of which nothing else serves anybody.
const BENCHMARKING: Ipv6Net = v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48);

/// Accepts an address of an answer, or says why not. Accepted is the address to grant: an IPv4-mapped one has become the
/// IPv4 address that its packets are sent to.
///
/// # Errors
/// The class of special-purpose addresses that it belongs to, in the words of the registries.
pub fn judge(address: IpAddr, private_link: &[IpNet]) -> Result<IpAddr, &'static str> {
    match address.to_canonical() {
        IpAddr::V4(four) => judge_v4(four, address, private_link)?,
        IpAddr::V6(six) => {
            for carried in carried(six) {
                judge_v4(carried, address, private_link)?;
            }
            judge_v6(six, private_link)?;
        }
    }
    Ok(address.to_canonical())
}

/// What a published prefix has that belongs to no service: special-purpose addresses, a part of them or all of a kind.
///
/// One address of a public prefix may be special (168.63.129.16): it takes nothing from the others.
#[must_use]
pub fn of_prefix(prefix: IpNet) -> Option<&'static str> {
    if let IpNet::V4(prefix) = prefix
        && prefix.prefix_len() >= 8
        && !SPECIAL_OCTETS[usize::from(prefix.addr().octets()[0])]
    {
        return None;
    }
    if prefix.prefix_len() == prefix.max_prefix_len()
        && let Err(why) = judge(prefix.addr(), &[])
    {
        return Some(why);
    }
    match prefix {
        IpNet::V4(prefix) => {
            let meets = |net: &Ipv4Net| net.contains(&prefix) || prefix.contains(net);
            let found = V4.iter().find(|(net, ..)| meets(net));
            found.map(|(_, _, why)| *why)
        }
        IpNet::V6(prefix) => {
            let meets = |net: &Ipv6Net| net.contains(&prefix) || prefix.contains(net);
            if BENCHMARKING.contains(&prefix) {
                return None;
            }
            if [NAT64, SIX_TO_FOUR, TEREDO].iter().any(meets) {
                return Some("IPv4 in IPv6 (RFC 6052, RFC 3056, RFC 4380)");
            }
            match V6.iter().find(|(net, ..)| meets(net)) {
                Some((_, _, why)) => Some(why),
                None if GLOBAL.contains(&prefix) => None,
                None => Some("reserved (RFC 4291)"),
            }
        }
    }
}

/// Judges `address`, which may be carried inside of `outer`: a prefix may cover either.
fn judge_v4(address: Ipv4Addr, outer: IpAddr, private_link: &[IpNet]) -> Result<(), &'static str> {
    not_metadata(address.into())?;
    let Some((_, cover, why)) = V4.iter().find(|(net, ..)| net.contains(&address)) else {
        return Ok(());
    };
    let covered = private_link
        .iter()
        .any(|net| net.contains(&IpAddr::V4(address)) || net.contains(&outer));
    if *cover == PrivateLink && covered {
        Ok(())
    } else {
        Err(why)
    }
}

fn judge_v6(address: Ipv6Addr, private_link: &[IpNet]) -> Result<(), &'static str> {
    not_metadata(address.into())?;
    if [NAT64, TEREDO, BENCHMARKING]
        .iter()
        .any(|net| net.contains(&address))
    {
        return Ok(());
    }
    match V6.iter().find(|(net, ..)| net.contains(&address)) {
        None if GLOBAL.contains(&address) => Ok(()),
        None => Err("reserved (RFC 4291)"),
        Some((_, PrivateLink, _)) if private_link.iter().any(|net| net.contains(&IpAddr::V6(address))) => {
            Ok(())
        }
        Some((_, _, why)) => Err(why),
    }
}

fn not_metadata(address: IpAddr) -> Result<(), &'static str> {
    match METADATA.iter().find(|(metadata, _)| *metadata == address) {
        Some((_, why)) => Err(why),
        None => Ok(()),
    }
}

/// The IPv4 address behind the well-known prefix of NAT64.
pub(crate) fn nat64(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(address) if NAT64.contains(&address) => carried(address).first().copied().map(IpAddr::V4),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The IPv4 addresses inside of an IPv6 address that a translator or tunnel would send to.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |start: usize| {
        Ipv4Addr::new(
            octets[start],
            octets[start + 1],
            octets[start + 2],
            octets[start + 3],
        )
    };
    if NAT64.contains(&address) {
        vec![at(12)]
    } else if SIX_TO_FOUR.contains(&address) {
        vec![at(2)]
    } else if TEREDO.contains(&address) {
        vec![at(4), Ipv4Addr::from(!u32::from(at(12)))]
    } else {
        vec![]
    }
}

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(segments: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(address: &str, private_link: &[&str]) -> Result<String, &'static str> {
        let private_link: Vec<IpNet> = private_link.iter().map(|net| net.parse().unwrap()).collect();
        judge(address.parse().unwrap(), &private_link).map(|address| address.to_string())
    }

    #[test]
    fn public_and_documentation_addresses_are_accepted() {
        for address in [
            "20.42.66.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "198.19.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "2603:1030::1",
            "2001:db8::1",
            "2001:2::1",
            "2001:200::1",
            "3fff::1",
            "2a00::1",
            // Carriers of an address that is accepted by itself.
            "64:ff9b::198.51.100.1",
            "2002:c633:6401::1",
            "2001:0:c633:6401:0:0:39cc:9bfe",
        ] {
            assert_eq!(
                judged(address, &[]),
                Ok(address.parse::<IpAddr>().unwrap().to_string())
            );
        }
        assert_eq!(judged("::ffff:198.51.100.1", &[]), Ok("198.51.100.1".to_owned()));
    }

    #[test]
    fn prefixes_that_no_service_has_are_told_by_their_class() {
        let of = |text: &str| of_prefix(text.parse().unwrap());
        for (prefix, why) in [
            ("127.0.0.0/8", "loopback (RFC 1122)"),
            ("127.0.0.1/32", "loopback (RFC 1122)"),
            ("10.0.0.0/8", "private (RFC 1918)"),
            ("10.1.2.0/24", "private (RFC 1918)"),
            ("172.0.0.0/8", "private (RFC 1918)"),
            ("169.254.0.0/16", "link-local (RFC 3927)"),
            ("169.254.169.254/32", "instance metadata service"),
            ("168.63.129.16/32", "Azure host agent (WireServer)"),
            ("100.64.0.0/10", "shared (RFC 6598)"),
            ("224.0.0.0/24", "multicast (RFC 5771)"),
            ("0.0.0.0/0", "this network (RFC 791)"),
            ("::1/128", "loopback (RFC 4291)"),
            ("::/0", "IPv4 in IPv6 (RFC 6052, RFC 3056, RFC 4380)"),
            ("fe80::/10", "link-local (RFC 4291)"),
            ("fd00::/48", "unique local (RFC 4193)"),
            (
                "64:ff9b::a00:0/104",
                "IPv4 in IPv6 (RFC 6052, RFC 3056, RFC 4380)",
            ),
            ("2002:a00::/24", "IPv4 in IPv6 (RFC 6052, RFC 3056, RFC 4380)"),
            ("4000::/16", "reserved (RFC 4291)"),
        ] {
            assert_eq!(of(prefix), Some(why), "{prefix}");
        }
        for prefix in [
            "13.70.72.136/29",
            "168.63.128.0/23",
            "198.51.100.0/24",
            "198.18.0.0/15",
            "2603:1010:6:402::90/125",
            "2001:db8::/32",
            "2001:2::/48",
            "2600::/12",
        ] {
            assert_eq!(of(prefix), None, "{prefix}");
        }
    }

    #[test]
    fn special_addresses_are_refused_with_their_class() {
        for (address, why) in [
            ("0.0.0.0", "this network (RFC 791)"),
            ("10.0.0.1", "private (RFC 1918)"),
            ("172.16.0.1", "private (RFC 1918)"),
            ("172.31.255.255", "private (RFC 1918)"),
            ("192.168.0.1", "private (RFC 1918)"),
            ("100.64.0.1", "shared (RFC 6598)"),
            ("127.0.0.1", "loopback (RFC 1122)"),
            ("169.254.1.1", "link-local (RFC 3927)"),
            ("169.254.169.254", "instance metadata service"),
            ("168.63.129.16", "Azure host agent (WireServer)"),
            ("192.0.0.8", "IETF protocol assignments (RFC 6890)"),
            ("224.0.0.1", "multicast (RFC 5771)"),
            ("239.255.255.255", "multicast (RFC 5771)"),
            ("240.0.0.1", "reserved (RFC 1112)"),
            ("255.255.255.255", "broadcast (RFC 919)"),
            ("::", "unspecified (RFC 4291)"),
            ("::1", "loopback (RFC 4291)"),
            ("::198.51.100.1", "IPv4-compatible (RFC 4291, deprecated)"),
            ("fe80::1", "link-local (RFC 4291)"),
            ("febf::1", "link-local (RFC 4291)"),
            ("fc00::1", "unique local (RFC 4193)"),
            ("fdff::1", "unique local (RFC 4193)"),
            ("fd00:ec2::254", "instance metadata service (AWS)"),
            ("ff02::1", "multicast (RFC 4291)"),
            ("100::1", "discard (RFC 6666)"),
            ("100:0:0:1::1", "dummy (RFC 9780)"),
            ("2001:1::1", "IETF protocol assignments (RFC 2928)"),
            ("2001:3::1", "IETF protocol assignments (RFC 2928)"),
            ("2001:1ff:ffff::1", "IETF protocol assignments (RFC 2928)"),
            ("2001:20::1", "ORCHIDv2 (RFC 7343)"),
            ("fd00:ec2::23", "container credentials (AWS)"),
            ("fd00:c1::a9fe:a9fe", "instance metadata service (Oracle)"),
            ("fd00:42::42", "instance metadata service (Scaleway)"),
            ("4000::1", "reserved (RFC 4291)"),
            ("64:ff9b:1::1", "local NAT64 (RFC 8215)"),
            // Carried inside of another address.
            ("::ffff:127.0.0.1", "loopback (RFC 1122)"),
            ("64:ff9b::169.254.169.254", "instance metadata service"),
            ("64:ff9b::10.0.0.1", "private (RFC 1918)"),
            ("2002:7f00:1::1", "loopback (RFC 1122)"),
            ("2001:0:c633:6401::f5ff:fffe", "private (RFC 1918)"),
        ] {
            assert_eq!(judged(address, &[]), Err(why), "{address}");
        }
    }

    #[test]
    fn private_link_covers_private_addresses_only() {
        let accepted = |address, net| judged(address, &[net]).is_ok();
        assert!(accepted("10.20.0.4", "10.20.0.0/16"));
        assert!(!accepted("10.21.0.4", "10.20.0.0/16"));
        assert!(accepted("100.64.0.4", "100.64.0.0/10"));
        assert!(accepted("fd12::4", "fd00::/8"));
        assert!(accepted("64:ff9b::10.20.0.4", "10.20.0.0/16"));
        assert!(accepted("::ffff:10.20.0.4", "10.20.0.0/16"));
        for everything in [
            &["0.0.0.0/0", "::/0"][..],
            &["169.254.0.0/16", "127.0.0.0/8", "fe80::/10"],
        ] {
            for address in [
                "127.0.0.1",
                "::1",
                "169.254.1.1",
                "fe80::1",
                "169.254.169.254",
                "fd00:ec2::254",
                "fd00:ec2::23",
                "168.63.129.16",
                "100.100.100.200",
                "224.0.0.1",
                "ff02::1",
                "0.0.0.0",
                "::",
                "255.255.255.255",
                "64:ff9b::127.0.0.1",
            ] {
                assert!(
                    judged(address, everything).is_err(),
                    "{address} in {everything:?}"
                );
            }
        }
    }

    #[test]
    fn what_the_configuration_calls_private_is_what_private_link_covers() {
        let private = crate::config::PRIVATE;
        for net in private {
            assert!(judge(net.network(), &[]).is_err(), "{net}");
            assert_eq!(judge(net.network(), &[net]), Ok(net.network()), "{net}");
        }
        let coverable = |cover: &Cover| *cover == PrivateLink;
        let fours = V4.iter().filter(|(_, cover, _)| coverable(cover));
        let sixes = V6.iter().filter(|(_, cover, _)| coverable(cover));
        assert_eq!(fours.count() + sixes.count(), private.len());
    }

    proptest! {
        #[test]
        fn what_the_standard_library_calls_local_is_never_accepted(octets in any::<[u8; 4]>(), six in any::<[u8; 16]>()) {
            let four = Ipv4Addr::from(octets);
            let local = four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast()
                || four.is_broadcast() || four.is_unspecified();
            if local {
                prop_assert!(judge(four.into(), &[]).is_err());
                prop_assert!(judge(four.to_ipv6_mapped().into(), &[]).is_err());
            }
            let six = Ipv6Addr::from(six);
            if six.is_loopback() || six.is_multicast() || six.is_unicast_link_local() || six.is_unique_local() {
                prop_assert!(judge(six.into(), &[]).is_err());
            }
        }
    }
}
