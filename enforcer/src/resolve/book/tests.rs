use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::answer::DnsName;
use super::super::{RefusedAddress, Sanity, Standing, sanity};
use super::side::RETIRED_ANSWERS_MAX;
use super::*;
use crate::config::ServiceTag;
use crate::prefixes::PrefixSet;

const LIMITS: Limits = Limits {
    ttl_min: Duration::from_secs(5),
    ttl_max: Duration::from_secs(3600),
    grace: Duration::from_secs(600),
    addresses_max: 4,
};

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

fn question(text: &str, private_link: &[&str]) -> Question {
    Question {
        name: name(text),
        private_link: private_link
            .iter()
            .map(|net| net.parse::<IpNet>().unwrap())
            .collect(),
        sanity: Sanity::default(),
    }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn good(texts: &[&str], ttl: u64) -> Result<Settled, String> {
    Ok(Settled::Addresses {
        chain: vec![DnsName::new("end.test")],
        addresses: addresses(texts),
        ttl: Duration::from_secs(ttl),
    })
}

fn nothing(missing: bool) -> Result<Settled, String> {
    Ok(Settled::Nothing {
        chain: vec![],
        missing,
        ttl: None,
    })
}

fn bad() -> Result<Settled, String> {
    Err("192.0.2.53:53: no answer within 3 s".to_owned())
}

/// A book with one name, and a clock.
struct Bench {
    book: Book,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(private_link: &[&str]) -> Self {
        let now = Instant::now();
        Self {
            book: Book::new(vec![question("a.test", private_link)], LIMITS),
            start: now,
            now,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.book.sweep(self.now);
    }

    fn settle(&mut self, outcome: Result<Settled, String>) -> Next {
        self.book.settle(&name("a.test"), Family::V4, outcome, self.now)
    }

    fn known(&self) -> NameSnapshot {
        NameSnapshot::clone(&self.book.snapshot().names[0])
    }

    /// `address expiry` in seconds since the start, with `until` for retired ones.
    fn held(&self) -> Vec<String> {
        let seconds = |time: Instant| time.saturating_duration_since(self.start).as_secs();
        self.known()
            .addresses
            .iter()
            .map(|known| match known.standing {
                Standing::Current => format!("{} {}", known.address, seconds(known.expires)),
                Standing::Retired { until } => {
                    format!(
                        "{} {} until {}",
                        known.address,
                        seconds(known.expires),
                        seconds(until)
                    )
                }
            })
            .collect()
    }
}

#[test]
fn addresses_rotate_and_leave_after_their_grace() {
    let mut bench = Bench::new(&[]);
    assert_eq!(
        bench.settle(good(&["198.51.100.2", "198.51.100.1"], 60)),
        Next::After {
            ttl: Duration::from_secs(60)
        }
    );
    assert_eq!(bench.held(), ["198.51.100.1 60", "198.51.100.2 60"]);
    assert_eq!(bench.known().v4, FamilyState::Fresh);
    assert_eq!(bench.known().chain, [DnsName::new("end.test")]);

    bench.pass(50);
    bench.settle(good(&["198.51.100.2", "198.51.100.3"], 60));
    assert_eq!(
        bench.held(),
        [
            "198.51.100.1 60 until 650",
            "198.51.100.2 110",
            "198.51.100.3 110"
        ]
    );
    bench.pass(50);
    bench.settle(good(&["198.51.100.1"], 60));
    assert_eq!(
        bench.held(),
        [
            "198.51.100.1 160",
            "198.51.100.2 110 until 700",
            "198.51.100.3 110 until 700"
        ],
        "one that comes back is current again"
    );
    bench.pass(599);
    assert_eq!(bench.held().len(), 3);
    bench.pass(1);
    assert_eq!(bench.held(), ["198.51.100.1 160"]);
}

#[test]
fn ttls_are_clamped() {
    let mut bench = Bench::new(&[]);
    bench.settle(good(&["198.51.100.1"], 0));
    assert_eq!(bench.held(), ["198.51.100.1 5"]);
    bench.settle(good(&["198.51.100.1"], 100_000_000));
    assert_eq!(bench.held(), ["198.51.100.1 3600"]);
}

#[test]
fn no_failure_takes_an_address_away() {
    let many: Vec<String> = (1..=5).map(|host| format!("198.51.100.{host}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let failures = [
        (bad(), "no answer within"),
        (nothing(true), "does not exist (NXDOMAIN)"),
        (nothing(false), "no A records (NODATA)"),
        (good(&many, 60), "5 addresses, 4 are the most"),
        (
            good(&["127.0.0.1", "10.0.0.1"], 60),
            "127.0.0.1 is loopback (RFC 1122), 10.0.0.1 is private (RFC 1918)",
        ),
    ];
    for (failure, words) in failures {
        let mut bench = Bench::new(&[]);
        bench.settle(good(&["198.51.100.1"], 60));
        let answered = bench.now;
        bench.pass(100_000);
        assert_eq!(bench.settle(failure.clone()), Next::Retry);
        assert_eq!(bench.held(), ["198.51.100.1 60"]);
        match bench.known().v4 {
            FamilyState::Stale { answered: at, error } => {
                assert_eq!(at, answered.into());
                assert!(error.contains(words), "{error}");
            }
            other => panic!("{other:?}"),
        }
        bench.settle(good(&["198.51.100.1"], 60));
        assert_eq!(bench.known().v4, FamilyState::Fresh);
    }
}

#[test]
fn a_name_that_was_never_known_says_what_is_wrong() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.known().v4, FamilyState::Unasked);
    bench.settle(bad());
    assert!(matches!(bench.known().v4, FamilyState::Failed { .. }));
    assert_eq!(
        bench.settle(nothing(true)),
        Next::AfterNothing { ttl: None },
        "what does not exist is no reason to hurry"
    );
    assert!(matches!(bench.known().v4, FamilyState::Failed { error } if error.contains("NXDOMAIN")));
    bench.settle(nothing(false));
    assert_eq!(bench.known().v4, FamilyState::Empty);
    bench.settle(bad());
    assert!(matches!(bench.known().v4, FamilyState::Stale { .. }));
    assert_eq!(bench.known().v6, FamilyState::Unasked);
}

#[test]
fn refused_addresses_are_reported_beside_the_others() {
    let mut bench = Bench::new(&["10.20.0.0/16"]);
    bench.settle(good(&["10.20.0.4", "10.21.0.4", "198.51.100.1"], 60));
    assert_eq!(bench.held(), ["10.20.0.4 60", "198.51.100.1 60"]);
    assert_eq!(
        bench.known().refused,
        [RefusedAddress {
            address: "10.21.0.4".parse().unwrap(),
            why: "private (RFC 1918)"
        }]
    );
    bench.settle(good(&["198.51.100.1"], 60));
    assert_eq!(bench.known().refused, []);
}

#[test]
fn a_flood_of_rotation_is_bounded_and_the_newest_stay() {
    let mut bench = Bench::new(&[]);
    for round in 0..100_u32 {
        let four: Vec<String> = (0..4)
            .map(|host| std::net::Ipv4Addr::from(0xc633_0000 + round * 4 + host).to_string())
            .collect();
        bench.settle(good(&four.iter().map(String::as_str).collect::<Vec<_>>(), 5));
        bench.pass(1);
    }
    let held = bench.held();
    assert_eq!(held.len(), 4 + 4 * RETIRED_ANSWERS_MAX);
    // The 17 newest of 100 rounds of 4.
    let oldest = std::net::Ipv4Addr::from(0xc633_0000 + 83 * 4).to_string();
    assert!(held[0].starts_with(&format!("{oldest} ")), "{}", held[0]);
}

#[test]
fn new_questions_keep_what_is_known_of_names_that_stay() {
    let mut bench = Bench::new(&["10.0.0.0/8"]);
    bench.settle(good(&["10.20.0.4", "198.51.100.1"], 60));
    let changed = bench.book.set_questions(
        vec![question("b.test", &[]), question("a.test", &["10.0.0.0/8"])],
        LIMITS,
    );
    assert_eq!(changed, []);
    let snapshot = bench.book.snapshot();
    assert_eq!(snapshot.names[0].v4, FamilyState::Unasked);
    assert_eq!(snapshot.names[1].addresses.len(), 2);

    let changed = bench
        .book
        .set_questions(vec![question("a.test", &["10.30.0.0/16"])], LIMITS);
    assert_eq!(changed, [name("a.test")]);
    assert_eq!(
        bench.held(),
        ["198.51.100.1 60"],
        "private_link covers it no longer"
    );
    assert_eq!(bench.known().refused.len(), 1);

    bench.book.set_questions(vec![], LIMITS);
    assert!(bench.book.snapshot().names.is_empty());
    assert_eq!(bench.settle(good(&["198.51.100.1"], 60)), Next::Retry);
    bench.book.set_questions(vec![question("a.test", &[])], LIMITS);
    assert_eq!(bench.held(), Vec::<String>::new());
}

#[test]
fn questions_for_one_name_are_one() {
    let questions = vec![
        question("a.test", &["10.20.0.0/16"]),
        question("b.test", &[]),
        question("A.test", &["10.30.0.0/16"]),
    ];
    let mut bench = Bench::new(&[]);
    bench.book.set_questions(questions, LIMITS);
    assert_eq!(bench.book.snapshot().names.len(), 2);
    bench.settle(good(&["10.20.0.4", "10.30.0.4"], 60));
    assert_eq!(bench.held().len(), 2);
}

#[test]
fn only_changes_make_it_dirty() {
    let mut bench = Bench::new(&[]);
    assert!(bench.book.take_dirty());
    assert!(!bench.book.take_dirty());
    bench.settle(bad());
    assert!(bench.book.take_dirty());
    bench.settle(bad());
    assert!(
        !bench.book.take_dirty(),
        "the same failure again says nothing new"
    );
    bench.settle(good(&["198.51.100.1"], 60));
    bench.settle(good(&["198.51.100.2"], 60));
    assert!(bench.book.take_dirty());
    bench.pass(599);
    assert!(!bench.book.take_dirty());
    bench.pass(1);
    assert!(bench.book.take_dirty());
}

#[test]
fn a_mapped_address_is_known_as_what_it_is_and_once() {
    let mut bench = Bench::new(&[]);
    bench.settle(good(&["198.51.100.1"], 60));
    let (a, now) = (name("a.test"), bench.now);
    bench
        .book
        .settle(&a, Family::V6, good(&["::ffff:198.51.100.1"], 90), now);
    assert_eq!(bench.held(), ["198.51.100.1 90"]);
    bench.settle(good(&["198.51.100.2"], 60));
    assert_eq!(bench.held(), ["198.51.100.1 90", "198.51.100.2 60"]);
}

/// What may happen to a name.
#[derive(Clone, Debug)]
enum Step {
    Good(Vec<u8>, u32),
    Nothing(bool),
    Bad,
    Special,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (proptest::collection::vec(any::<u8>(), 1..6), any::<u32>())
            .prop_map(|(hosts, ttl)| Step::Good(hosts, ttl)),
        any::<bool>().prop_map(Step::Nothing),
        Just(Step::Bad),
        Just(Step::Special),
        any::<u16>().prop_map(Step::Pass),
    ]
}

