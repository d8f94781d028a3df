//! The verdict in the running kernel: the same vectors and the same mutations as on the host, through the kernel's
//! test run. Needs root.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use enforcer::config::{Mode, RuleId};
use enforcer::endpoints::Condition;
use enforcer::kernel::{Enforcement, Settings};
use enforcer::policy::table::{Grant, HostTables, Table};
use enforcer_common::Reason;
use enforcer_common::table::{Generation, Settings as Word};
use enforcer_common::verdict::{Verdict, judge_packet};
use enforcer_lab::packets;
use enforcer_lab::vectors::{Expected, PORTS, policy, vectors};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn load() -> Enforcement {
    Enforcement::load(&PORTS).unwrap_or_else(|error| {
        panic!(
            "the programs do not load: {error}: {:?}\nhint: {}",
            std::error::Error::source(&error),
            error.hint()
        )
    })
}

/// Runs a packet through the kernel: whether it passed, and the reason that was counted for it.
fn run(enforcement: &mut Enforcement, packet: &packets::Packet) -> (bool, Option<Reason>) {
    let before = enforcement.counters().unwrap();
    let passed = enforcement.probe().unwrap().passes(&packet.frame()).unwrap();
    let after = enforcement.counters().unwrap();
    let mut counted = Reason::ALL
        .iter()
        .filter(|reason| after.get(**reason).denied > before.get(**reason).denied);
    let reason = counted.next().copied();
    assert!(counted.next().is_none(), "one packet counts once");
    assert_eq!(after.denied() - before.denied(), u64::from(reason.is_some()));
    (passed, reason)
}

fn on_host(image: &Table, packet: &packets::Packet) -> Verdict {
    let tables = HostTables {
        table: image,
        settings: Word(0),
        generation: Generation(1),
    };
    judge_packet(
        packet.bytes.as_slice(),
        packet.family,
        PORTS.as_slice(),
        &tables,
        &mut (),
    )
    .0
    .verdict
}

#[test]
fn every_vector_gets_its_verdict() {
    let mut enforcement = load();
    enforcement.publish(&policy().unwrap(), Settings::default());
    for vector in vectors() {
        let reason = match vector.expected {
            Expected::Denied(reason) => Some(reason),
            Expected::Ignored | Expected::Granted(_) => None,
        };
        assert_eq!(
            run(&mut enforcement, &vector.packet),
            (reason.is_none(), reason),
            "{}",
            vector.name
        );
    }
}

#[test]
fn audit_lets_everything_through_and_counts_the_same() {
    let mut enforcement = load();
    let audit = Settings {
        mode: Mode::Audit,
        ..Settings::default()
    };
    enforcement.publish(&policy().unwrap(), audit);
    for vector in vectors() {
        let reason = match vector.expected {
            Expected::Denied(reason) => Some(reason),
            Expected::Ignored | Expected::Granted(_) => None,
        };
        assert_eq!(
            run(&mut enforcement, &vector.packet),
            (true, reason),
            "{}",
            vector.name
        );
    }
}

#[test]
fn without_a_policy_filtered_ports_are_denied() {
    let mut enforcement = load();
    for vector in vectors() {
        let (passed, _) = run(&mut enforcement, &vector.packet);
        assert_eq!(passed, vector.expected == Expected::Ignored, "{}", vector.name);
    }
}

#[test]
fn what_is_no_ip_is_denied() {
    let mut enforcement = load();
    enforcement.publish(&policy().unwrap(), Settings::default());
    let mut frame = packets::tcp4(enforcer_lab::vectors::GRANTED_V4, 443).frame();
    frame[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert!(!enforcement.probe().unwrap().passes(&frame).unwrap());
    assert_eq!(enforcement.counters().unwrap().get(Reason::NotIp).denied, 1);
}

/// The kernel needs 14 bytes of Ethernet and a whole IP header to run a packet at all.
fn runnable(packet: &packets::Packet) -> bool {
    packet.bytes.len() >= 40
}

/// Vectors with some bytes changed: host and kernel agree on the verdict and the reason.
#[test]
fn mutated_packets_get_the_same_verdict_on_both_sides() {
    let mut enforcement = load();
    let image = policy().unwrap();
    enforcement.publish(&image, Settings::default());
    let enforcement = std::cell::RefCell::new(enforcement);
    let all: Vec<_> = vectors()
        .into_iter()
        .map(|vector| vector.packet)
        .filter(runnable)
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 20_000,
        ..ProptestConfig::default()
    });
    runner
        .run(&(prop::sample::select(all), changes), |(mut packet, changes)| {
            for (at, byte) in changes {
                // Most of what decides lies in the first 64 bytes.
                let at = at.index(packet.bytes.len().min(64));
                packet.bytes[at] = byte;
            }
            let (passed, reason) = run(&mut enforcement.borrow_mut(), &packet);
            let expected = match on_host(&image, &packet) {
                Verdict::Denied(reason) => (false, Some(reason)),
                Verdict::Ignored | Verdict::Granted => (true, None),
                Verdict::Session => unreachable!("only of a TCP socket"),
            };
            prop_assert_eq!((passed, reason), expected);
            Ok(())
        })
        .unwrap();
}

