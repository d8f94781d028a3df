//! Which names pass, and where.

use std::net::SocketAddr;

use enforcer_common::Reason::{NameNotGranted, NotTls};

use crate::bench::{ANY, BOTH, Bench, ENFORCE, EVIL, LISTED, NAME, NAMED, NAMED6, OWN, data, hello};

#[track_caller]
fn passes(bench: &mut Bench, to: SocketAddr, name: &str) {
    let what = format!("{name} at {to}");
    let mut session = bench.connect(to);
    bench.send(&mut session, &hello(name));
    bench.send(&mut session, &data(100));
    bench.expect_passed(&what, &mut session);
    bench.exchange(&mut session, 100_000);
    assert!(bench.told(session.cookie).is_empty(), "{what}");
    bench.close(session);
}

#[track_caller]
fn is_denied(bench: &mut Bench, to: SocketAddr, name: &str) {
    let what = format!("{name} at {to}");
    let mut session = bench.connect(to);
    bench.send(&mut session, &hello(name));
    bench.send(&mut session, &data(100));
    bench.expect_denied(&what, &session, 0, NameNotGranted, name.to_lowercase());
    bench.close(session);
}

#[test]
fn names_and_patterns_of_the_policy_pass_and_no_others() {
    let mut bench = Bench::new(ENFORCE);
    for to in [NAMED, NAMED6] {
        for name in [
            NAME,
            "CONTOSO.azurecr.IO",
            "eastus.data.mcr.microsoft.com",
            "a.b.data.mcr.microsoft.com",
            "EastUS.Data.MCR.microsoft.com",
        ] {
            passes(&mut bench, to, name);
        }
        for name in [
            EVIL,
            "Evil.AzureCR.io",
            "azurecr.io",
            "a.contoso.azurecr.io",
            "contoso.azurecr.io.evil.example",
            "xcontoso.azurecr.io",
            "contoso.azurecr.i",
            "data.mcr.microsoft.com",
            "evildata.mcr.microsoft.com",
            ".data.mcr.microsoft.com.evil.example",
            "*.evil.example",
            OWN,
        ] {
            is_denied(&mut bench, to, name);
        }
    }
}

#[test]
fn names_of_a_list_pass_at_its_prefix_alone() {
    let mut bench = Bench::new(ENFORCE);
    passes(&mut bench, LISTED, OWN);
    is_denied(&mut bench, LISTED, NAME);
    is_denied(&mut bench, LISTED, EVIL);
    is_denied(&mut bench, NAMED, OWN);
    passes(&mut bench, BOTH, OWN);
    passes(&mut bench, BOTH, NAME);
    is_denied(&mut bench, BOTH, EVIL);
}

#[test]
fn anything_passes_where_no_name_is_asked_for() {
    let mut bench = Bench::new(ENFORCE);
    passes(&mut bench, ANY, EVIL);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 3000]] {
        let mut session = bench.connect(ANY);
        bench.send(&mut session, bytes);
        // A read ends at the urgent mark; what is behind it must not be there by then, or nobody wakes the reader again.
        bench.expect_echo("before", &mut session, bytes.len());
        bench.send_urgent(&mut session, b"!");
        bench.send(&mut session, bytes);
        let all = session.sent.len();
        // The urgent byte does not come back: the server has not asked for it.
        bench.expect_echo("anything", &mut session, all - 1);
        assert!(bench.told(session.cookie).is_empty());
        bench.close(session);
        let mut session = bench.connect(NAMED);
        bench.send(&mut session, bytes);
        bench.expect_denied("not TLS", &session, 0, NotTls, "");
        bench.close(session);
    }
}
