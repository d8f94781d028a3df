//! Granted sessions: each is told once, with its server name, when that has been granted.

use enforcer_common::abi::Hook;

use crate::bench::{AUDIT, Bench, ENFORCE, EVIL, NAME, NAMED, NAMED6, data, hello};

#[test]
fn a_session_is_told_once_with_its_name() {
    for settings in [ENFORCE, AUDIT] {
        let mut bench = Bench::new(settings);
        for to in [NAMED, NAMED6] {
            let mut session = bench.connect(to);
            assert!(bench.granted().is_empty(), "it has not said anything yet");
            bench.send(&mut session, &hello("CONTOSO.azurecr.io"));
            bench.expect_passed("the first hello", &mut session);
            let told = bench.granted();
            let [granted] = told.as_slice() else {
                panic!("one session, not {told:?}");
            };
            assert_eq!(granted.server_name, NAME.as_bytes());
            assert_eq!((granted.destination, granted.hook), (Some(to), Hook::Egress));
            assert_eq!(granted.source.map(|source| source.port()), Some(session.port));
            assert!(granted.pid.is_some() && granted.rule.is_some(), "{granted:?}");
            // A second one is asked for at times, and what follows is none.
            bench.send(&mut session, &hello(NAME));
            bench.send(&mut session, &data(100));
            bench.expect_passed("a second one, and data", &mut session);
            bench.exchange(&mut session, 100_000);
            assert!(bench.granted().is_empty(), "told already");
            bench.close(session);
        }
    }
}

#[test]
fn a_hello_in_pieces_is_told_once_it_is_whole() {
    let mut bench = Bench::new(ENFORCE);
    let mut session = bench.connect(NAMED);
    let hello = hello(NAME);
    let (head, tail) = hello.split_at(60);
    bench.send(&mut session, head);
    bench.expect_passed("the first piece", &mut session);
    assert!(bench.granted().is_empty());
    bench.send(&mut session, tail);
    bench.expect_passed("the rest", &mut session);
    assert_eq!(bench.granted().len(), 1);
    bench.close(session);
}

#[test]
fn a_session_that_is_denied_or_would_be_is_no_granted_one() {
    for settings in [ENFORCE, AUDIT] {
        let mut bench = Bench::new(settings);
        let mut session = bench.connect(NAMED);
        bench.send(&mut session, &hello(EVIL));
        bench.send(&mut session, &data(100));
        bench.wait_told("another name", session.cookie);
        assert!(bench.granted().is_empty());
        bench.close(session);
    }
}
