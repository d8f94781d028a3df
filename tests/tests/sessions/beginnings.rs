//! Ways to begin that are no ClientHello: bytes in the SYN, urgent data, raw sockets, datagrams; and a socket that is used
//! for a second connection.

use std::net::SocketAddr;

use enforcer_common::Reason::{ForgedSegment, NameNotGranted, NotTls, PayloadInSyn, QuicDenied, UrgentData};
use enforcer_lab::packets::transport;
use enforcer_lab::sockets::hex;
use rustix::io::Errno;

use crate::bench::{ANY, Bench, ENFORCE, EVIL, NAME, NAMED, NAMED6, data, hello, rule};

/// The kernel tries again without them, and what it sends then is judged.
#[test]
fn bytes_in_the_syn_are_denied() {
    const MSG_FASTOPEN: u32 = 0x2000_0000;
    const WITHOUT_COOKIE: &str = "6 34 01000000";
    let mut bench = Bench::new(ENFORCE);
    for to in [NAMED, NAMED6, ANY] {
        for name in [NAME, EVIL] {
            let what = format!("{name} at {to}");
            let bytes = hello(name);
            let socket = bench.socket(to);
            bench.must(&format!("option {socket} {WITHOUT_COOKIE}"));
            let sent = bench.must(&format!("sendto {socket} {to} {MSG_FASTOPEN} {}", hex(&bytes)));
            assert_eq!(sent, bytes.len() as u64);
            let mut session = bench.session(socket, to);
            session.sent = bytes;
            if to == ANY {
                let told = bench.told(session.cookie);
                assert!(told.is_empty(), "{what}: {told:?}");
                bench.close(session);
                continue;
            }
            let mut told = bench.wait_told(&what, session.cookie);
            if name == NAME {
                bench.expect_arrived(&what, &mut session);
                told.extend(bench.told(session.cookie));
                assert_eq!(told.len(), 1, "{what}: {told:?}");
            } else {
                while !told.iter().any(|event| event.reason == NameNotGranted) {
                    told.extend(bench.wait_told(&what, session.cookie));
                }
                assert!(bench.arrived(&session).is_empty(), "{what}");
            }
            assert_eq!(told[0].reason, PayloadInSyn, "{what}: {told:?}");
            assert_eq!(told[0].attempt.rule, Some(rule(to)), "{what}: {told:?}");
            bench.close(session);
        }
    }
}

#[test]
fn urgent_data_before_the_verdict_is_denied() {
    let mut bench = Bench::new(ENFORCE);
    for to in [NAMED, NAMED6] {
        let bytes = hello(NAME);
        let mut session = bench.connect(to);
        bench.send_urgent(&mut session, &bytes[..1]);
        bench.expect_denied("first", &session, 0, UrgentData, "");
        bench.send(&mut session, &bytes[1..]);
        bench.expect_denied("and a hello behind it", &session, 0, UrgentData, "");
        bench.close(session);

        let mut session = bench.connect(to);
        bench.send(&mut session, &bytes[..70]);
        bench.expect_passed("a piece", &mut session);
        bench.send_urgent(&mut session, &bytes[70..]);
        bench.expect_denied("within the hello", &session, 70, UrgentData, "");
        bench.close(session);

        // A second hello could follow, and the server would read it without the byte.
        let mut session = bench.connect(to);
        bench.send(&mut session, &bytes);
        bench.expect_passed("a hello", &mut session);
        bench.send_urgent(&mut session, b"!");
        bench.expect_denied("behind the hello", &session, bytes.len(), UrgentData, NAME);
        bench.close(session);

        let mut session = bench.connect(to);
        bench.send(&mut session, &bytes);
        bench.send(&mut session, &data(9));
        bench.expect_passed("all", &mut session);
        bench.send_urgent(&mut session, b"!");
        bench.send(&mut session, b"more");
        let all = session.sent.len();
        bench.expect_echo("urgent", &mut session, all - 1);
        assert!(
            bench.told(session.cookie).is_empty(),
            "behind the handshake it is let be"
        );
        bench.close(session);
    }
}

