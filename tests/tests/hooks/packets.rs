//! Packets that go elsewhere than the call said, and packets that no stack would send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use enforcer_common::Reason::{self, AddressNotGranted, Fragment, QuicDenied, RoutingHeader, SourceRoute};
use enforcer_common::abi::Hook::Egress;
use enforcer_common::packet::{Family, protocol};
use enforcer_lab::packets::{extension, transport, v4, v6};
use enforcer_lab::sockets::hex;
use enforcer_lab::vectors::{Expected, FOREIGN_V4, FOREIGN_V6, GRANTED_V4, GRANTED_V6, vectors};
use rustix::io::Errno;

use crate::bench::{Bench, ENFORCE, FOREIGN, FOREIGN6, GRANTED, GRANTED6, QUIC};

/// The far end of the cable, which no policy grants.
const ON_LINK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 443);

const IPPROTO_IP: i32 = 0;
const IP_OPTIONS: i32 = 4;
pub(crate) const IPPROTO_IPV6: i32 = 41;
pub(crate) const IPV6_RTHDR: i32 = 57;

/// A segment routing header (RFC 8754) whose next stop is `via`. The kernel fills the last segment in.
pub(crate) fn routing_header(via: Ipv6Addr) -> Vec<u8> {
    let mut header = vec![0, 4, 4, 1, 1, 0, 0, 0];
    header.extend([0; 16]);
    header.extend(via.octets());
    header
}

#[test]
fn a_routing_header_of_an_ordinary_user_is_dropped() {
    let mut bench = Bench::new(QUIC);
    bench.must("user 65534");
    let option = format!(
        "option s {IPPROTO_IPV6} {IPV6_RTHDR} {}",
        hex(&routing_header(FOREIGN_V6))
    );
    // The call names a granted address; the packet goes to the other.
    let seen = bench.see(&[
        "socket s inet6 stream 0",
        &option,
        "nonblocking s",
        &format!("connect s {GRANTED6}"),
    ]);
    assert_eq!(seen.answer, Err(Errno::INPROGRESS), "{seen:?}");
    let event = seen.expect_denial("TCP", FOREIGN6, RoutingHeader, Egress);
    assert_eq!(
        (event.attempt.pid, event.attempt.comm.as_str()),
        (Some(bench.caller.pid()), "caller")
    );
    assert_eq!(seen.arrived(GRANTED6), 0);
    let lines = [
        "socket s inet6 dgram 0",
        &option,
        &format!("sendto s {GRANTED6} 0 0102"),
    ];
    bench.refuses("UDP", FOREIGN6, &lines, RoutingHeader, Egress);
}

#[test]
fn a_routing_header_beside_the_data_is_dropped() {
    let mut bench = Bench::new(QUIC);
    bench.must("user 65534");
    // Type 4 as above, and type 2 of Mobile IPv6 (RFC 6275), which is what this way of setting one takes.
    let mut mobile = vec![0, 2, 2, 1, 0, 0, 0, 0];
    mobile.extend(FOREIGN_V6.octets());
    for (name, header) in [("type 4", routing_header(FOREIGN_V6)), ("type 2", mobile)] {
        let seen = bench.see(&[
            "socket s inet6 dgram 0",
            &format!(
                "control s {GRANTED6} {IPPROTO_IPV6} {IPV6_RTHDR} {} 0102",
                hex(&header)
            ),
        ]);
        assert_eq!(seen.arrived(GRANTED6) + seen.arrived(FOREIGN6), 0, "{name}");
        if seen.answer == Err(Errno::INVAL) {
            println!("this kernel takes no routing header of {name} beside the data");
            seen.expect_silence(name);
        } else {
            assert_eq!(seen.answer, Err(Errno::PERM), "{name}: {seen:?}");
            seen.expect_denial(name, FOREIGN6, RoutingHeader, Egress);
        }
    }
}

