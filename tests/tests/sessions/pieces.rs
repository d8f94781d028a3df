//! A ClientHello in several segments.

use enforcer_common::Reason::{HelloInRecords, HelloLengths, NameNotGranted, NotTls};
use enforcer_lab::hellos::hello::kind;
use enforcer_lab::hellos::vectors::post_quantum;
use enforcer_lab::hellos::{Extension, Hello, Level};

use crate::bench::{Bench, ENFORCE, EVIL, NAME, NAMED, NAMED6, data, hello};

/// Where the name in a hello ends.
fn behind_name(hello: &Hello) -> usize {
    let built = hello.build();
    let name = built.lengths.iter().find(|(level, ..)| *level == Level::Name);
    let (_, at, width) = name.expect("it asks for a name");
    at + width + built.length(Level::Name)
}

/// Where a hello is cut in two: every place where something begins, and some between.
fn cuts(length: usize, name: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (1..=12).chain((13..length).step_by(11)).collect();
    cuts.extend([
        name - 19,
        name - 18,
        name - 1,
        name,
        name + 1,
        name + 4,
        length - 1,
    ]);
    cuts.retain(|cut| *cut < length);
    cuts
}

#[test]
fn a_granted_hello_in_two_pieces_arrives_whole() {
    let mut bench = Bench::new(ENFORCE);
    let hello = Hello::asking_for(NAME);
    let bytes = hello.bytes();
    for (number, cut) in cuts(bytes.len(), behind_name(&hello)).into_iter().enumerate() {
        let what = format!("cut at {cut}");
        let mut session = bench.connect([NAMED, NAMED6][number % 2]);
        bench.send(&mut session, &bytes[..cut]);
        bench.send(&mut session, &bytes[cut..]);
        bench.send(&mut session, &data(200));
        bench.expect_passed(&what, &mut session);
        bench.exchange(&mut session, 50_000);
        assert!(bench.told(session.cookie).is_empty(), "{what}");
        bench.close(session);
    }
}

#[test]
fn a_foreign_name_in_two_pieces_never_leaves_in_full() {
    let mut bench = Bench::new(ENFORCE);
    let hello = Hello::asking_for(EVIL);
    let (bytes, name) = (hello.bytes(), behind_name(&hello));
    for (number, cut) in cuts(bytes.len(), name).into_iter().enumerate() {
        let what = format!("cut at {cut}");
        let mut session = bench.connect([NAMED, NAMED6][number % 2]);
        bench.send(&mut session, &bytes[..cut]);
        bench.send(&mut session, &bytes[cut..]);
        bench.send(&mut session, &data(200));
        // With its last byte the name can be read, and then it is denied.
        let arrived = if cut < name { cut } else { 0 };
        bench.expect_denied(&what, &session, arrived, NameNotGranted, EVIL);
        bench.close(session);
    }
}

/// Sends a hello piece by piece; each that passes is waited for, so that none is sent together with the next.
#[track_caller]
fn in_pieces(bench: &mut Bench, hello: &Hello, size: usize, is_granted: bool) {
    let (bytes, name) = (hello.bytes(), behind_name(hello));
    let what = format!("{} bytes in pieces of {size}, granted: {is_granted}", bytes.len());
    let mut session = bench.connect(NAMED);
    for piece in bytes.chunks(size) {
        bench.send(&mut session, piece);
        if !is_granted && session.sent.len() >= name {
            let before = session.sent.len() - piece.len();
            bench.expect_denied(&what, &session, before, NameNotGranted, EVIL);
            assert!(before < name, "{what}");
            bench.send(&mut session, &data(10));
            assert_eq!(bench.arrived(&session).len(), before, "{what}");
            bench.close(session);
            return;
        }
        bench.expect_passed(&what, &mut session);
    }
    bench.send(&mut session, &data(1000));
    bench.expect_passed(&what, &mut session);
    bench.close(session);
}

#[test]
fn a_hello_in_many_pieces_is_judged_whole() {
    let mut bench = Bench::new(ENFORCE);
    let padded = |hello: Hello, length: usize| hello.and(Extension::new(kind::PADDING, vec![0; length]));
    for (name, is_granted) in [(NAME, true), (EVIL, false)] {
        let small = Hello::asking_for(name);
        // Of 700 bytes: 100 pieces of 7.
        let filled = padded(small.clone(), 696 - small.bytes().len());
        assert_eq!(filled.bytes().len(), 700);
        in_pieces(&mut bench, &filled, 7, is_granted);
        in_pieces(&mut bench, &small, 1, is_granted);
        in_pieces(&mut bench, &small, 90, is_granted);
        let mut large = post_quantum();
        for extension in large.extensions.iter_mut().flatten() {
            if extension.kind == kind::SERVER_NAME {
                *extension = Extension::server_name(name);
            }
        }
        in_pieces(&mut bench, &large, 88, is_granted);
        in_pieces(&mut bench, &padded(large, 12_000), 1000, is_granted);
        // The name last.
        let mut last = Hello::asking_for(name);
        last.extensions.iter_mut().for_each(|all| all.rotate_left(2));
        in_pieces(&mut bench, &last, 33, is_granted);
    }
}

#[test]
fn what_is_wrong_is_denied_in_the_piece_where_it_shows() {
    let mut bench = Bench::new(ENFORCE);
    let built = Hello::asking_for(NAME).build();
    let good = &built.bytes;
    for (what, bytes, cut, reason) in [
        (
            "a record of another protocol",
            b"\x16\x04\x01".to_vec(),
            1,
            NotTls,
        ),
        ("not a ClientHello", [&good[..5], &[2; 90]].concat(), 5, NotTls),
        ("HTTP", [&good[..1], b"GET / HTTP/1.1"].concat(), 1, NotTls),
        (
            "several records",
            built.with_length(Level::Record, |length| length - 60),
            7,
            HelloInRecords,
        ),
        (
            "a lie about the ciphers",
            built.with_length(Level::Ciphers, |length| length + 4000),
            40,
            HelloLengths,
        ),
    ] {
        let mut session = bench.connect(NAMED);
        bench.send(&mut session, &bytes[..cut]);
        bench.expect_passed(what, &mut session);
        bench.send(&mut session, &bytes[cut..]);
        bench.expect_denied(what, &session, cut, reason, "");
        bench.close(session);
    }
}

/// The rest of a denied hello does not pass as something of its own.
#[test]
fn a_granted_hello_behind_a_denied_one_is_denied_with_it() {
    let mut bench = Bench::new(ENFORCE);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, &hello(EVIL));
    bench.expect_denied("the first", &session, 0, NameNotGranted, EVIL);
    bench.send(&mut session, &hello(NAME));
    bench.expect_denied("the second", &session, 0, NameNotGranted, EVIL);
    bench.close(session);
}
