//! A verdict under the policies that follow the one it was reached under.

use enforcer_common::Reason::{AddressNotGranted, NameNotGranted, UnknownSession};

use crate::bench::{
    ANY, Bench, CHANGE_OF_CIPHER, ENFORCE, EVIL, EXISTING, NAME, NAMED, NAMED6, PATTERN, data, hello,
    open_policy, policy, whole,
};

#[test]
fn a_granted_session_sees_nothing_of_many_policies() {
    let mut bench = Bench::new(ENFORCE);
    let policies = [
        whole(),
        policy(&[NAME], &[ANY]),
        policy(&[NAME, "a.example"], &[]),
        policy(&["other.example", "*.b.example", NAME, PATTERN], &[]),
    ];
    let mut sessions: Vec<_> = [NAMED, NAMED6].map(|to| bench.connect(to)).into();
    for session in &mut sessions {
        bench.send(session, &hello(NAME));
        bench.expect_passed("the hello", session);
    }
    let before = bench.denied();
    let mut published = 0;
    for round in 0..6 {
        bench.begin_exchange(&sessions[round % 2], 4_000_000);
        for _ in 0..50 {
            bench.publish(&policies[published % policies.len()], ENFORCE);
            published += 1;
        }
        assert_eq!(bench.caller.answer(), Ok(4_000_000));
    }
    assert_eq!(bench.denied(), before, "not one packet was dropped");
}

/// Also before the handshake is over, when every packet is still looked at.
#[test]
fn a_session_stops_with_its_name_and_goes_on_with_it() {
    let mut bench = Bench::new(ENFORCE);
    let host = "eastus.data.mcr.microsoft.com";
    for to in [NAMED, NAMED6] {
        for (name, others) in [(NAME, [PATTERN]), (host, [NAME])] {
            for beginning in [hello(name), [hello(name), data(20)].concat()] {
                let what = format!("{name} after {} bytes", beginning.len());
                let mut session = bench.connect(to);
                bench.send(&mut session, &beginning);
                bench.expect_passed(&what, &mut session);
                bench.publish(&policy(&others, &[]), ENFORCE);
                bench.send(&mut session, &CHANGE_OF_CIPHER);
                bench.expect_denied(&what, &session, beginning.len(), NameNotGranted, name);
                bench.publish(&whole(), ENFORCE);
                bench.expect_arrived(&what, &mut session);
                bench.told(session.cookie);
                bench.send(&mut session, &data(200));
                bench.expect_passed(&what, &mut session);
                bench.publish(&policy(&[NAME, PATTERN], &[to]), ENFORCE);
                let before = session.sent.len();
                bench.send(&mut session, &data(200));
                bench.expect_denied(&what, &session, before, AddressNotGranted, name);
                bench.publish(&whole(), ENFORCE);
                bench.close(session);
            }
        }
    }
}

#[test]
fn a_name_that_goes_while_its_hello_is_in_pieces_is_denied() {
    let mut bench = Bench::new(ENFORCE);
    let bytes = hello(NAME);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, &bytes[..bytes.len() - 1]);
    bench.expect_passed("all but the last byte", &mut session);
    bench.publish(&policy(&[PATTERN], &[]), ENFORCE);
    bench.send(&mut session, &bytes[bytes.len() - 1..]);
    bench.expect_denied("the last byte", &session, bytes.len() - 1, NameNotGranted, NAME);
}

/// TCP tries again by itself.
#[test]
fn a_denied_hello_passes_once_its_name_is_granted() {
    let mut bench = Bench::new(ENFORCE);
    let mut session = bench.connect(NAMED);
    bench.send(&mut session, &hello(EVIL));
    bench.expect_denied("not yet", &session, 0, NameNotGranted, EVIL);
    bench.publish(&policy(&[NAME, EVIL], &[]), ENFORCE);
    bench.expect_arrived("granted now", &mut session);
}

/// Opened where no name was asked for, it can not be judged any more once it has said something.
#[test]
fn a_connection_is_judged_when_its_address_comes_to_ask_for_a_name() {
    let mut bench = Bench::new(ENFORCE);
    let open = open_policy();
    for (settings, is_let_be) in [(ENFORCE, false), (EXISTING, true)] {
        bench.publish(&open, settings);
        let mut quiet = bench.connect(NAMED);
        let mut foreign = bench.connect(NAMED);
        let mut running = bench.connect(NAMED);
        bench.send(&mut running, &hello(EVIL));
        bench.expect_passed("no name is asked for", &mut running);
        bench.publish(&whole(), settings);

        bench.send(&mut quiet, &hello(NAME));
        bench.expect_passed("a granted hello", &mut quiet);
        bench.send(&mut foreign, &hello(EVIL));
        bench.expect_denied("a foreign hello", &foreign, 0, NameNotGranted, EVIL);
        let before = running.sent.len();
        bench.send(&mut running, &data(100));
        if is_let_be {
            bench.expect_passed("it is let be", &mut running);
        } else {
            bench.expect_denied("it is unknown", &running, before, UnknownSession, "");
        }
        for session in [quiet, foreign, running] {
            bench.close(session);
        }
    }
}
