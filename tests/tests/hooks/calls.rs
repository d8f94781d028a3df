//! connect, sendto and sendmsg of every transport: EPERM at once for what is denied.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;

use enforcer_common::Reason::{AddressNotGranted, QuicDenied};
use enforcer_common::abi::Hook::{Connect, Egress, Sendmsg};
use enforcer_lab::caller::Caller;
use enforcer_lab::wire::{OPEN, Wire};
use rustix::io::Errno;

use crate::bench::{Bench, ENFORCE, FOREIGN, FOREIGN6, GRANTED, GRANTED6, QUIC};

/// An IPv4 address as a socket of IPv6 names it.
fn mapped(to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(address) => SocketAddr::new(address.to_ipv6_mapped().into(), to.port()),
        IpAddr::V6(_) => panic!("an IPv4 address"),
    }
}

fn port(to: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(to.ip(), port)
}

fn family(to: SocketAddr) -> &'static str {
    if to.is_ipv4() { "inet" } else { "inet6" }
}

#[test]
fn tcp_connects_to_what_is_granted_alone() {
    let mut bench = Bench::new(ENFORCE);
    for to in [
        GRANTED,
        GRANTED6,
        mapped(GRANTED),
        port(GRANTED, 8443),
        port(GRANTED6, 8443),
        port(FOREIGN, OPEN),
        port(FOREIGN6, OPEN),
        port(mapped(FOREIGN), OPEN),
    ] {
        let socket = format!("socket s {} stream 0", family(to));
        bench.passes(&to.to_string(), to, &[&socket, &format!("connect s {to}")]);
    }
    for to in [
        FOREIGN,
        FOREIGN6,
        mapped(FOREIGN),
        port(FOREIGN, 8443),
        port(FOREIGN6, 8443),
    ] {
        let socket = format!("socket s {} stream 0", family(to));
        let connect = format!("connect s {to}");
        bench.refuses(
            &to.to_string(),
            to,
            &[&socket, &connect],
            AddressNotGranted,
            Connect,
        );
        // The answer to a caller that does not wait comes at once as well.
        let lines = [&socket, "nonblocking s", &connect];
        bench.refuses("non-blocking", to, &lines, AddressNotGranted, Connect);
    }
}

#[test]
fn a_connect_that_does_not_block_ends_well_when_it_is_granted() {
    let mut bench = Bench::new(ENFORCE);
    for to in [GRANTED, GRANTED6] {
        bench.must(&format!("socket s {} stream 0", family(to)));
        bench.must("nonblocking s");
        let seen = bench.look(|caller| {
            assert_eq!(
                caller.call(&format!("connect s {to}")),
                Err(Errno::INPROGRESS),
                "{to}"
            );
            caller.call("finish s")
        });
        assert_eq!(seen.answer, Ok(0), "{to}");
        assert!(seen.arrived(to) > 0, "{to}");
        seen.expect_silence(&to.to_string());
    }
}

/// Data in the SYN goes out by `sendto` on a socket that nobody has connected.
#[test]
fn tcp_fast_open_is_a_connect() {
    const MSG_FASTOPEN: i32 = 0x2000_0000;
    let mut bench = Bench::new(ENFORCE);
    for (to, denied) in [
        (FOREIGN, true),
        (FOREIGN6, true),
        (mapped(FOREIGN), true),
        (GRANTED, false),
        (GRANTED6, false),
    ] {
        let socket = format!("socket s {} stream 0", family(to));
        let send = format!("sendto s {to} {MSG_FASTOPEN} 010203");
        if denied {
            bench.refuses("fast open", to, &[&socket, &send], AddressNotGranted, Connect);
        } else {
            bench.passes("fast open", to, &[&socket, &send]);
        }
    }
}

/// Where a datagram of a connected socket is judged. On an IPv6 socket that is connected to an IPv4 address, the kernel
/// gives the address again for each one (Linux `net/ipv6/udp.c`, `udpv6_sendmsg`).
fn sending(to: SocketAddr) -> enforcer_common::abi::Hook {
    if to.ip().to_canonical() == to.ip() {
        Egress
    } else {
        Sendmsg
    }
}

#[test]
fn udp_to_a_filtered_port_is_denied_to_every_address() {
    let mut bench = Bench::new(ENFORCE);
    for to in [
        GRANTED,
        GRANTED6,
        FOREIGN,
        FOREIGN6,
        mapped(GRANTED),
        mapped(FOREIGN),
        port(GRANTED, 8443),
    ] {
        let name = to.to_string();
        let socket = format!("socket s {} dgram 0", family(to));
        // A connect sends nothing: the C library makes one to sort the addresses of a name.
        let connect = format!("connect s {to}");
        let seen = bench.see(&[&socket, &connect]);
        assert_eq!(seen.answer, Ok(0), "{to}: {seen:?}");
        seen.expect_silence(&name);
        bench.refuses(
            &name,
            to,
            &[&socket, &connect, "send s 0102"],
            QuicDenied,
            sending(to),
        );
        let send = format!("sendto s {to} 0 0102");
        bench.refuses(&name, to, &[&socket, &send], QuicDenied, Sendmsg);
    }
    for to in [
        port(FOREIGN, OPEN),
        port(FOREIGN6, OPEN),
        port(mapped(FOREIGN), OPEN),
    ] {
        let socket = format!("socket s {} dgram 0", family(to));
        bench.passes("another port", to, &[&socket, &format!("sendto s {to} 0 0102")]);
        bench.passes(
            "another port",
            to,
            &[&socket, &format!("connect s {to}"), "send s 0102"],
        );
    }
}

