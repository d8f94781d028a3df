//! The verdict in the running kernel: the same vectors and the same mutations as on the host, through the kernel's
//! test run. Needs root.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use enforcer::config::{Capacity, Mode};
use enforcer::kernel::{Enforcement, Pins, Settings};
use enforcer::policy::table::{HostTables, Table};
use enforcer_common::Reason;
use enforcer_common::abi::{PORTS_MAX, VERSION};
use enforcer_common::table::{BLOCKS, Generation, Index, PolicyWord, Settings as Word};
use enforcer_common::verdict::{Verdict, judge_packet};
use enforcer_lab::hammer::{Force, hammer, hammer_and_break};
use enforcer_lab::vectors::{Expected, PORTS, policy, vectors};
use enforcer_lab::{Instance, packets, second_writer};
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

fn on_host(image: &Table, ports: &[u16], packet: &packets::Packet) -> Verdict {
    let tables = HostTables {
        table: image,
        settings: Word(0),
        generation: Generation(1),
    };
    judge_packet(packet.bytes.as_slice(), packet.family, ports, &tables, &mut ())
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
    agrees_on_mutated(&PORTS, 20_000);
}

/// The first filtered port is looked for apart from the others, and a list ends where its room does.
#[test]
fn whatever_the_ports_both_sides_say_the_same() {
    let mut many: [u16; PORTS_MAX] = std::array::from_fn(|at| 7000 + u16::try_from(at).unwrap());
    agrees_on_mutated(&[443], 5_000);
    agrees_on_mutated(&[8443], 5_000);
    agrees_on_mutated(&[8443, 443], 5_000);
    many[PORTS_MAX - 1] = 443;
    agrees_on_mutated(&many, 5_000);
}

#[track_caller]
fn agrees_on_mutated(ports: &[u16], cases: u32) {
    let mut enforcement = Enforcement::load(ports).unwrap();
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
        cases,
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
            let expected = match on_host(&image, ports, &packet) {
                Verdict::Denied(reason) => (false, Some(reason)),
                Verdict::Ignored | Verdict::Granted => (true, None),
                Verdict::Session => unreachable!("only of a TCP socket"),
            };
            prop_assert_eq!((passed, reason), expected);
            Ok(())
        })
        .unwrap();
}

/// See [`enforcer_lab::hammer`].
#[test]
fn no_lookup_sees_a_mixture_of_two_policies() {
    let force = Force {
        publications: 10_000,
        others: 100_000,
        own: 60,
    };
    let hammered = hammer(&mut load(), force).unwrap();
    println!("{hammered:?} during {} publications", force.publications);
    assert!(hammered.lookups > 0);
}

/// Were the protocol broken, the hammer would see it. `breaks` is given the folder of the maps.
#[track_caller]
fn is_seen(label: &str, publications: u32, breaks: impl FnOnce(&Enforcement, &Path) -> Result<()>) {
    let instance = Instance::new(label).unwrap();
    let pins = Arc::new(Pins::open(instance.name()).unwrap());
    let (mut enforcement, _) = Enforcement::load_pinned(&PORTS, Capacity::default(), &pins).unwrap();
    let force = Force {
        publications,
        others: 10_000,
        own: 60,
    };
    let maps = instance.pins().join(format!("abi-{VERSION}"));
    let seen = hammer_and_break(&mut enforcement, force, |enforcement| breaks(enforcement, &maps));
    let error = seen.expect_err("a broken protocol went unnoticed");
    assert!(error.to_string().contains("a policy that never was"), "{error:#}");
    println!("{error:#}");
}

/// A writer that changes the half which counts, and has come as far as to take the old entry away.
#[test]
fn a_change_in_place_is_seen() {
    is_seen("in-place", 200, |enforcement, maps| {
        // 10.0.0.0/16, which the hammer looks into.
        let entry = enforcement.generation().half().index() * BLOCKS + 0x0a00;
        second_writer::store(&maps.join("INDEX_V4"), entry as usize * size_of::<Index>(), 0)
    });
}

/// A writer that stores the word before the half that it selects is written.
#[test]
fn a_half_that_was_never_written_is_seen() {
    is_seen("word", 0, |enforcement, maps| {
        let word = PolicyWord::new(enforcement.generation().next(), Word::default());
        second_writer::store(&maps.join("HEADER"), 0, word.0)
    });
}
