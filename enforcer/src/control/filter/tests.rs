use super::*;
use crate::control::history::tests::event;

#[test]
fn what_is_written_is_read_again() {
    let query = Query {
        filter: Filter {
            verdicts: vec![Verdict::Denied, Verdict::Audit],
            process: Some("a b&c=\u{e9}%".parse().unwrap()),
            name: Some("*.Azurecr.io".parse().unwrap()),
            to: Some("[2001:db8::/32]:443".parse().unwrap()),
        },
        since: Some("10m".parse().unwrap()),
        follow: true,
    };
    assert_eq!(Query::decode(&query.encode()), Ok(query));
    assert_eq!(Query::decode(""), Ok(Query::default()));
    for since in ["2026-01-31T12:00:00Z", "#17", "90s"] {
        let query = Query {
            since: Some(since.parse().unwrap()),
            ..Query::default()
        };
        assert_eq!(Query::decode(&query.encode()), Ok(query));
    }
}

#[test]
fn garbage_is_told() {
    for bad in [
        "x=1",
        "verdict=maybe",
        "to=here",
        "since=soon",
        "name=%f",
        "name=%ff",
        "process=",
    ] {
        assert!(Query::decode(bad).is_err(), "{bad}");
    }
}

#[test]
fn destinations_are_written_in_many_ways() {
    let contains = |to: &str, destination: &str| {
        to.parse::<Destination>()
            .unwrap()
            .contains(destination.parse().unwrap())
    };
    for to in [
        "198.51.100.7",
        "198.51.100.7:443",
        "198.51.100.0/24",
        "198.51.100.0/24:443",
        "[198.51.100.7]:443",
    ] {
        assert!(contains(to, "198.51.100.7:443"), "{to}");
        assert!(contains(to, "[::ffff:198.51.100.7]:443"), "{to}");
        assert!(!contains(to, "198.51.101.7:443"), "{to}");
    }
    for to in [
        "2001:db8::1",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "2001:db8::/32",
    ] {
        assert!(contains(to, "[2001:db8::1]:443"), "{to}");
        assert!(!contains(to, "[2001:db9::1]:443"), "{to}");
    }
    assert!(!contains("198.51.100.7:444", "198.51.100.7:443"));
    // What is shown of a fragment, whose port can not be told.
    assert!(contains("198.51.100.7:0", "198.51.100.7:0"));
    assert!(!contains("198.51.100.7:0", "198.51.100.7:443"));
    for bad in ["", "a.example.com", "1.2.3.4:x", "[::1", "[::1]443", "1.2.3.4/33"] {
        assert!(bad.parse::<Destination>().is_err(), "{bad}");
    }
}

#[test]
fn a_star_stands_for_any_text() {
    let matches = |glob: &str, name: &str| glob.parse::<Glob>().unwrap().matches(name);
    for glob in [
        "a.b.example.com",
        "A.*",
        "*",
        "*.com",
        "*b*",
        "a*e*m",
        "a.b.example.com*",
    ] {
        assert!(matches(glob, "a.b.example.com"), "{glob}");
    }
    for glob in ["a.b.example", "b*", "*.co", "a*a*a", "a.b.example.com.*"] {
        assert!(!matches(glob, "a.b.example.com"), "{glob}");
    }
}

#[test]
fn every_condition_must_hold() {
    let mut event = event("198.51.100.7:443");
    event.name = Some("a.example.com".into());
    event.process = "containerd-shim".into();
    event.pid = Some(7);
    let entry = Entry::Event(Box::new(event));
    let wants = |query: &str| Query::decode(query).unwrap().filter.wants(&entry);
    for query in [
        "",
        "verdict=denied",
        "verdict=audit&verdict=denied",
        "process=containerd-shim-runc-v2",
        "process=7",
        "name=*.example.com&to=198.51.100.0/24&process=7",
    ] {
        assert!(wants(query), "{query}");
    }
    for query in [
        "verdict=allowed",
        "process=containerd",
        "process=8",
        "name=*.example.com&to=198.51.101.0/24",
        "name=b.*",
    ] {
        assert!(!wants(query), "{query}");
    }
}
