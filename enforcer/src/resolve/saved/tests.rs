use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::answer::Settled;
use super::super::book::{Book, Limits};
use super::super::{Family, FamilyState, Question, Sanity};
use super::*;

const LIMITS: Limits = Limits {
    ttl_min: Duration::from_secs(5),
    ttl_max: Duration::from_secs(3600),
    grace: Duration::from_secs(600),
    addresses_max: 4,
};
const HOUR_MS: u64 = 3_600_000;

fn questions(names: &[&str], private_link: &[&str]) -> Vec<Question> {
    let nets: Vec<IpNet> = private_link.iter().map(|net| net.parse().unwrap()).collect();
    let question = |name: &&str| Question {
        name: ServerName::parse(name).unwrap(),
        private_link: nets.clone(),
        sanity: Sanity::default(),
    };
    names.iter().map(question).collect()
}

/// A book that knows nothing, and the name `a.test`.
fn book(private_link: &[&str], limits: Limits) -> Book {
    Book::new(questions(&["a.test"], private_link), limits)
}

/// `address`, `address until SECONDS` when it is retired.
fn saved(name: &str, age: Age, addresses: &[&str]) -> SavedAnswers {
    let address = |text: &&str| {
        let (address, until) = match text.split_once(" until ") {
            Some((address, until)) => (address, Some(until.parse::<u64>().unwrap())),
            None => (*text, None),
        };
        SavedAddress {
            address: address.parse().unwrap(),
            ttl_left_ms: 60_000,
            grace_left_ms: until.map(|seconds| seconds * 1000),
        }
    };
    SavedAnswers {
        names: vec![SavedName {
            name: ServerName::parse(name).unwrap(),
            v4: SavedFamily {
                age: Some(age.into()),
                chain: vec![DnsName::new("end.test")],
                addresses: addresses.iter().map(address).collect(),
            },
            v6: SavedFamily::default(),
        }],
    }
}

fn held(book: &Book) -> Vec<String> {
    let snapshot = book.snapshot();
    let known = &snapshot.names[0].addresses;
    let shown = |known: &KnownAddress| match known.standing {
        Standing::Current => known.address.to_string(),
        Standing::Retired { .. } => format!("{} r", known.address),
    };
    known.iter().map(shown).collect()
}

fn answer(addresses: &[&str]) -> Result<Settled, String> {
    Ok(Settled::Addresses {
        chain: vec![],
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ttl: Duration::from_secs(60),
    })
}

#[test]
fn a_restored_name_is_granted_stale_and_not_settled() {
    let (mut book, now) = (book(&[], LIMITS), Instant::now());
    let age = Age::at_least(Duration::from_secs(7200));
    book.restore(
        &saved("a.test", age, &["198.51.100.1", "198.51.100.2 until 100"]),
        now,
    );
    let snapshot = book.snapshot();
    assert_eq!(held(&book), ["198.51.100.1", "198.51.100.2 r"]);
    assert_eq!(snapshot.names[0].chain, [DnsName::new("end.test")]);
    assert!(!snapshot.is_settled());
    assert_eq!(snapshot.names[0].v6, FamilyState::Unasked);
    let FamilyState::Restored { answered } = snapshot.names[0].v4 else {
        panic!("{:?}", snapshot.names[0].v4);
    };
    let later = now + Duration::from_secs(60);
    assert_eq!(answered.age(later), Age::at_least(Duration::from_secs(7260)));
    assert_eq!(answered.age(later).to_string(), "at least 2 h 1 min");
}

#[test]
fn a_restored_name_that_answers_is_fresh_and_loses_old_addresses_after_their_grace() {
    let (mut book, now) = (book(&[], LIMITS), Instant::now());
    let old = saved(
        "a.test",
        Age::default(),
        &["198.51.100.1", "198.51.100.2 until 100"],
    );
    book.restore(&old, now);
    let name = old.names[0].name.clone();
    book.settle(&name, Family::V4, answer(&["198.51.100.3"]), now);
    let snapshot = book.snapshot();
    let known = &snapshot.names[0];
    assert_eq!(known.v4, FamilyState::Fresh);
    assert_eq!(
        known.good_v4.answered.unwrap().age(now),
        Age::exact(Duration::ZERO)
    );
    for (seconds, expect) in [
        (99, &["198.51.100.1 r", "198.51.100.2 r", "198.51.100.3"][..]),
        (101, &["198.51.100.1 r", "198.51.100.3"]),
        (601, &["198.51.100.3"]),
    ] {
        book.sweep(now + Duration::from_secs(seconds));
        assert_eq!(held(&book), expect, "after {seconds} s");
    }
}

