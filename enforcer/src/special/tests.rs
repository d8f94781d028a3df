use proptest::prelude::*;

use super::table::Cover;
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