/// Policies change as fast as they can while the kernel looks addresses up. One address is in every policy, at another
/// position each time; one is in none. A lookup that mixed two policies would miss the first.
#[test]
fn no_lookup_sees_a_mixture_of_two_policies() {
    const PUBLICATIONS: usize = 10_000;
    const RUNS: u32 = 20_000;
    // An odd number, so that each half of the table holds every policy in turn.
    let policies: Vec<Table> = (0..3).map(moving_policy).collect();
    let mut enforcement = load();
    enforcement.publish(&policies[0], Settings::default());
    let probe = enforcement.probe().unwrap();
    let counters = enforcement.counter_reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let always = packets::tcp4(Ipv4Addr::new(10, 0, 128, 1), 443).frame();
            let never = packets::tcp4(Ipv4Addr::new(10, 0, 128, 3), 443).frame();
            let always6 = packets::tcp6(moving_v6(0x8001), 443).frame();
            let never6 = packets::tcp6(moving_v6(0x8003), 443).frame();
            let mut lookups = 0_u64;
            let mut overtaken = 0_u64;
            while !done.load(Ordering::Relaxed) {
                for (frame, granted) in [
                    (&always, true),
                    (&never, false),
                    (&always6, true),
                    (&never6, false),
                ] {
                    let before = counters.read().unwrap();
                    probe.repeat(frame, RUNS).unwrap();
                    let after = counters.read().unwrap();
                    let denied = after.get(Reason::AddressNotGranted).denied
                        - before.get(Reason::AddressNotGranted).denied;
                    let busy =
                        after.get(Reason::PolicyChanging).denied - before.get(Reason::PolicyChanging).denied;
                    assert_eq!(after.denied() - before.denied(), denied + busy, "no other reason");
                    let expected = if granted { 0 } else { u64::from(RUNS) - busy };
                    assert_eq!(denied, expected, "a lookup saw a policy that never was");
                    lookups += u64::from(RUNS);
                    overtaken += busy;
                }
            }
            (lookups, overtaken)
        });
        for at in 0..PUBLICATIONS {
            enforcement.publish(&policies[(at + 1) % policies.len()], Settings::default());
            if reader.is_finished() {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        let (lookups, overtaken) = reader.join().expect("the reader saw only whole policies");
        println!("{lookups} lookups during {PUBLICATIONS} publications, {overtaken} gave up");
        assert!(lookups > 0);
    });
}

fn moving_v6(low: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low)
}

/// x.x.128.1 is granted in all policies, behind everything else; x.x.128.3 in none; everything else moves by one
/// address and many positions.
fn moving_policy(which: u16) -> Table {
    let mut grants = vec![
        Grant {
            net: IpNet::from(IpAddr::from(Ipv4Addr::new(10, 0, 128, 1))),
            rule: RuleId(1),
            condition: Condition::Unconditional,
        },
        Grant {
            net: IpNet::from(IpAddr::from(moving_v6(0x8001))),
            rule: RuleId(1),
            condition: Condition::Unconditional,
        },
    ];
    let rule = RuleId(2 + u32::from(which));
    for at in 0..500 + which * 77 {
        let low = at * 4 + which;
        let [high, last] = low.to_be_bytes();
        let address = Ipv4Addr::new(10, 0, high, last);
        grants.push(Grant {
            net: IpNet::from(IpAddr::from(address)),
            rule,
            condition: Condition::Unconditional,
        });
        grants.push(Grant {
            net: IpNet::from(IpAddr::from(moving_v6(low))),
            rule,
            condition: Condition::Unconditional,
        });
    }
    Table::of(&grants, &[]).unwrap()
}
