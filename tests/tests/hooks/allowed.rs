//! Granted connections: each is told once, what is not judged never, and none takes the place of a denial.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use enforcer::config::RuleId;
use enforcer::kernel::{Attempt, GrantedCount};
use enforcer_common::Reason::AddressNotGranted;
use enforcer_common::abi::Hook::{Connect, Sendmsg};
use enforcer_common::abi::{self, EVENT_BURST, RING_BYTES, RING_GRANTED_BYTES};
use enforcer_common::flow::DESTINATIONS_TOLD;
use enforcer_lab::sockets::hex;
use enforcer_lab::vectors::FOREIGN_V6;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::bench::{AUDIT, Bench, ENFORCE, FOREIGN, GRANTED, GRANTED6, QUIC, Seen};
use crate::packets::{IPPROTO_IPV6, IPV6_RTHDR, routing_header};

/// The one connection that was told, and nothing else was.
#[track_caller]
fn told_once(seen: &Seen, to: SocketAddr) -> &Attempt {
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

/// Nobody reads here what is told.
#[test]
fn the_last_half_of_the_ring_is_for_denials_alone() {
    /// As it lies in the ring, behind its head (`BPF_RINGBUF_HDR_SZ` in `include/uapi/linux/bpf.h`).
    const RECORD: u64 = (size_of::<abi::Event>() as u64 + 8).next_multiple_of(8);
    /// As many as begin in the first half.
    const HALF: u64 = RING_GRANTED_BYTES.div_ceil(RECORD);
    /// As many as there is room for; the last byte is never used.
    const WHOLE: u64 = (RING_BYTES as u64 - 1) / RECORD;
    /// Fewer than a processor may tell of at once.
    const GRANTS: u64 = 40;
    const ROOM: u64 = 15;
    let mut bench = Bench::new(QUIC);
    let mut crowd = Crowd::new(&mut bench);
    let is_told_of = |bench: &mut Bench| {
        let counters = bench.enforcement().counters().unwrap();
        let granted = counters.granted();
        counters.denied() - counters.suppressed() + granted.total - granted.suppressed
    };
    crowd.deny_until(&mut bench, HALF - ROOM, is_told_of);

    // What would be too much for the rate is no part of this.
    let before = bench.enforcement().counters().unwrap().granted();
    assert!(before.total + GRANTS < u64::from(EVENT_BURST) && before.suppressed == 0);
    let grant = |bench: &mut Bench, count: u64| {
        for number in 0..count {
            if number % u64::from(DESTINATIONS_TOLD) == 0 {
                bench.must("socket u inet dgram 0");
            }
            bench.must(&format!("sendto u 100.64.0.{}:443 0 00", 1 + number));
        }
    };
    crowd.stay(0);
    grant(&mut bench, GRANTS);
    let granted = bench.enforcement().counters().unwrap().granted();
    assert_eq!(granted.total, before.total + GRANTS, "every one is counted");
    assert_eq!(granted.suppressed, GRANTS - ROOM, "and told while there is room");
    assert_eq!(is_told_of(&mut bench), HALF);

    // Denials go on to the end of the ring, and are counted from there on.
    crowd.deny_until(&mut bench, WHOLE, is_told_of);
    let before = bench.enforcement().counters().unwrap();
    let refused = bench.must(&format!("flood foreign {FOREIGN} 20"));
    let after = bench.enforcement().counters().unwrap();
    assert_eq!((refused, is_told_of(&mut bench)), (20, WHOLE));
    assert_eq!(after.suppressed(), before.suppressed() + 20);

    // Nothing that was told is lost, and what was not is told of with the next one.
    let (denied, told) = bench.told();
    assert_eq!(denied.len() as u64, after.denied() - after.suppressed());
    assert_eq!(told.len() as u64, granted.total - granted.suppressed);
    crowd.stay(0);
    grant(&mut bench, 1);
    let (_, told) = bench.told();
    let [granted] = told.as_slice() else {
        panic!("one connection, not {told:?}");
    };
    assert_eq!(u64::from(granted.suppressed), GRANTS - ROOM);
}

/// Who is denied often, for several reasons and on each processor: each of them has a rate limit of its own.
struct Crowd {
    pid: Pid,
    processors: Vec<usize>,
}

impl Crowd {
    fn new(bench: &mut Bench) -> Self {
        bench.must("socket foreign inet dgram 0");
        bench.must("socket routed inet6 dgram 0");
        let header = hex(&routing_header(FOREIGN_V6));
        bench.must(&format!("option routed {IPPROTO_IPV6} {IPV6_RTHDR} {header}"));
        let pid = i32::try_from(bench.caller.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a process");
        let allowed = sched_getaffinity(Some(pid)).unwrap();
        let processors = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
        Self {
            pid,
            processors: processors.collect(),
        }
    }

    /// Has the calls be made on this processor from now on.
    fn stay(&self, at: usize) {
        let mut only = CpuSet::new();
        only.set(self.processors[at % self.processors.len()]);
        sched_setaffinity(Some(self.pid), &only).unwrap();
    }

    /// Is denied until so many events were told, by `is_told_of`.
    fn deny_until(&mut self, bench: &mut Bench, count: u64, is_told_of: impl Fn(&mut Bench) -> u64) {
        let begin = Instant::now();
        for round in 0.. {
            self.stay(round / 2);
            let (socket, to) = [("foreign", FOREIGN), ("routed", GRANTED6)][round % 2];
            let left = count - is_told_of(bench);
            if left == 0 {
                return;
            }
            let refused = bench.must(&format!("flood {socket} {to} {}", left.min(64)));
            assert!(refused > 0, "{socket} is not denied");
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "{left} are not told of"
            );
        }
    }
}