#[test]
fn a_source_route_is_dropped() {
    let mut bench = Bench::new(QUIC);
    // The next stop of a strict route is on the link.
    for (name, kind, via) in [("loose", 131, FOREIGN), ("strict", 137, ON_LINK)] {
        let IpAddr::V4(stop) = via.ip() else {
            panic!("an IPv4 address");
        };
        let [a, b, c, d] = stop.octets();
        let option = format!(
            "option s {IPPROTO_IP} {IP_OPTIONS} {}",
            hex(&[kind, 7, 4, a, b, c, d, 0])
        );
        let connect = format!("connect s {GRANTED}");
        let seen = bench.see(&["socket s inet stream 0", &option, "nonblocking s", &connect]);
        assert_eq!(seen.answer, Err(Errno::INPROGRESS), "{name}: {seen:?}");
        seen.expect_denial(name, via, SourceRoute, Egress);
        assert_eq!(seen.arrived(GRANTED), 0, "{name}");
        let send = format!("sendto s {GRANTED} 0 0102");
        let lines = ["socket s inet dgram 0", &option, &send];
        bench.refuses(name, via, &lines, SourceRoute, Egress);
    }
    // Containers have CAP_NET_RAW by default, which newer kernels ask for; where this user may, the verdict is the same.
    bench.must("user 65534");
    bench.must("socket s inet dgram 0");
    let [a, b, c, d] = FOREIGN_V4.octets();
    let option = format!(
        "option s {IPPROTO_IP} {IP_OPTIONS} {}",
        hex(&[131, 7, 4, a, b, c, d, 0])
    );
    match bench.caller.call(&option) {
        Err(Errno::PERM) => println!("this kernel lets no ordinary user set a source route"),
        outcome => {
            outcome.unwrap();
            let send = format!("sendto s {GRANTED} 0 0102");
            bench.refuses("an ordinary user", FOREIGN, &[&send], SourceRoute, Egress);
        }
    }
}

