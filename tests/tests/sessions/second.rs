//! What follows the first ClientHello: a second one, when the server asks for it, is judged like the first.

use enforcer_common::Reason::{NameNotGranted, TooManyRecords, TwoNames};
use enforcer_lab::hellos::hello::kind;
use enforcer_lab::hellos::{Extension, Hello};

use crate::bench::{Bench, CHANGE_OF_CIPHER, ENFORCE, EVIL, NAME, NAMED, NAMED6, data, hello};

/// A hello of a client that sends data at once.
fn early(name: &str) -> Vec<u8> {
    Hello::asking_for(name)
        .and(Extension::new(kind::EARLY_DATA, []))
        .bytes()
}

/// Writes that pass, and those that follow, of which the last is denied or not by the name of the second hello in it.
type Case<'a> = (&'a str, Vec<Vec<u8>>, Vec<Vec<u8>>);

fn cases(second: &[u8]) -> Vec<Case<'static>> {
    let first = hello(NAME);
    let change = CHANGE_OF_CIPHER.to_vec();
    let behind = |parts: &[&[u8]]| parts.concat();
    let (head, tail) = second.split_at(60);
    let long: Vec<Vec<u8>> = data(5000).chunks(1000).map(<[u8]>::to_vec).collect();
    vec![
        (
            "in a segment of its own",
            vec![first.clone()],
            vec![second.to_vec()],
        ),
        (
            "in the segment of the first",
            vec![],
            vec![behind(&[&first, second])],
        ),
        (
            "behind a change of cipher",
            vec![first.clone(), change.clone()],
            vec![second.to_vec()],
        ),
        (
            "in one segment with a change of cipher",
            vec![first.clone()],
            vec![behind(&[&change, second])],
        ),
        (
            "all in one segment",
            vec![],
            vec![behind(&[&first, &change, second])],
        ),
        (
            "in two pieces",
            vec![first.clone(), behind(&[&change, head])],
            vec![tail.to_vec()],
        ),
        (
            "its first piece behind the first hello",
            vec![behind(&[&first, head])],
            vec![tail.to_vec()],
        ),
        (
            "its first bytes behind the first hello",
            vec![behind(&[&first, &second[..3]]), second[3..5].to_vec()],
            vec![second[5..].to_vec()],
        ),
        (
            "a change of cipher in pieces before it",
            vec![first.clone(), change[..2].to_vec(), change[2..].to_vec()],
            vec![second.to_vec()],
        ),
        (
            "the second before the rest of the first",
            vec![first[..100].to_vec()],
            vec![behind(&[&first[100..], second])],
        ),
        (
            "behind early data",
            vec![early(NAME), behind(&[&change, &data(50)]), data(1)],
            vec![second.to_vec()],
        ),
        (
            "behind early data, all in one segment",
            vec![],
            vec![behind(&[&early(NAME), &data(500), second])],
        ),
        (
            "behind early data in several segments",
            [vec![early(NAME)], long].concat(),
            vec![second.to_vec()],
        ),
        (
            "behind an alert",
            vec![first.clone(), vec![21, 3, 3, 0, 2, 1, 0]],
            vec![second.to_vec()],
        ),
    ]
}

#[test]
fn a_second_hello_under_a_granted_name_passes() {
    let mut bench = Bench::new(ENFORCE);
    for to in [NAMED, NAMED6] {
        for (what, first, last) in cases(&hello(NAME)) {
            let mut session = bench.connect(to);
            for bytes in first.iter().chain(&last) {
                bench.send(&mut session, bytes);
                bench.expect_passed(what, &mut session);
            }
            bench.exchange(&mut session, 100_000);
            assert!(bench.told(session.cookie).is_empty(), "{what}");
            bench.close(session);
        }
    }
}

