//! Every ClientHello of the parser's list, on a real connection: the kernel reads what the host reads.

use enforcer_common::Reason::NameNotGranted;
use enforcer_lab::hellos::vectors::{Expected, vectors};

use crate::bench::{Bench, ENFORCE, NAME, NAMED, NAMED6};

/// Bytes that surely fit in one segment.
const SEGMENT: usize = 1400;

/// The one of the list that goes on with a second hello, under another name.
const TWO_HELLOS: &str = "a second hello behind it, in a record of its own";

#[test]
fn every_vector_gets_the_reason_of_the_host() {
    let mut bench = Bench::new(ENFORCE);
    let (mut denied, mut passed) = (0, 0);
    for (number, vector) in vectors().into_iter().enumerate() {
        let to = [NAMED, NAMED6][number % 2];
        let what = vector.name.as_str();
        if vector.bytes.is_empty() {
            continue;
        }
        let mut session = bench.connect(to);
        bench.send(&mut session, &vector.bytes);
        let denial = match vector.expected {
            Expected::Wrong(reason) => Some((reason, Vec::new())),
            Expected::BadName(name, reason) => Some((reason, name)),
            Expected::Name(_) if what == TWO_HELLOS => Some((NameNotGranted, b"evil.example".to_vec())),
            Expected::Name(name) | Expected::Part(Some(name)) => {
                let is_granted = name.eq_ignore_ascii_case(NAME.as_bytes());
                (!is_granted).then_some((NameNotGranted, name))
            }
            Expected::Part(None) => None,
        };
        if let Some((reason, mut name)) = denial {
            name.make_ascii_lowercase();
            name.truncate(255);
            // TCP cuts up what is longer than a segment, and the first part says nothing wrong yet.
            let least = vector.bytes.len().min(SEGMENT);
            let most = vector.bytes.len() - least;
            bench.expect_denied_in(what, &session, 0..=most, reason, name);
            denied += 1;
        } else {
            bench.expect_passed(what, &mut session);
            passed += 1;
        }
        bench.close(session);
    }
    assert!(denied > 150 && passed > 20, "{denied} denied, {passed} passed");
}

#[test]
fn what_real_clients_sent_passes() {
    let mut bench = Bench::new(ENFORCE);
    for (client, bytes) in enforcer_lab::hellos::recorded::RECORDINGS {
        let mut session = bench.connect(NAMED);
        bench.send(&mut session, bytes);
        bench.expect_passed(client, &mut session);
        bench.exchange(&mut session, 10_000);
        bench.close(session);
    }
}
