//! The kernel's reading of ClientHellos against the host's: the vectors, every prefix of some, and mutations. Needs root.

use std::cell::RefCell;

use enforcer::kernel::Enforcement;
use enforcer::kernel::by_hand::{HelloProbe, HelloRead, LENGTH_MAX};
use enforcer_common::Reason;
use enforcer_common::flow::{Finding, Flow};
use enforcer_common::packet::Segment;
use enforcer_common::session::{Step, read};
use enforcer_common::table::PolicyWord;
use enforcer_lab::hellos::vectors::{Expected, vectors};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn probe() -> HelloProbe {
    let mut enforcement = Enforcement::load(&[443]).expect("the programs load: run this as root");
    enforcement.hello_probe().expect("the parser loads")
}

/// The same code on the host.
fn on_host(bytes: &[u8]) -> HelloRead {
    let mut flow = Flow::default();
    // The SYN takes the number before the first byte.
    flow.open(&Segment {
        sequence: u32::MAX,
        ..Segment::default()
    });
    let segment = Segment {
        length: u32::try_from(bytes.len()).unwrap(),
        ..Segment::default()
    };
    flow.note(&segment, 0, enforcer_common::packet::Address::default());
    let step = read(bytes, &mut flow, PolicyWord::default());
    let name = || flow.name.to_array()[..flow.name.length as usize].to_vec();
    match (step, flow.finding()) {
        (Step::Gather, _) => HelloRead::Part(Some(name()).filter(|name| !name.is_empty())),
        (Step::Judge, Finding::Hello) => HelloRead::Whole(name()),
        (Step::Judge, Finding::Wrong) => HelloRead::Wrong(Reason::from_code(flow.reason).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_vector_is_read_as_on_the_host_and_as_expected() {
    let mut probe = probe();
    let mut read = 0;
    for vector in vectors()
        .into_iter()
        .filter(|vector| (1..=LENGTH_MAX).contains(&vector.bytes.len()))
    {
        let found = probe.read(&vector.bytes).unwrap();
        assert_eq!(found, on_host(&vector.bytes), "{}", vector.name);
        let expected = match vector.expected {
            Expected::Name(name) => HelloRead::Whole(name.to_ascii_lowercase()),
            Expected::BadName(_, reason) | Expected::Wrong(reason) => HelloRead::Wrong(reason),
            Expected::Part(name) => HelloRead::Part(name.map(|name| name.to_ascii_lowercase())),
        };
        assert_eq!(found, expected, "{}", vector.name);
        read += 1;
    }
    assert!(read > 250, "most vectors fit a test run: {read}");
}

#[test]
fn every_prefix_is_read_as_on_the_host() {
    let mut probe = probe();
    let whole = vectors()
        .into_iter()
        .filter(|vector| matches!(vector.expected, Expected::Name(_)) && vector.bytes.len() <= 700)
        .take(12);
    for vector in whole {
        for length in 1..vector.bytes.len() {
            let part = &vector.bytes[..length];
            assert_eq!(
                probe.read(part).unwrap(),
                on_host(part),
                "{}, {length} bytes",
                vector.name
            );
        }
    }
}

#[test]
fn mutated_hellos_are_read_as_on_the_host() {
    let probe = RefCell::new(probe());
    let all: Vec<_> = vectors()
        .into_iter()
        .map(|vector| vector.bytes)
        .filter(|bytes| (1..=LENGTH_MAX).contains(&bytes.len()))
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 20_000,
        ..ProptestConfig::default()
    });
    runner
        .run(
            &(prop::sample::select(all), changes, any::<prop::sample::Index>()),
            |(mut bytes, changes, end)| {
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                if end.index(4) == 0 {
                    bytes.truncate(1 + end.index(bytes.len()));
                }
                prop_assert_eq!(probe.borrow_mut().read(&bytes).unwrap(), on_host(&bytes));
                Ok(())
            },
        )
        .unwrap();
}