#[test]
fn a_second_hello_under_a_foreign_name_is_denied() {
    let mut bench = Bench::new(ENFORCE);
    for to in [NAMED, NAMED6] {
        for (what, first, last) in cases(&hello(EVIL)) {
            let mut session = bench.connect(to);
            for bytes in &first {
                bench.send(&mut session, bytes);
                bench.expect_passed(what, &mut session);
            }
            let before = session.sent.len();
            for bytes in &last {
                bench.send(&mut session, bytes);
            }
            bench.expect_denied(what, &session, before, NameNotGranted, EVIL);
            bench.close(session);
        }
    }
}

#[test]
fn a_second_hello_that_is_wrong_is_denied() {
    let mut bench = Bench::new(ENFORCE);
    let names = Extension::server_names(&[(0, NAME.as_bytes()), (0, EVIL.as_bytes())]);
    let wrong = Hello::asking_for(NAME).with_extensions([names]).bytes();
    for (what, first, last) in cases(&wrong) {
        let mut session = bench.connect(NAMED);
        for bytes in &first {
            bench.send(&mut session, bytes);
            bench.expect_passed(what, &mut session);
        }
        let before = session.sent.len();
        for bytes in &last {
            bench.send(&mut session, bytes);
        }
        bench.expect_denied(what, &session, before, TwoNames, NAME);
        bench.close(session);
    }
}

/// Its extensions are read before its name, while the name of the first is what is known.
#[test]
fn a_second_hello_whose_name_comes_last_is_judged_in_pieces() {
    let mut bench = Bench::new(ENFORCE);
    let last = |name: &str| {
        let mut hello = Hello::asking_for(name);
        hello.extensions.iter_mut().for_each(|all| all.rotate_left(2));
        hello.bytes()
    };
    for name in [NAME, EVIL] {
        let second = last(name);
        for cut in (90..second.len()).step_by(9) {
            let what = format!("{name} cut at {cut}");
            let mut session = bench.connect(NAMED);
            bench.send(&mut session, &hello(NAME));
            bench.send(&mut session, &second[..cut]);
            bench.expect_passed(&what, &mut session);
            bench.send(&mut session, &second[cut..]);
            if name == NAME {
                bench.expect_passed(&what, &mut session);
            } else {
                let before = session.sent.len() - (second.len() - cut);
                bench.expect_denied(&what, &session, before, NameNotGranted, EVIL);
            }
            bench.close(session);
        }
    }
}

/// A third one too: no server asks for it, and none is let through unread.
#[test]
fn every_hello_before_the_handshake_is_over_is_judged() {
    let mut bench = Bench::new(ENFORCE);
    let mut session = bench.connect(NAMED);
    for _ in 0..3 {
        bench.send(&mut session, &hello(NAME));
        bench.send(&mut session, &CHANGE_OF_CIPHER);
        bench.expect_passed("granted", &mut session);
    }
    let before = session.sent.len();
    bench.send(&mut session, &hello(EVIL));
    bench.expect_denied("foreign", &session, before, NameNotGranted, EVIL);
    bench.close(session);
}

/// Application data ends what is read: a server that was promised no early data takes it for the end of the handshake.
#[test]
fn behind_the_handshake_nothing_is_read() {
    let mut bench = Bench::new(ENFORCE);
    for last in [data(10), vec![22, 3, 3, 0, 4, 16, 0, 0, 0]] {
        let mut session = bench.connect(NAMED);
        bench.send(&mut session, &hello(NAME));
        bench.send(&mut session, &last);
        bench.send(&mut session, &hello(EVIL));
        bench.expect_passed("what looks like a hello", &mut session);
        bench.close(session);
    }
}

#[test]
fn many_records_in_one_segment_are_stepped_over_up_to_a_bound() {
    let mut bench = Bench::new(ENFORCE);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, &hello(NAME));
    bench.send(&mut session, &CHANGE_OF_CIPHER.repeat(40));
    bench.expect_passed("40 records", &mut session);
    let before = session.sent.len();
    bench.send(&mut session, &CHANGE_OF_CIPHER.repeat(200));
    bench.expect_denied("200 records", &session, before, TooManyRecords, NAME);
    bench.close(session);
}
