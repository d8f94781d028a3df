//! Flows that outlive a policy: older than the programs, or granted by a policy that is gone.

use std::fs::File;
use std::os::fd::AsFd;

use enforcer_common::Reason::AddressNotGranted;
use enforcer_common::abi::Hook::{Connect, Egress};
use rustix::io::Errno;

use crate::bench::{Bench, ENFORCE, FOREIGN, FOREIGN6, GRANTED, GRANTED6, QUIC, load, policy_of};

#[test]
fn sockets_from_before_the_programs_are_judged() {
    let mut bench = Bench::unattached(QUIC);
    for (name, family, kind, to) in [
        ("granted", "inet", "stream", GRANTED),
        ("foreign", "inet", "stream", FOREIGN),
        ("granted6", "inet6", "stream", GRANTED6),
        ("foreign6", "inet6", "stream", FOREIGN6),
        ("datagrams", "inet", "dgram", FOREIGN),
    ] {
        bench.must(&format!("socket {name} {family} {kind} 0"));
        bench.must(&format!("connect {name} {to}"));
    }
    for name in ["granted", "foreign", "granted6", "foreign6"] {
        assert_eq!(bench.must(&format!("exchange {name} 1000")), 1000);
    }
    bench.attach();
    for (name, to) in [("foreign", FOREIGN), ("foreign6", FOREIGN6)] {
        // It is TCP that keeps the bytes and tries them again, so the call itself is content.
        let seen = bench.see(&[&format!("send {name} 010203")]);
        assert_eq!(seen.answer, Ok(3));
        assert_eq!(seen.arrived(to), 0, "{name}: {seen:?}");
        let event = seen.events.first().expect("the drop is told");
        assert_eq!((event.reason, event.attempt.hook), (AddressNotGranted, Egress));
        assert_eq!(event.attempt.destination, Some(to));
        assert_eq!(event.attempt.pid, None, "who connected it was not seen");
        assert_eq!(event.attempt.cgroup, bench.cgroup_id());
    }
    let seen = bench.see(&["send datagrams 0102"]);
    assert_eq!(seen.answer, Err(Errno::PERM));
    assert_eq!(seen.arrived(FOREIGN), 0);
    for name in ["granted", "granted6"] {
        assert_eq!(bench.must(&format!("exchange {name} 1000000")), 1_000_000);
    }
}

#[test]
fn a_flow_stops_when_its_address_is_granted_no_more() {
    let mut bench = Bench::unattached(ENFORCE);
    let both = policy_of(&[GRANTED, GRANTED6, FOREIGN, FOREIGN6]);
    bench.enforcement().publish(&both, ENFORCE);
    bench.attach();
    for (name, family, to) in [
        ("granted", "inet", GRANTED),
        ("removed", "inet", FOREIGN),
        ("removed6", "inet6", FOREIGN6),
    ] {
        bench.must(&format!("socket {name} {family} stream 0"));
        bench.must(&format!("connect {name} {to}"));
        assert_eq!(bench.must(&format!("exchange {name} 100000")), 100_000);
    }
    let one = policy_of(&[GRANTED, GRANTED6]);
    bench.enforcement().publish(&one, ENFORCE);
    for (name, to) in [("removed", FOREIGN), ("removed6", FOREIGN6)] {
        let seen = bench.see(&[&format!("send {name} 010203")]);
        assert_eq!(seen.arrived(to), 0, "{seen:?}");
        let event = seen.events.first().expect("the drop is told");
        assert_eq!((event.reason, event.attempt.hook), (AddressNotGranted, Egress));
        assert_eq!(event.attempt.destination, Some(to));
        assert_eq!(event.attempt.pid, Some(bench.caller.pid()));
        assert_eq!(event.attempt.comm, "caller");
    }
    assert_eq!(bench.must("exchange granted 100000"), 100_000);
}

#[test]
fn a_flow_that_stays_granted_sees_nothing_of_a_thousand_policies() {
    let mut bench = Bench::new(ENFORCE);
    let policies = [
        policy_of(&[GRANTED, GRANTED6]),
        policy_of(&[FOREIGN, FOREIGN6, GRANTED6, GRANTED]),
        policy_of(&[GRANTED6, GRANTED]),
    ];
    for (name, family, to) in [("four", "inet", GRANTED), ("six", "inet6", GRANTED6)] {
        bench.must(&format!("socket {name} {family} stream 0"));
        bench.must(&format!("connect {name} {to}"));
    }
    let counters = bench.enforcement().counter_reader();
    let before = counters.read().unwrap();
    let mut published = 0;
    for round in 0..10 {
        let name = ["four", "six"][round % 2];
        bench.caller.begin(&format!("exchange {name} 4000000"));
        for _ in 0..100 {
            bench
                .enforcement()
                .publish(&policies[published % policies.len()], ENFORCE);
            published += 1;
        }
        assert_eq!(bench.caller.answer(), Ok(4_000_000));
    }
    assert_eq!(published, 1000);
    assert_eq!(
        counters.read().unwrap(),
        before,
        "not one packet of the flows was dropped"
    );
}

/// Every one of several programs on a cgroup must let a packet through.
#[test]
fn programs_are_attached_once() {
    let mut bench = Bench::new(ENFORCE);
    let error = bench.try_attach().unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("already")
    );
    bench.passes(
        "still there",
        GRANTED,
        &["socket s inet stream 0", &format!("connect s {GRANTED}")],
    );
}

#[test]
fn beside_another_enforcer_both_judge() {
    let mut bench = Bench::unattached(ENFORCE);
    bench
        .enforcement()
        .publish(&policy_of(&[GRANTED, GRANTED6]), ENFORCE);
    bench.attach();
    let mut second = load();
    second.publish(&policy_of(&[FOREIGN, GRANTED6]), ENFORCE);
    let folder = File::open(bench.cgroup.path()).unwrap();
    second.attach(folder.as_fd(), bench.cgroup.path()).unwrap();

    let four = "socket s inet stream 0";
    // The first denies it, the second would not.
    let lines = [four, &format!("connect s {FOREIGN}")];
    bench.refuses("the first", FOREIGN, &lines, AddressNotGranted, Connect);
    assert_eq!(second.counters().unwrap().denied(), 0);
    // The second denies it, the first would not and says nothing.
    let seen = bench.see(&[four, &format!("connect s {GRANTED}")]);
    assert_eq!(seen.answer, Err(Errno::PERM));
    assert_eq!(seen.arrived(GRANTED), 0);
    seen.expect_silence("the first");
    assert_eq!(second.counters().unwrap().get(AddressNotGranted).denied, 1);
    // Both grant it.
    let lines = ["socket s inet6 stream 0", &format!("connect s {GRANTED6}")];
    bench.passes("both", GRANTED6, &lines);

    drop(second);
    let lines = [four, &format!("connect s {GRANTED}")];
    bench.passes("the second is gone", GRANTED, &lines);
}

#[test]
fn everything_passes_after_the_programs_are_gone() {
    let mut bench = Bench::new(ENFORCE);
    let lines = ["socket s inet stream 0", &format!("connect s {FOREIGN}")];
    bench.refuses("attached", FOREIGN, &lines, AddressNotGranted, Connect);
    bench.enforcement().detach();
    bench.passes("detached", FOREIGN, &lines);
    bench.attach();
    bench.refuses("attached again", FOREIGN, &lines, AddressNotGranted, Connect);
    bench.enforcement = None;
    bench.must("socket s inet stream 0");
    bench.must(&format!("connect s {FOREIGN}"));
    assert_eq!(bench.must("exchange s 1000"), 1000);
}