#[test]
fn payload_of_a_raw_socket_is_denied() {
    let mut bench = Bench::new(ENFORCE);
    for (family, to) in [("inet", NAMED), ("inet6", NAMED6)] {
        bench.must(&format!("socket raw {family} raw 6"));
        let cookie = bench.must("cookie raw");
        let address = SocketAddr::new(to.ip(), 0);
        let header = transport(443);
        let with_hello = [&header[..], &hello(NAME)].concat();
        let mut urgent = header.clone();
        urgent[13] |= 0x20;
        let mut syn = with_hello.clone();
        syn[13] = 0x02;
        for (what, bytes, reason) in [
            ("a granted hello", &with_hello, ForgedSegment),
            ("an urgent pointer", &urgent, UrgentData),
            ("bytes in the SYN", &syn, PayloadInSyn),
        ] {
            let sent = bench
                .caller
                .call(&format!("sendto raw {address} 0 {}", hex(bytes)));
            assert_eq!(sent, Err(Errno::PERM), "{what}");
            assert!(!bench.frames().iter().any(|frame| frame.is_for(to)), "{what}");
            let told = bench.told(cookie);
            let [event] = told.as_slice() else {
                panic!("{what}: one event, not {told:?}");
            };
            assert_eq!(
                (event.reason, event.attempt.rule),
                (reason, Some(rule(to))),
                "{what}"
            );
        }
        bench.must(&format!("sendto raw {address} 0 {}", hex(&header)));
        assert!(
            bench.frames().iter().any(|frame| frame.is_for(to)),
            "no payload, no harm"
        );
        bench.must("close raw");
    }
}

/// A raw socket speaks in the name of a connection that was granted.
#[test]
fn a_raw_socket_gains_nothing_from_a_granted_connection() {
    let mut bench = Bench::new(ENFORCE);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, &hello(NAME));
    bench.send(&mut session, &data(9));
    bench.expect_passed("the connection", &mut session);
    bench.must("socket raw inet raw 6");
    let address = SocketAddr::new(NAMED.ip(), 0);
    let segment = [transport(443), hello(EVIL)].concat();
    let sent = bench
        .caller
        .call(&format!("sendto raw {address} 0 {}", hex(&segment)));
    assert_eq!(sent, Err(Errno::PERM));
    bench.exchange(&mut session, 10_000);
}

#[test]
fn datagrams_are_denied_where_a_name_is_asked_for() {
    let mut bench = Bench::new(ENFORCE);
    for (family, to) in [("inet", NAMED), ("inet6", NAMED6)] {
        bench.must(&format!("socket d {family} dgram 0"));
        let before = bench.denied_for(QuicDenied);
        let sent = bench
            .caller
            .call(&format!("sendto d {to} 0 {}", hex(&hello(NAME))));
        assert_eq!(sent, Err(Errno::PERM));
        assert_eq!(bench.denied_for(QuicDenied), before + 1);
        assert!(!bench.frames().iter().any(|frame| frame.is_for(to)));
    }
}

#[test]
fn a_socket_that_connects_again_begins_anew() {
    let mut bench = Bench::new(ENFORCE);
    for (to, other) in [(NAMED, NAMED), (NAMED6, NAMED6), (ANY, NAMED)] {
        let name = if to == ANY { EVIL } else { NAME };
        let mut session = bench.connect(to);
        bench.send(&mut session, &hello(name));
        bench.send(&mut session, &data(9));
        bench.expect_passed("the first connection", &mut session);

        let mut session = bench.reconnect(session, other);
        bench.send(&mut session, &hello(EVIL));
        bench.expect_denied("a foreign name", &session, 0, NameNotGranted, EVIL);
        let mut session = bench.reconnect(session, other);
        bench.send(&mut session, &data(9));
        bench.expect_denied("what would have followed", &session, 0, NotTls, "");
        let mut session = bench.reconnect(session, other);
        bench.send(&mut session, &hello(NAME)[..99]);
        bench.expect_passed("a piece", &mut session);
        let mut session = bench.reconnect(session, other);
        bench.send(&mut session, &hello(NAME)[99..]);
        bench.expect_denied("the rest, elsewhere", &session, 0, NotTls, "");
        let mut session = bench.reconnect(session, other);
        bench.send(&mut session, &hello(NAME));
        bench.expect_passed("a granted name", &mut session);
        bench.close(session);
    }
}
