use enforcer_common::Reason;

use super::*;
use crate::daemon::attempt::{Attempt, Protocol};
use crate::daemon::denial::Denial;
use crate::daemon::names::KnownAs;
use crate::names::ServerName;
use enforcer_common::abi::Hook;

fn denial(process: &str, pid: u32, destination: &str, reason: Reason, time_ms: u64) -> Denial {
    Denial {
        attempt: Attempt {
            time: Duration::from_millis(time_ms),
            hook: Hook::Connect,
            protocol: Protocol(if reason == Reason::QuicDenied { 17 } else { 6 }),
            source: None,
            destination: Some(destination.parse().unwrap()),
            known_as: None,
            server_name: None,
            pid: Some(pid),
            process: process.into(),
            cgroup: 1,
        },
        audit: false,
        reason,
        rule: None,
    }
}

fn report(mode: &'static str, tally: &Tally, counts: &[(Reason, u64, u64)]) -> Report {
    let mut report = Report {
        version: VERSION,
        enforcer: "0.1.0",
        config: "enforcer.toml".into(),
        command: vec!["make".into(), "image".into()],
        mode,
        started: "2026-01-01T00:00:00Z".into(),
        duration_ms: 1500,
        ended: Ended::Exited(0),
        status: 0,
        unresolved: Vec::new(),
        left_over: Vec::new(),
        denied: 0,
        not_listed: 0,
        granted: 0,
        reasons: Vec::new(),
        denials: Vec::new(),
    };
    let counts = counts.iter().map(|&(reason, denied, suppressed)| {
        let count = Count {
            denied,
            suppressed,
            ..Count::default()
        };
        (reason, count)
    });
    report.fill(tally, counts, Duration::from_secs(1));
    report
}

fn example() -> Tally {
    let mut tally = Tally::default();
    let mut named = denial("docker", 20, "10.0.0.9:443", Reason::AddressNotGranted, 1400);
    named.attempt.known_as = Some(KnownAs {
        name: ServerName::parse("contoso.azurecr.io").unwrap(),
        refused: Some("private (RFC 1918)"),
    });
    tally.add(denial(
        "curl",
        7,
        "192.0.2.1:443",
        Reason::AddressNotGranted,
        1100,
    ));
    tally.add(named);
    tally.add(denial(
        "curl",
        8,
        "192.0.2.1:443",
        Reason::AddressNotGranted,
        1300,
    ));
    tally.add(denial("curl", 8, "[2001:db8::1]:443", Reason::QuicDenied, 1350));
    tally
}

#[test]
fn a_summary_reads_like_this() {
    let counts = [(Reason::AddressNotGranted, 5, 2), (Reason::QuicDenied, 1, 0)];
    let expected = "\
enforcer: 6 attempts were denied, 2 of them not listed
  2x  curl             tcp  192.0.2.1:443                      address-not-granted
  1x  curl (pid 8)     udp  [2001:db8::1]:443                  quic-denied
  1x  docker (pid 20)  tcp  10.0.0.9:443 (contoso.azurecr.io)  address-not-granted, the address is refused: private (RFC 1918)
";
    let text = report("enforce", &example(), &counts).to_string();
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\n  quic-denied: UDP to a filtered port"));
}

#[test]
fn audit_mode_never_says_denied_alone() {
    let text = report("audit", &example(), &[(Reason::QuicDenied, 4, 0)]).to_string();
    assert!(
        text.starts_with("enforcer: 4 attempts would have been denied\n"),
        "{text}"
    );
    let nothing = report("audit", &Tally::default(), &[]).to_string();
    assert_eq!(nothing, "enforcer: nothing would have been denied");
}

#[test]
fn nothing_denied_is_one_line() {
    let text = report("enforce", &Tally::default(), &[]).to_string();
    assert_eq!(text, "enforcer: nothing was denied");
}

#[test]
fn counters_that_lag_behind_the_events_take_nothing_away() {
    let report = report("enforce", &example(), &[(Reason::AddressNotGranted, 1, 0)]);
    assert_eq!((report.denied, report.not_listed), (4, 0));
}

#[test]
fn a_flood_of_destinations_is_counted_and_not_kept() {
    let mut tally = Tally::default();
    for port in 1..=6000_u16 {
        let destination = format!("192.0.2.1:{port}");
        tally.add(denial("scan", 1, &destination, Reason::AddressNotGranted, 1100));
    }
    let counts = [(Reason::AddressNotGranted, 6000, 0)];
    let report = report("enforce", &tally, &counts);
    assert_eq!((report.denied, report.not_listed), (6000, 6000 - 4096));
    assert!(report.to_string().contains("and 4076 more kinds"));
}

#[test]
fn the_serialised_form_is_stable() {
    let mut report = report("enforce", &example(), &[(Reason::AddressNotGranted, 5, 2)]);
    report.ended = Ended::Killed(15);
    report.left_over.push(LeftOver {
        pid: 9,
        process: "sleep".into(),
    });
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["ended"]["killed"], 15);
    assert_eq!(json["left_over"][0]["process"], "sleep");
    assert_eq!(json["reasons"][0]["reason"], "address-not-granted");
    assert_eq!(json["reasons"][0]["not_listed"], 2);
    let first = &json["denials"][0];
    assert_eq!(first["destination"], "192.0.2.1");
    assert_eq!(first["port"], 443);
    assert_eq!(first["pids"], serde_json::json!([7, 8]));
    assert_eq!(
        (&first["first_ms"], &first["last_ms"]),
        (&100.into(), &300.into())
    );
    assert_eq!(first["name"], serde_json::Value::Null);
}