#[test]
fn a_restored_name_that_fails_keeps_its_addresses_and_its_age() {
    let (mut book, now) = (book(&[], LIMITS), Instant::now());
    let old = saved("a.test", Age::exact(Duration::from_secs(7200)), &["198.51.100.1"]);
    book.restore(&old, now);
    let name = old.names[0].name.clone();
    let later = now + Duration::from_secs(100_000);
    book.settle(&name, Family::V4, Err("dead".to_owned()), later);
    book.sweep(later);
    assert_eq!(held(&book), ["198.51.100.1"]);
    match &book.snapshot().names[0].v4 {
        FamilyState::Stale { answered, error } => {
            assert_eq!(answered.age(later), Age::exact(Duration::from_secs(107_200)));
            assert_eq!(error, "dead");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_private_link_covers_no_longer_is_refused_and_not_restored() {
    let old = saved("a.test", Age::default(), &["10.20.0.4", "198.51.100.1"]);
    for (private_link, expect) in [
        (&["10.0.0.0/8"][..], &["10.20.0.4", "198.51.100.1"][..]),
        (&["10.30.0.0/16"], &["198.51.100.1"]),
        (&[], &["198.51.100.1"]),
    ] {
        let mut book = book(private_link, LIMITS);
        book.restore(&old, Instant::now());
        assert_eq!(held(&book), expect, "{private_link:?}");
        assert_eq!(
            book.snapshot().names[0].refused.len(),
            2 - expect.len(),
            "{private_link:?}"
        );
    }
    // Nothing is left: it is as if it had never been asked for.
    let mut book = book(&[], LIMITS);
    book.restore(&saved("a.test", Age::default(), &["10.20.0.4"]), Instant::now());
    assert_eq!(book.snapshot().names[0].v4, FamilyState::Unasked);
    assert_eq!(held(&book), Vec::<String>::new());
}

#[test]
fn special_addresses_are_refused_whatever_was_saved() {
    let mut book = book(&["0.0.0.0/0", "::/0"], LIMITS);
    let addresses = ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "2001:db8::1"];
    book.restore(&saved("a.test", Age::default(), &addresses), Instant::now());
    assert_eq!(held(&book), Vec::<String>::new());
}

#[test]
fn names_no_longer_in_the_configuration_are_not_restored() {
    let mut book = book(&[], LIMITS);
    book.restore(
        &saved("b.test", Age::default(), &["198.51.100.1"]),
        Instant::now(),
    );
    let snapshot = book.snapshot();
    assert_eq!(snapshot.names.len(), 1);
    assert_eq!(held(&book), Vec::<String>::new());
    assert_eq!(
        SavedAnswers::of(&snapshot, Instant::now()),
        SavedAnswers::default()
    );
}

#[test]
fn more_addresses_than_the_limits_are_cut_to_them() {
    let current: Vec<String> = (1..=9).map(|host| format!("198.51.100.{host}")).collect();
    let retired: Vec<String> = (1..=200)
        .map(|host| format!("203.0.113.{host} until {}", 100 + host))
        .collect();
    let all: Vec<&str> = current.iter().chain(&retired).map(String::as_str).collect();
    let mut book = book(&[], LIMITS);
    book.restore(&saved("a.test", Age::default(), &all), Instant::now());
    let held = held(&book);
    assert_eq!(held[..4], current[..4]);
    assert_eq!(held.len(), 4 + 4 * 16);
    assert!(held[4..].iter().all(|shown| shown.ends_with(" r")), "{held:?}");
    assert_eq!(held[4], "203.0.113.137 r", "those that end first go first");
}

#[test]
fn times_of_any_length_are_cut_to_the_limits() {
    let (mut book, now) = (book(&[], LIMITS), Instant::now());
    let mut old = saved(
        "a.test",
        Age::default(),
        &["198.51.100.1", "198.51.100.2 until 1"],
    );
    for address in &mut old.names[0].v4.addresses {
        address.ttl_left_ms = u64::MAX;
        address.grace_left_ms = address.grace_left_ms.map(|_| u64::MAX);
    }
    old.names[0].v4.age = Some(Age::exact(Duration::from_millis(u64::MAX)).into());
    book.restore(&old, now);
    let known = book.snapshot().names[0].clone();
    assert_eq!(known.addresses[0].expires, now + LIMITS.ttl_max);
    assert_eq!(
        known.addresses[1].standing,
        Standing::Retired {
            until: now + LIMITS.grace
        }
    );
    let later = now + Duration::from_secs(1);
    assert!(known.good_v4.answered.unwrap().age(later).duration > Duration::from_millis(u64::MAX));
    assert_eq!(
        SavedAnswers::of(&book.snapshot(), later).names[0]
            .v4
            .age
            .unwrap()
            .ms,
        u64::MAX,
        "it can not be counted any further"
    );
}

#[test]
fn what_is_known_is_not_overwritten() {
    let (mut book, now) = (book(&[], LIMITS), Instant::now());
    let old = saved("a.test", Age::default(), &["198.51.100.1"]);
    let name = old.names[0].name.clone();
    book.settle(&name, Family::V4, answer(&["198.51.100.9"]), now);
    book.restore(&old, now);
    assert_eq!(held(&book), ["198.51.100.9"]);
}

#[test]
fn time_that_passes_makes_older_and_ends_grace_periods() {
    let old = saved(
        "a.test",
        Age::exact(Duration::from_secs(5)),
        &["198.51.100.1", "198.51.100.2 until 30", "198.51.100.3 until 90"],
    );
    let later = old.clone().aged(Age::at_least(Duration::from_secs(40)));
    let family = &later.names[0].v4;
    assert_eq!(
        Age::from(family.age.unwrap()),
        Age::at_least(Duration::from_secs(45))
    );
    let left: Vec<_> = family
        .addresses
        .iter()
        .map(|saved| (saved.ttl_left_ms, saved.grace_left_ms))
        .collect();
    assert_eq!(left, [(20_000, None), (20_000, Some(50_000))]);
    assert!(!later.grants_as(&old), "an address is gone");
    assert!(
        old.clone()
            .aged(Age::exact(Duration::from_secs(3)))
            .grants_as(&old)
    );
    assert_eq!(old.clone().aged(Age::default()), old);
}

/// Anything that a book within [`LIMITS`] may hold.
fn any_saved() -> impl Strategy<Value = SavedAnswers> {
    let times = || (0..HOUR_MS, proptest::option::of(1..600_000_u64));
    let v4 = proptest::collection::btree_map(any::<u8>(), times(), 0..5).prop_map(|held| {
        let address = |host: u8| IpAddr::from(Ipv4Addr::new(198, 51, 100, host));
        held.into_iter()
            .map(move |(host, times)| (address(host), times))
            .collect::<Vec<_>>()
    });
    let v6 = proptest::collection::btree_map(any::<u16>(), times(), 0..5).prop_map(|held| {
        let address = |host: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host));
        held.into_iter()
            .map(move |(host, times)| (address(host), times))
            .collect::<Vec<_>>()
    });
    let age = || (any::<u64>(), any::<bool>());
    let chain = || proptest::collection::vec("[a-z_*]{1,8}(\\.[a-z]{1,5})?", 0..3);
    let family = |((ms, is_lower_bound), chain, held): ((u64, bool), Vec<String>, Vec<_>)| SavedFamily {
        age: Some(SavedAge { ms, is_lower_bound }),
        chain: chain.iter().map(|text| DnsName::new(text)).collect(),
        addresses: held
            .into_iter()
            .map(|(address, (ttl_left_ms, grace_left_ms))| SavedAddress {
                address,
                ttl_left_ms,
                grace_left_ms,
            })
            .collect(),
    };
    let name = (
        (age(), chain(), v4).prop_map(family),
        (age(), chain(), v6).prop_map(family),
    );
    proptest::collection::vec(name, 0..4).prop_map(|families| SavedAnswers {
        names: families
            .into_iter()
            .enumerate()
            .map(|(number, (v4, v6))| SavedName {
                name: ServerName::parse(&format!("n{number}.test")).unwrap(),
                v4,
                v6,
            })
            .collect(),
    })
}

proptest! {
    #[test]
    fn what_is_restored_is_what_was_saved(saved in any_saved()) {
        let names: Vec<ServerName> = saved.names.iter().map(|saved| saved.name.clone()).collect();
        let questions = names.into_iter().map(|name| Question {
            name,
            private_link: vec![],
            sanity: Sanity::default(),
        });
        let now = Instant::now();
        let mut book = Book::new(questions.collect(), LIMITS);
        book.restore(&saved, now);
        prop_assert_eq!(SavedAnswers::of(&book.snapshot(), now), saved.clone());
        // And in its text form.
        let text = serde_json::to_string(&saved).unwrap();
        prop_assert_eq!(serde_json::from_str::<SavedAnswers>(&text).unwrap(), saved);
    }

    #[test]
    fn time_passes_the_same_in_one_step_or_two(saved in any_saved(), first in 0..700_u64, second in 0..700_u64) {
        let by = |seconds| Age::exact(Duration::from_secs(seconds));
        let stepwise = saved.clone().aged(by(first)).aged(by(second));
        prop_assert_eq!(stepwise, saved.aged(by(first + second)));
    }
}
