//! Connections whose beginning was not seen.

use enforcer_common::Reason::{NameNotGranted, UnknownSession};

use crate::bench::{
    ANY, AUDIT, Bench, ENFORCE, EVIL, EXISTING, NAME, NAMED, NAMED6, PATTERN, data, hello, policy, whole,
};

#[test]
fn a_connection_from_before_is_judged_by_what_it_sends_next() {
    let mut bench = Bench::unattached(ENFORCE);
    let mut sessions: Vec<_> = [NAMED, NAMED6, NAMED, NAMED, NAMED, NAMED, ANY]
        .into_iter()
        .map(|to| bench.connect(to))
        .collect();
    for session in &mut sessions[4..] {
        bench.send(session, &hello(NAME));
        bench.expect_passed("not attached yet", session);
    }
    bench.attach();
    let [granted, granted6, foreign, plain, running, urgent, any] = sessions.as_mut_slice() else {
        panic!("seven connections");
    };
    for session in [granted, granted6] {
        let bytes = hello(NAME);
        bench.send(session, &bytes[..50]);
        bench.send(session, &bytes[50..]);
        bench.send(session, &data(50));
        bench.expect_passed("a granted hello", session);
        bench.exchange(session, 100_000);
        assert!(bench.told(session.cookie).is_empty());
    }
    bench.send(foreign, &hello(EVIL));
    bench.expect_denied("a foreign hello", foreign, 0, NameNotGranted, EVIL);
    bench.send(plain, b"GET / HTTP/1.1\r\n\r\n");
    bench.expect_denied("no hello", plain, 0, UnknownSession, "");
    let before = running.sent.len();
    bench.send(running, &data(50));
    bench.expect_denied("in the middle", running, before, UnknownSession, "");
    bench.send(urgent, &[22]);
    bench.expect_passed("what may be a hello", urgent);
    bench.send(any, b"anything");
    bench.expect_passed("no name is asked for", any);
}

#[test]
fn a_connection_from_before_is_let_be_where_the_policy_says_so() {
    let mut bench = Bench::unattached(EXISTING);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, b"anything");
    bench.attach();
    bench.send(&mut session, &data(500));
    bench.send(&mut session, &hello(EVIL));
    bench.expect_passed("it is let be", &mut session);
    bench.exchange(&mut session, 100_000);
    // One that begins now is not.
    let mut later = bench.connect(NAMED);
    bench.send(&mut later, &hello(EVIL));
    bench.expect_denied("a new one", &later, 0, NameNotGranted, EVIL);

    bench.publish(&policy(&[PATTERN], &[]), EXISTING);
    bench.send(&mut session, &data(500));
    assert!(
        bench.told(session.cookie).is_empty(),
        "it has no name that could go"
    );
    bench.publish(&whole(), ENFORCE);
    bench.send(&mut session, &data(500));
    let told = bench.wait_told("no longer", session.cookie);
    assert_eq!(told[0].reason, UnknownSession);
}

#[test]
fn audit_tells_of_a_connection_from_before() {
    let mut bench = Bench::unattached(AUDIT);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, b"anything");
    bench.expect_passed("not attached yet", &mut session);
    bench.attach();
    bench.send(&mut session, &data(500));
    bench.send(&mut session, &data(500));
    bench.expect_audited("attached", &mut session, UnknownSession, "");
    bench.exchange(&mut session, 1_000_000);
    assert!(bench.told(session.cookie).is_empty(), "told already");
}