proptest! {
    /// The last good answer is always held whole; an address that left is held for its grace period and no longer; an
    /// error adds and removes nothing.
    #[test]
    fn the_last_good_answer_is_always_held(steps in proptest::collection::vec(step(), 0..40)) {
        let mut bench = Bench::new(&[]);
        let mut last: Vec<IpAddr> = Vec::new();
        // When each address was last part of the good answer that was replaced.
        let mut left: HashMap<IpAddr, Instant> = HashMap::new();
        for step in steps {
            let before: Vec<IpAddr> = bench.known().addresses.iter().map(|known| known.address).collect();
            let mut changes = false;
            match step {
                Step::Good(hosts, ttl) => {
                    let mut answer: Vec<IpAddr> =
                        hosts.iter().map(|host| IpAddr::from([198, 51, 100, *host])).collect();
                    answer.sort_unstable();
                    answer.dedup();
                    let outcome = Ok(Settled::Addresses {
                        chain: vec![],
                        addresses: answer.clone(),
                        ttl: Duration::from_secs(ttl.into()),
                    });
                    let next = bench.settle(outcome);
                    prop_assert_eq!(next == Next::Retry, answer.len() > LIMITS.addresses_max);
                    if next != Next::Retry {
                        changes = true;
                        for address in std::mem::replace(&mut last, answer) {
                            left.insert(address, bench.now);
                        }
                    }
                }
                Step::Nothing(missing) => {
                    bench.settle(nothing(missing));
                }
                Step::Bad => {
                    bench.settle(bad());
                }
                Step::Special => {
                    bench.settle(good(&["169.254.169.254"], 60));
                }
                Step::Pass(seconds) => {
                    changes = true;
                    bench.pass(seconds.into());
                }
            }
            let known = bench.known().addresses;
            let held: Vec<IpAddr> = known.iter().map(|known| known.address).collect();
            if !changes {
                prop_assert_eq!(&before, &held);
            }
            for address in &last {
                prop_assert!(held.contains(address));
            }
            for known in known.iter() {
                let is_current = last.contains(&known.address);
                prop_assert_eq!(known.standing == Standing::Current, is_current);
                if !is_current {
                    // Swept to within the interval of sweeps.
                    let late = bench.now - left[&known.address];
                    prop_assert!(late <= LIMITS.grace + SWEEP_INTERVAL_MIN);
                }
            }
            for (address, at) in &left {
                if bench.now - *at < LIMITS.grace && left.len() < LIMITS.addresses_max * RETIRED_ANSWERS_MAX {
                    prop_assert!(held.contains(address));
                }
            }
        }
    }
}

