//! Granted connections: each is told once, what is not judged never, and none takes the place of a denial.

use std::net::SocketAddr;

use enforcer::config::RuleId;
use enforcer::kernel::{Granted, GrantedCount};
use enforcer_common::Reason::AddressNotGranted;
use enforcer_common::abi::EVENT_BURST;
use enforcer_common::abi::Hook::{Connect, Sendmsg};
use enforcer_common::flow::DESTINATIONS_TOLD;

use crate::bench::{AUDIT, Bench, ENFORCE, FOREIGN, GRANTED, GRANTED6, QUIC, Seen};

/// The one connection that was told, and nothing else was.
#[track_caller]
fn told_once(seen: &Seen, to: SocketAddr) -> &Granted {
    seen.expect_silence("nothing is denied");
    let [granted] = seen.granted.as_slice() else {
        panic!("one connection, not {:?}", seen.granted);
    };
    let one = GrantedCount {
        total: 1,
        suppressed: 0,
    };
    assert_eq!(seen.granted_count, one);
    assert_eq!(granted.destination, Some(to));
    granted
}

#[track_caller]
fn expect_none(seen: &Seen, what: &str) {
    assert!(seen.granted.is_empty(), "{what}: {seen:?}");
    assert_eq!(seen.granted_count, GrantedCount::default(), "{what}");
}

#[test]
fn a_connection_by_its_address_is_told_once() {
    for settings in [ENFORCE, AUDIT] {
        let mut bench = Bench::new(settings);
        for (family, to, rule) in [("inet", GRANTED, 1), ("inet6", GRANTED6, 3)] {
            bench.must(&format!("socket s {family} stream 0"));
            let connect = format!("connect s {to}");
            let seen = bench.look(|caller| {
                caller.call(&connect)?;
                caller.call("exchange s 100000")
            });
            assert_eq!(seen.answer, Ok(100_000));
            let granted = told_once(&seen, to);
            assert_eq!((granted.hook, granted.rule), (Connect, Some(RuleId(rule))));
            assert_eq!(granted.pid, Some(bench.caller.pid()));
            assert_eq!((granted.comm.as_str(), granted.protocol), ("caller", 6));
            assert_eq!(granted.cgroup, bench.cgroup_id());
            assert_eq!(granted.server_name, b"");
            expect_none(&bench.see(&["exchange s 1000"]), "told already");
            told_once(&bench.see(&["disconnect s", &connect]), to);
        }
    }
}

#[test]
fn what_is_not_judged_or_denied_is_no_granted_connection() {
    let mut bench = Bench::new(ENFORCE);
    let other_port = SocketAddr::new(GRANTED.ip(), 8080);
    for to in [
        "127.0.0.1:443",
        "0.0.0.0:443",
        &other_port.to_string(),
        &FOREIGN.to_string(),
    ] {
        bench.must("socket s inet stream 0");
        bench.must("nonblocking s");
        let seen = bench.look(|caller| caller.call(&format!("connect s {to}")));
        expect_none(&seen, to);
    }
}

/// The C library connects a UDP socket to every address of a name that it sorts: that uses nothing.
#[test]
fn datagrams_are_told_once_for_each_destination_that_a_call_names() {
    let mut bench = Bench::new(QUIC);
    bench.must("socket s inet dgram 0");
    let other: SocketAddr = "192.0.2.5:443".parse().unwrap();
    for to in [GRANTED, other, GRANTED] {
        let granted = bench.see(&[&format!("flood s {to} 100")]);
        let granted = told_once(&granted, to);
        assert_eq!((granted.hook, granted.protocol), (Sendmsg, 17));
    }
    bench.must("socket t inet dgram 0");
    expect_none(
        &bench.see(&[&format!("connect t {GRANTED}"), "send t 00"]),
        "connected",
    );

    // Whoever goes on to change where he sends to is told of no more, and pays no more for it.
    bench.must("socket u inet dgram 0");
    let seen = bench.look(|caller| {
        for host in 1..=3 * DESTINATIONS_TOLD {
            caller.call(&format!("sendto u 100.64.0.{host}:443 0 00"))?;
        }
        Ok(0)
    });
    assert_eq!(seen.answer, Ok(0));
    seen.expect_silence("all are granted");
    let told = GrantedCount {
        total: u64::from(DESTINATIONS_TOLD),
        suppressed: 0,
    };
    assert_eq!(seen.granted_count, told);
    assert_eq!(seen.granted.len(), usize::from(DESTINATIONS_TOLD));
}

#[test]
fn a_flood_of_granted_connections_takes_no_denial_away() {
    const GRANTS: usize = 2000;
    const DENIALS: usize = 200;
    let mut bench = Bench::new(QUIC);
    bench.must("socket s inet stream 0");
    let seen = bench.look(|caller| {
        for number in 0..GRANTS {
            if number % usize::from(DESTINATIONS_TOLD) == 0 {
                caller.call("socket u inet dgram 0")?;
            }
            // One behind the other goes to another address, and so each is told of.
            caller.call(&format!("sendto u 100.64.0.{}:443 0 00", 1 + number % 200))?;
            if number % (GRANTS / DENIALS) == 0 {
                caller.call(&format!("connect s {FOREIGN}")).unwrap_err();
            }
        }
        Ok(0)
    });
    assert_eq!(seen.answer, Ok(0));
    let [(AddressNotGranted, count)] = seen.counts.as_slice() else {
        panic!("{:?}", seen.counts);
    };
    assert_eq!((count.denied, count.suppressed), (DENIALS as u64, 0));
    assert_eq!(seen.events.len(), DENIALS, "every denial is told");
    let granted = seen.granted_count;
    assert_eq!(granted.total, GRANTS as u64, "every connection is counted");
    assert_eq!(seen.granted.len() as u64 + granted.suppressed, granted.total);
    assert!(
        granted.suppressed > 0 && seen.granted.len() >= EVENT_BURST as usize,
        "{granted:?}"
    );
}