/// Where a packet says that it goes.
fn destination(packet: &enforcer_lab::packets::Packet) -> Option<IpAddr> {
    match packet.family {
        Family::V4 => {
            let bytes: [u8; 4] = packet.bytes.get(16..20)?.try_into().ok()?;
            Some(Ipv4Addr::from(bytes).into())
        }
        Family::V6 => {
            let bytes: [u8; 16] = packet.bytes.get(24..40)?.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
    }
}

/// Every vector of the verdict, sent for real by a raw socket.
#[test]
fn forged_packets_get_the_verdict_of_their_vectors() {
    // What a raw socket does not take, or what is larger than the link's packets.
    const REFUSED_BY_THE_KERNEL: [&str; 3] = [
        "a header length of 16",
        "a header length beyond the packet",
        "options of 2,048 bytes",
    ];
    let mut bench = Bench::new(ENFORCE);
    bench.must("socket four inet raw 255");
    bench.must("socket six inet6 raw 255");
    let (mut denied, mut passed) = (0, 0);
    for vector in vectors() {
        let Some(to) = destination(&vector.packet) else {
            continue;
        };
        let socket = match vector.packet.family {
            Family::V4 => "four",
            Family::V6 => "six",
        };
        let to = SocketAddr::new(to, 0);
        let seen = bench.see(&[&format!("sendto {socket} {to} 0 {}", hex(&vector.packet.bytes))]);
        let name = vector.name;
        match (seen.answer, vector.expected) {
            (Err(Errno::PERM), Expected::Denied(reason)) => {
                let [event] = seen.events.as_slice() else {
                    panic!("{name}: {seen:?}");
                };
                assert_eq!((event.reason, event.attempt.hook), (reason, Egress), "{name}");
                assert_eq!(event.attempt.cgroup, bench.cgroup_id(), "{name}");
                assert_eq!(event.attempt.pid, None, "nobody connected the socket: {name}");
                assert_eq!(
                    seen.counts
                        .iter()
                        .map(|(of, count)| (*of, count.denied))
                        .collect::<Vec<_>>(),
                    [(reason, 1)],
                    "{name}"
                );
                assert!(seen.frames.is_empty(), "{name}: {seen:?}");
                denied += 1;
            }
            (Ok(_), Expected::Granted(_) | Expected::Ignored) => {
                seen.expect_silence(name);
                if !to.ip().is_loopback() {
                    assert_eq!(seen.frames.len(), 1, "{name}: {seen:?}");
                }
                passed += 1;
            }
            (Err(error), _) if error != Errno::PERM => {
                assert!(REFUSED_BY_THE_KERNEL.contains(&name), "{name}: {error}");
                println!("the kernel itself refuses `{name}`: {error}");
                seen.expect_silence(name);
                assert!(seen.frames.is_empty(), "{name}: {seen:?}");
            }
            _ => panic!("{name}: {:?} was expected: {seen:?}", vector.expected),
        }
    }
    println!("{denied} forged packets were dropped, {passed} passed");
}

/// The kernel writes the IP header, the process the rest.
#[test]
fn raw_sockets_of_a_transport_are_judged_by_the_port_that_they_forge() {
    let mut bench = Bench::new(ENFORCE);
    for (number, reason) in [
        (protocol::TCP, AddressNotGranted),
        (protocol::UDP, QuicDenied),
        (protocol::SCTP, AddressNotGranted),
        (protocol::DCCP, AddressNotGranted),
        (protocol::UDP_LITE, AddressNotGranted),
    ] {
        for (family, to) in [("inet", FOREIGN), ("inet6", FOREIGN6)] {
            let name = format!("{number} over {family}");
            // The port of the address is none to a raw socket.
            let address = SocketAddr::new(to.ip(), 0);
            let socket = format!("socket s {family} raw {number}");
            let send = |port| format!("sendto s {address} 0 {}", hex(&transport(port)));
            bench.refuses(&name, to, &[&socket, &send(443)], reason, Egress);
            bench.refuses(
                &name,
                to,
                &[
                    &socket,
                    &format!("connect s {address}"),
                    &format!("send s {}", hex(&transport(443))),
                ],
                reason,
                Egress,
            );
            let open = SocketAddr::new(to.ip(), 80);
            bench.passes(&name, open, &[&socket, &send(80)]);
        }
    }
}

/// A stop on this host is only the next stop: a packet to it must not carry another destination through.
#[test]
fn a_route_by_way_of_loopback_is_dropped() {
    let mut bench = Bench::new(ENFORCE);
    bench.must("socket four inet raw 255");
    bench.must("socket six inet6 raw 255");
    let [a, b, c, d] = FOREIGN_V4.octets();
    let four = v4(
        Ipv4Addr::LOCALHOST,
        protocol::TCP,
        &[131, 7, 4, a, b, c, d, 0],
        &transport(443),
    );
    let six = v6(
        Ipv6Addr::LOCALHOST,
        &[(43, routing_header(FOREIGN_V6))],
        protocol::TCP,
        &transport(443),
    );
    for (socket, packet, to, reason) in [
        ("four", &four, "127.0.0.1:0", SourceRoute),
        ("six", &six, "[::1]:0", RoutingHeader),
    ] {
        let seen = bench.see(&[&format!("sendto {socket} {to} 0 {}", hex(&packet.bytes))]);
        assert_eq!(seen.answer, Err(Errno::PERM), "{socket}: {seen:?}");
        let reasons: Vec<Reason> = seen.counts.iter().map(|(of, _)| *of).collect();
        assert_eq!(reasons, [reason], "{socket}");
    }
}

/// A datagram larger than the link's packets is cut up behind the check, and all of it arrives.
#[test]
fn honest_fragments_are_made_behind_the_check() {
    let mut bench = Bench::new(QUIC);
    for (family, to) in [("inet", GRANTED), ("inet6", GRANTED6)] {
        let socket = format!("socket s {family} dgram 0");
        let send = format!("sendto s {to} 0 {}", hex(&[7; 4000]));
        let seen = bench.see(&[&socket, &send]);
        assert_eq!(seen.answer, Ok(4000), "{seen:?}");
        seen.expect_silence(family);
        assert!(seen.frames.len() >= 3, "{seen:?}");
    }
    // Forged ones do not pass, and be it to a granted address.
    bench.must("socket four inet raw 255");
    let mut packet = v4(GRANTED_V4, protocol::UDP, &[], &transport(443));
    packet.bytes[6] = 0x20;
    let send = format!("sendto four {}:0 0 {}", GRANTED_V4, hex(&packet.bytes));
    let seen = bench.see(&[&send]);
    assert_eq!(seen.answer, Err(Errno::PERM));
    assert_eq!(seen.counts.first().map(|(reason, _)| *reason), Some(Fragment));
    let (number, header) = extension(44, 1);
    let packet = v6(GRANTED_V6, &[(number, header)], protocol::UDP, &transport(443));
    bench.must("socket six inet6 raw 255");
    let seen = bench.see(&[&format!("sendto six [{GRANTED_V6}]:0 0 {}", hex(&packet.bytes))]);
    assert_eq!(seen.answer, Err(Errno::PERM));
    assert_eq!(seen.counts.first().map(|(reason, _)| *reason), Some(Fragment));
}