#[test]
fn what_leaves_its_service_tag_is_refused_and_goes_when_the_tag_shrinks() {
    let tag = |prefix: &str| {
        Arc::new(ServiceTag {
            name: "AzureContainerRegistry".to_owned(),
            file: "tags.json".into(),
            prefixes: PrefixSet::new(vec![prefix.parse().unwrap()], vec![]),
        })
    };
    let within = |prefix: &str| {
        let mut question = question("a.test", &[]);
        question.sanity.add(&[tag(prefix)]);
        question
    };
    let now = Instant::now();
    let name = name("a.test");
    let mut book = Book::new(vec![within("198.51.100.0/24")], LIMITS);
    let answer = Settled::Addresses {
        chain: vec![],
        addresses: addresses(&["198.51.100.1", "198.51.100.200", "203.0.113.1"]),
        ttl: Duration::from_secs(60),
    };
    book.settle(&name, Family::V4, Ok(answer), now);
    let known = |book: &Book| {
        let known = book.snapshot().names[0].clone();
        let granted: Vec<_> = known
            .addresses
            .iter()
            .map(|known| known.address.to_string())
            .collect();
        let refused: Vec<_> = known
            .refused
            .iter()
            .map(|refused| (refused.address.to_string(), refused.why))
            .collect();
        (granted, refused)
    };
    let refused = |address: &str| (address.to_owned(), sanity::OUTSIDE);
    assert_eq!(
        known(&book),
        (
            vec!["198.51.100.1".to_owned(), "198.51.100.200".to_owned()],
            vec![refused("203.0.113.1")]
        )
    );
    assert_eq!(
        book.set_questions(vec![within("198.51.100.0/24")], LIMITS),
        [],
        "the same tag, read anew"
    );
    assert_eq!(
        book.set_questions(vec![within("198.51.100.0/25")], LIMITS),
        [name]
    );
    assert_eq!(
        known(&book),
        (
            vec!["198.51.100.1".to_owned()],
            vec![refused("203.0.113.1"), refused("198.51.100.200")]
        )
    );
}