#[test]
fn udp_is_judged_by_its_address_where_quic_is_allowed() {
    let mut bench = Bench::new(QUIC);
    for to in [GRANTED, GRANTED6, mapped(GRANTED)] {
        let socket = format!("socket s {} dgram 0", family(to));
        let name = to.to_string();
        bench.passes(&name, to, &[&socket, &format!("sendto s {to} 0 0102")]);
        bench.passes(&name, to, &[&socket, &format!("connect s {to}"), "send s 0102"]);
    }
    for to in [FOREIGN, FOREIGN6, mapped(FOREIGN)] {
        let socket = format!("socket s {} dgram 0", family(to));
        let name = to.to_string();
        let send = format!("sendto s {to} 0 0102");
        bench.refuses(&name, to, &[&socket, &send], AddressNotGranted, Sendmsg);
        let connect = format!("connect s {to}");
        bench.refuses(
            &name,
            to,
            &[&socket, &connect, "send s 0102"],
            AddressNotGranted,
            sending(to),
        );
    }
    // Sending elsewhere than the socket is connected to is judged by where it goes.
    let lines = [
        "socket s inet dgram 0",
        &format!("connect s {GRANTED}"),
        &format!("sendto s {FOREIGN} 0 0102"),
    ];
    bench.refuses("connected elsewhere", FOREIGN, &lines, AddressNotGranted, Sendmsg);
}

/// Nothing listens on the host itself, and so the kernel's own refusal is what shows that it was let through.
#[test]
fn loopback_and_the_unspecified_address_pass() {
    let mut bench = Bench::new(ENFORCE);
    for to in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 443)),
        SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), 443)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 443)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 443)),
        SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 443)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 443)),
    ] {
        let socket = format!("socket s {} stream 0", family(to));
        let seen = bench.see(&[&socket, &format!("connect s {to}")]);
        assert_eq!(seen.answer, Err(Errno::CONNREFUSED), "{to}: {seen:?}");
        seen.expect_silence(&to.to_string());
        let socket = format!("socket s {} dgram 0", family(to));
        let seen = bench.see(&[&socket, &format!("sendto s {to} 0 0102")]);
        assert_eq!(seen.answer, Ok(2), "{to}: {seen:?}");
        seen.expect_silence(&to.to_string());
    }
}

#[test]
fn other_transports_are_judged_by_their_address() {
    let mut bench = Bench::new(ENFORCE);
    for (kind, number, name) in [
        ("stream", 262, "MPTCP"),
        ("dgram", 136, "UDP-Lite"),
        ("stream", 132, "SCTP"),
        ("dccp", 33, "DCCP"),
    ] {
        for (granted, foreign) in [(GRANTED, FOREIGN), (GRANTED6, FOREIGN6)] {
            let socket = format!("socket s {} {kind} {number}", family(granted));
            if let Err(error) = bench.caller.call(&socket) {
                assert!(
                    matches!(error, Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT),
                    "{name}: {error}"
                );
                println!("this kernel has no {name} over {}: {error}", family(granted));
                continue;
            }
            let call = |to| {
                if kind == "dgram" {
                    format!("sendto s {to} 0 0102")
                } else {
                    format!("connect s {to}")
                }
            };
            let hook = if kind == "dgram" { Sendmsg } else { Connect };
            bench.refuses(name, foreign, &[&socket, &call(foreign)], AddressNotGranted, hook);
            bench.passes(name, granted, &[&socket, &call(granted)]);
        }
    }
}

#[test]
fn a_process_in_a_cgroup_below_is_judged() {
    let mut bench = Bench::new(ENFORCE);
    let below = bench.cgroup.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("cgroup.procs"), bench.caller.pid().to_string()).unwrap();
    let lines = ["socket s inet stream 0", &format!("connect s {FOREIGN}")];
    let seen = bench.see(&lines);
    assert_eq!(seen.answer, Err(Errno::PERM));
    let event = seen.expect_denial("below", FOREIGN, AddressNotGranted, Connect);
    assert_eq!(event.attempt.cgroup, fs::metadata(&below).unwrap().ino());
    let lines = ["socket s inet stream 0", &format!("connect s {GRANTED}")];
    bench.passes("below", GRANTED, &lines);
}

/// As a container has it.
#[test]
fn a_process_on_another_host_of_the_machine_is_judged() {
    let mut bench = Bench::new(ENFORCE);
    let mut other = Wire::new().unwrap();
    bench.caller = Caller::start(other.near(), &bench.cgroup).unwrap();
    let lines = ["socket s inet6 stream 0", &format!("connect s {FOREIGN6}")];
    bench.refuses("elsewhere", FOREIGN6, &lines, AddressNotGranted, Connect);
    other.arrived().unwrap();
    bench.must("socket s inet6 stream 0");
    bench.must(&format!("connect s {GRANTED6}"));
    let frames = other.arrived().unwrap();
    assert!(frames.iter().any(|frame| frame.is_for(GRANTED6)));
    assert!(!frames.iter().any(|frame| frame.is_for(FOREIGN6)));
}
