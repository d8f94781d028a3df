use std::net::IpAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::names::ServerName;
use crate::resolve::Family;
use crate::resolve::answer::Settled;
use crate::resolve::book::{Book, Limits};

const NAMES: u8 = 4;
const LIMITS: Limits = Limits {
    ttl_min: Duration::from_secs(5),
    ttl_max: Duration::from_secs(3600),
    grace: Duration::from_secs(60),
    addresses_max: 8,
};

fn name(number: u8) -> ServerName {
    ServerName::parse(&format!("n{number}.example.com")).unwrap()
}

/// Names, and prefixes with and without a condition around their addresses.
fn policy() -> Policy {
    let mut text = "[resolver]\nservers = [\"127.0.0.1:9\"]\n".to_owned();
    for number in 0..NAMES {
        text += &format!("[[allow]]\nname = \"{}\"\n", name(number));
    }
    text += "[[allow]]\nprefix = \"198.51.100.64/27\"\n[[allow]]\nprefix = \"198.51.100.8/30\"\nserver_name = \"require\"\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let (problems, policy) = Policy::load_recorded(file.path());
    policy.unwrap_or_else(|error| panic!("{error:#}: {problems:?}")).0
}

/// What may happen: an answer for a name, or time that passes.
type Step = Result<(u8, Vec<u8>), u16>;

fn step() -> impl Strategy<Value = Step> {
    let answer = (0..NAMES, proptest::collection::vec(0..100_u8, 1..8));
    prop_oneof![4 => answer.prop_map(Ok), 1 => (0..100_u16).prop_map(Err)]
}

proptest! {
    // A whole table is made for every step.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What is followed change by change is what would be worked out anew.
    #[test]
    fn differences_add_up_to_the_whole(batches in proptest::collection::vec(proptest::collection::vec(step(), 1..4), 1..12)) {
        let policy = policy();
        let mut book = Book::new(policy.questions.clone(), LIMITS);
        let mut now = Instant::now();
        let mut before = book.snapshot();
        let mut table = policy.desired(&before).unwrap().table;
        for batch in batches {
            for step in batch {
                match step {
                    Ok((number, hosts)) => {
                        let addresses = hosts.iter().map(|host| IpAddr::from([198, 51, 100, *host])).collect();
                        let ttl = Duration::from_secs(60);
                        let settled = Settled::Addresses { chain: vec![], addresses, ttl };
                        book.settle(&name(number), Family::V4, Ok(settled), now);
                    }
                    Err(seconds) => {
                        now += Duration::from_secs(seconds.into());
                        book.sweep(now);
                    }
                }
            }
            let after = book.snapshot();
            let changes = after.names.changes_since(&before.names).unwrap();
            let (removed, added) = policy.difference(&changes);
            let ranges = table.ranges();
            let changed = table.exchange(&removed, &added).unwrap();
            let whole = policy.desired(&after).unwrap();
            prop_assert_eq!(table.ranges(), &whole.ranges[..]);
            prop_assert_eq!(changed.is_empty(), whole.ranges == ranges);
            prop_assert_eq!(
                spans_beyond(&changed.added, &changed.removed),
                spans_beyond(&whole.ranges, &ranges)
            );
            before = after;
        }
    }
}

#[test]
fn another_edition_is_another_policy() {
    let (one, other) = (policy(), policy());
    assert_eq!(one.edition(), one.edition());
    assert_ne!(one.edition(), other.edition());
}
