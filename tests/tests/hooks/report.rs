//! What is told and counted: audit mode, the rate limit, and what the kernel says that it enforces.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use enforcer::kernel::{Count, Event, loaded};
use enforcer_common::Reason::{AddressNotGranted, QuicDenied};
use enforcer_common::abi::EVENT_BURST;
use enforcer_common::abi::Hook::{Connect, Egress, Sendmsg};
use enforcer_lab::vectors::policy;

use crate::bench::{
    AUDIT, Bench, ENFORCE, FOREIGN, FOREIGN6, GRANTED, GRANTED6, QUIC, Seen, load, policy_of,
};

/// The one event of what audit mode let through.
#[track_caller]
fn told_once(seen: &Seen, to: SocketAddr) -> &Event {
    assert!(seen.arrived(to) > 0, "{seen:?}");
    let [event] = seen.events.as_slice() else {
        panic!("one event, not {:?}", seen.events);
    };
    assert!(event.audit);
    assert_eq!(event.attempt.destination, Some(to));
    let sum = |of: fn(&Count) -> u64| seen.counts.iter().map(|(_, count)| of(count)).sum::<u64>();
    let sums = (sum(|count| count.denied), sum(|count| count.audit));
    assert_eq!(sums, (1, 1), "{:?}", seen.counts);
    event
}

#[test]
fn audit_tells_of_a_connection_once_in_each_policy() {
    let mut bench = Bench::new(AUDIT);
    for (family, to) in [("inet", FOREIGN), ("inet6", FOREIGN6)] {
        bench.must(&format!("socket s {family} stream 0"));
        let seen = bench.look(|caller| {
            caller.call(&format!("connect s {to}"))?;
            caller.call("exchange s 1000000")
        });
        assert_eq!(seen.answer, Ok(1_000_000));
        let event = told_once(&seen, to);
        assert_eq!((event.reason, event.attempt.hook), (AddressNotGranted, Connect));
        assert_eq!(event.attempt.pid, Some(bench.caller.pid()));

        bench.enforcement().publish(&policy().unwrap(), AUDIT);
        let seen = bench.see(&["exchange s 1000000"]);
        assert_eq!(seen.answer, Ok(1_000_000));
        let event = told_once(&seen, to);
        assert_eq!((event.reason, event.attempt.hook), (AddressNotGranted, Egress));
        assert_eq!(
            event.attempt.pid,
            Some(bench.caller.pid()),
            "who connected it is still known"
        );
        bench.see(&["exchange s 1000"]).expect_silence("told already");
    }
}

/// QUIC libraries send to everybody from one socket that is never connected.
#[test]
fn audit_tells_of_each_destination_of_a_datagram_socket_once() {
    let mut bench = Bench::new(AUDIT);
    bench.must("socket s inet dgram 0");
    for to in [FOREIGN, GRANTED] {
        let seen = bench.see(&[&format!("flood s {to} 100")]);
        assert_eq!(seen.answer, Ok(0), "none is refused");
        assert_eq!(seen.arrived(to), 100);
        let event = told_once(&seen, to);
        assert_eq!((event.reason, event.attempt.hook), (QuicDenied, Sendmsg));
    }
}

#[test]
fn audit_tells_once_of_a_connection_from_before_the_programs() {
    let mut bench = Bench::unattached(AUDIT);
    bench.must("socket s inet stream 0");
    bench.must(&format!("connect s {FOREIGN}"));
    bench.must("exchange s 1000");
    bench.attach();
    let seen = bench.see(&["exchange s 1000000"]);
    assert_eq!(seen.answer, Ok(1_000_000));
    let event = told_once(&seen, FOREIGN);
    assert_eq!((event.attempt.hook, event.attempt.pid), (Egress, None));
    bench.see(&["exchange s 1000"]).expect_silence("told already");
}

#[test]
fn of_ten_thousand_denials_none_is_lost() {
    const DENIALS: u64 = 10_000;
    let mut bench = Bench::new(ENFORCE);
    for (family, to) in [("inet", FOREIGN), ("inet6", FOREIGN6)] {
        bench.must(&format!("socket s {family} dgram 0"));
        let seen = bench.see(&[&format!("flood s {to} {DENIALS}")]);
        assert_eq!(seen.answer, Ok(DENIALS), "every one is refused");
        assert_eq!(seen.arrived(to), 0);
        let [(QuicDenied, count)] = seen.counts.as_slice() else {
            panic!("another reason: {:?}", seen.counts);
        };
        assert_eq!(count.denied, DENIALS);
        assert_eq!(seen.events.len() as u64 + count.suppressed, DENIALS);
        assert!(
            !seen.events.is_empty() && count.suppressed > 0,
            "the limit limits"
        );
        // What events say was left out before them is never more than what was.
        let told: u64 = seen
            .events
            .iter()
            .map(|event| u64::from(event.attempt.suppressed))
            .sum();
        assert!(told <= bench.enforcement().counters().unwrap().suppressed());
    }
}

/// Without it neither a signal nor the watchdog's timer would be looked at.
#[test]
fn a_flood_of_denials_leaves_others_their_turn() {
    let mut bench = Bench::new(ENFORCE);
    bench.must("socket s inet dgram 0");
    bench.must(&format!("flood s {FOREIGN} 1000"));
    // As many as there are at least, so that none is waited for.
    let turns = bench.turns_for(EVENT_BURST as usize);
    assert!(turns > 1, "{EVENT_BURST} events in one turn");
}

#[test]
fn what_is_loaded_reads_back_as_it_was_published() {
    let mut bench = Bench::unattached(ENFORCE);
    let folder = File::open(bench.cgroup.path()).unwrap();
    assert_eq!(loaded(folder.as_fd()).unwrap(), None, "nothing is attached");
    bench.attach();
    for (image, settings) in [
        (policy().unwrap(), AUDIT),
        (policy_of(&[]), ENFORCE),
        (policy_of(&[GRANTED, FOREIGN6, GRANTED6]), QUIC),
    ] {
        let generation = bench.enforcement().publish(&image, settings);
        let read = loaded(folder.as_fd()).unwrap().expect("a policy");
        assert_eq!(read.generation, generation);
        assert_eq!(read.settings, settings);
        assert_eq!(read.ranges, image.ranges());
    }
    bench.enforcement().detach();
    assert_eq!(loaded(folder.as_fd()).unwrap(), None, "nothing is attached");
}

/// Programs of others come and go while the list of them is read.
#[test]
fn reading_what_is_loaded_does_not_mind_programs_that_go_away() {
    let mut bench = Bench::unattached(ENFORCE);
    bench.attach();
    let folder = File::open(bench.cgroup.path()).unwrap();
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            for _ in 0..2 {
                drop(load());
            }
        });
        while !others.is_finished() {
            loaded(folder.as_fd()).unwrap().expect("a policy");
        }
    });
}

/// The verifier gives up after a million instructions; every release of it counts differently.
#[test]
fn the_verifier_has_room_left() {
    let _loaded = load();
    let verified: Vec<u64> = std::fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        // Descriptors of other tests come and go.
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("verified_insns:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .collect();
    println!("instructions that the verifier has looked at, for each program: {verified:?}");
    assert!(verified.len() >= 5, "{verified:?}");
    assert!(verified.iter().all(|count| *count < 600_000), "{verified:?}");
}
