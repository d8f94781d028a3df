//! Audit mode says what enforce mode would have said, once for each socket under each policy, and lets everything through.

use enforcer_common::Reason::{self, NameNotGranted, NotTls, PayloadInSyn, TwoNames};
use enforcer_lab::hellos::vectors::{Expected, vectors};
use enforcer_lab::hellos::{Extension, Hello};

use crate::bench::{AUDIT, Bench, CHANGE_OF_CIPHER, EVIL, NAME, NAMED, NAMED6, data, hello, whole};

#[test]
fn what_would_have_been_denied_is_told_once_and_arrives() {
    let mut bench = Bench::new(AUDIT);
    let names = Extension::server_names(&[(0, NAME.as_bytes()), (0, EVIL.as_bytes())]);
    let two_names = Hello::asking_for(NAME).with_extensions([names]).bytes();
    let cases: [(&str, Vec<Vec<u8>>, Reason, &str); 7] = [
        ("a foreign name", vec![hello(EVIL)], NameNotGranted, EVIL),
        ("two names", vec![two_names.clone()], TwoNames, ""),
        ("not TLS", vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()], NotTls, ""),
        (
            "a foreign name in pieces",
            hello(EVIL).chunks(60).map(<[u8]>::to_vec).collect(),
            NameNotGranted,
            EVIL,
        ),
        (
            "a second hello",
            vec![hello(NAME), CHANGE_OF_CIPHER.to_vec(), hello(EVIL)],
            NameNotGranted,
            EVIL,
        ),
        (
            "a second hello in the same segment",
            vec![[hello(NAME), hello(EVIL)].concat()],
            NameNotGranted,
            EVIL,
        ),
        (
            "a second hello that is wrong",
            vec![hello(NAME), two_names],
            TwoNames,
            NAME,
        ),
    ];
    for to in [NAMED, NAMED6] {
        for (what, writes, reason, name) in &cases {
            let mut session = bench.connect(to);
            let before = bench.denied();
            for bytes in writes {
                bench.send(&mut session, bytes);
            }
            bench.send(&mut session, &data(100));
            bench.expect_audited(what, &mut session, *reason, name);
            bench.exchange(&mut session, 200_000);
            assert!(bench.told(session.cookie).is_empty(), "{what}: told already");
            assert_eq!(bench.denied(), before + 1, "{what}: counted once");

            bench.publish(&whole(), AUDIT);
            bench.send(&mut session, &data(100));
            bench.expect_arrived(what, &mut session);
            bench.exchange(&mut session, 200_000);
            let told = bench.told(session.cookie);
            assert_eq!(told.len(), 1, "{what}: once under the next policy: {told:?}");
            assert_eq!(told[0].reason, *reason, "{what}");
            assert_eq!(told[0].attempt.server_name, name.as_bytes(), "{what}");
            bench.close(session);
        }
    }
}

#[test]
fn what_is_granted_is_not_told_of() {
    let mut bench = Bench::new(AUDIT);
    let mut session = bench.connect(NAMED);
    for piece in hello(NAME).chunks(70) {
        bench.send(&mut session, piece);
    }
    bench.send(&mut session, &data(100));
    bench.expect_passed("granted", &mut session);
    bench.exchange(&mut session, 200_000);
    bench.publish(&whole(), AUDIT);
    bench.exchange(&mut session, 200_000);
    assert!(bench.told(session.cookie).is_empty());
}

#[test]
fn every_vector_is_told_of_as_enforce_mode_does() {
    let mut bench = Bench::new(AUDIT);
    for vector in vectors() {
        let (Expected::Wrong(reason) | Expected::BadName(_, reason)) = vector.expected else {
            continue;
        };
        let mut session = bench.connect(NAMED);
        bench.send(&mut session, &vector.bytes);
        bench.expect_arrived(&vector.name, &mut session);
        let told = bench.told(session.cookie);
        let reasons: Vec<Reason> = told.iter().map(|event| event.reason).collect();
        assert_eq!(reasons, [reason], "{}", vector.name);
        assert_ne!(reason, PayloadInSyn);
        bench.close(session);
    }
}
