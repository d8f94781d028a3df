//! What becomes of sessions while only the programs of the hooks are loaded.

use enforcer_common::Reason::{AddressNotGranted, NameNotGranted};

use crate::bench::{ANY, Bench, ENFORCE, EVIL, NAME, NAMED, NAMED6, data, hello};

#[test]
fn what_asks_for_a_name_waits_for_the_programs_that_read_it() {
    let mut bench = Bench::first(ENFORCE);
    let mut sessions: Vec<_> = [NAMED, NAMED6, NAMED, NAMED6, ANY]
        .into_iter()
        .map(|to| bench.connect(to))
        .collect();
    let [granted, granted6, foreign, foreign6, any] = sessions.as_mut_slice() else {
        panic!("five connections");
    };
    bench.send(any, b"anything");
    bench.expect_passed("no name is asked for", any);
    for session in [&mut *granted, &mut *granted6] {
        let bytes = hello(NAME);
        bench.send(session, &bytes[..50]);
        bench.send(session, &bytes[50..]);
        bench.send(session, &data(200));
    }
    for session in [&mut *foreign, &mut *foreign6] {
        bench.send(session, &hello(EVIL));
    }
    for session in [&*granted, granted6, foreign, foreign6] {
        assert_eq!(bench.arrived(session), b"", "it is held back");
        assert_eq!(bench.told(session.cookie), [], "nobody speaks of it");
    }
    assert_eq!(bench.denied(), 0);
    let elsewhere = bench.socket(NAMED);
    let refused = bench
        .caller
        .call(&format!("connect {elsewhere} 198.51.100.1:443"));
    assert!(refused.is_err(), "what needs no name is judged");
    assert_eq!(bench.denied_for(AddressNotGranted), 1);

    bench.load_rest();
    for session in [&mut *granted, &mut *granted6] {
        bench.expect_passed("TCP sends it again", session);
        bench.exchange(session, 50_000);
    }
    for session in [&*foreign, foreign6] {
        bench.expect_denied("TCP sends it again", session, 0, NameNotGranted, EVIL);
    }
    let mut later = bench.connect(NAMED);
    bench.send(&mut later, &hello(NAME));
    bench.expect_passed("all is loaded", &mut later);
}
