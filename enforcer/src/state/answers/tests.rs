use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::clock::tests::moment;
use super::super::file::ReadError;
use super::super::form::{self, FormError};
use super::super::journal::Journal;
use super::*;
use crate::names::ServerName;
use crate::resolve::DnsName;
use crate::resolve::saved::{SavedAddress, SavedFamily, SavedName};

struct Bench {
    _outer: tempfile::TempDir,
    folders: Folders,
}

impl Bench {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folders = Folders {
            state: outer.path().join("state"),
            runtime: outer.path().join("runtime"),
        };
        Self {
            _outer: outer,
            folders,
        }
    }

    fn state(&self, number: u64, moment: Moment) {
        save(&self.folders.state, &one(number, moment)).unwrap();
    }

    fn runtime(&self, number: u64, moment: Moment) {
        save(&self.folders.runtime, &one(number, moment)).unwrap();
    }

    /// `runtime 3`: the copy that is found, and the last part of its address, which is the number of its save.
    fn found(&self, now: &Moment) -> Option<String> {
        let found = load(&self.folders, now).found?;
        let folder = found.path.parent().unwrap().file_name().unwrap();
        let IpAddr::V4(address) = found.answers.names[0].v4.addresses[0].address else {
            panic!("an IPv4 address was saved");
        };
        Some(format!("{} {}", folder.to_str().unwrap(), address.octets()[3]))
    }
}

/// A save of `a.test` with an address that tells its number, an hour old and with a minute of grace for another.
fn one(number: u64, moment: Moment) -> Save {
    let octet = u8::try_from(number).unwrap();
    let address = |octets: [u8; 4], grace_left_ms| SavedAddress {
        address: octets.into(),
        ttl_left_ms: 30_000,
        grace_left_ms,
    };
    let v4 = SavedFamily {
        age: Some(Age::exact(Duration::from_secs(3600)).into()),
        chain: vec![DnsName::new("end.test")],
        addresses: vec![
            address([198, 51, 100, octet], None),
            address([203, 0, 113, octet], Some(60_000)),
        ],
    };
    Save {
        number,
        moment,
        answers: SavedAnswers {
            names: vec![SavedName {
                name: ServerName::parse("a.test").unwrap(),
                v4,
                v6: SavedFamily::default(),
            }],
        },
    }
}

fn age(loaded: &Loaded) -> Age {
    loaded.found.as_ref().unwrap().answers.names[0]
        .v4
        .age
        .unwrap()
        .into()
}

#[test]
fn nothing_saved_is_nothing_wrong() {
    let bench = Bench::new();
    let loaded = load(&bench.folders, &moment('a', 1));
    assert_eq!(loaded, Loaded::default());
    assert_eq!(loaded.answers(), SavedAnswers::default());
}

#[test]
fn the_newest_copy_counts() {
    let bench = Bench::new();
    bench.state(3, moment('a', 100));
    assert_eq!(bench.found(&moment('a', 200)).unwrap(), "state 3");
    bench.runtime(4, moment('a', 101));
    assert_eq!(bench.found(&moment('a', 200)).unwrap(), "runtime 4");
    bench.state(5, moment('a', 102));
    assert_eq!(bench.found(&moment('a', 200)).unwrap(), "state 5");
    let loaded = load(&bench.folders, &moment('a', 200));
    assert_eq!(loaded.number, 5);
    assert_eq!(loaded.state, Some(moment('a', 102)));
    assert_eq!(loaded.runtime, Some(moment('a', 101)));
}

#[test]
fn a_copy_of_this_boot_is_newer_whatever_its_number() {
    // The state folder was not there at the boot, so that the count began anew.
    let bench = Bench::new();
    bench.state(200, moment('a', 999_999));
    bench.runtime(1, moment('b', 10));
    assert_eq!(bench.found(&moment('b', 20)).unwrap(), "runtime 1");
    // In a third boot only the number tells.
    assert_eq!(bench.found(&moment('c', 20)).unwrap(), "state 200");
}

#[test]
fn a_restart_makes_older_by_what_has_passed() {
    let bench = Bench::new();
    bench.state(1, moment('a', 100));
    let loaded = load(&bench.folders, &moment('a', 130));
    assert_eq!(age(&loaded), Age::exact(Duration::from_secs(3630)));
    let found = loaded.found.unwrap();
    assert_eq!(found.answers.names[0].v4.addresses.len(), 2);
    assert_eq!(found.answers.names[0].v4.addresses[1].grace_left_ms, Some(30_000));
    assert_eq!(
        found.to_string(),
        format!(
            "answers for 1 name, saved 30 s ago in {}",
            bench.folders.state.join("answers").display()
        )
    );
    let later = load(&bench.folders, &moment('a', 160)).answers();
    assert_eq!(later.names[0].v4.addresses.len(), 1, "its grace is over");
}

#[test]
fn a_reboot_makes_ages_lower_bounds() {
    let bench = Bench::new();
    bench.state(1, moment('a', 100_000));
    let loaded = load(&bench.folders, &moment('b', 7));
    assert_eq!(age(&loaded), Age::at_least(Duration::from_secs(3607)));
    assert!(
        loaded
            .found
            .unwrap()
            .to_string()
            .contains("saved at least 7 s ago")
    );
}

/// The wall clock is no input: the only readings are those of the boot. What is left of a jump is a reboot with a clock
/// that is years off, which changes nothing, and a clock of the boot that makes no sense.
#[test]
fn clocks_that_jump_ten_years_either_way_take_nothing_away() {
    const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;
    let bench = Bench::new();
    bench.state(1, moment('a', TEN_YEARS));
    let current = |now: &Moment| {
        let loaded = load(&bench.folders, now);
        let addresses = &loaded.answers().names[0].v4.addresses;
        assert_eq!(addresses[0].grace_left_ms, None);
        assert!(addresses[0].ttl_left_ms <= 30_000);
        age(&loaded)
    };
    let saved = Duration::from_secs(3600);
    assert_eq!(
        current(&moment('a', 2 * TEN_YEARS)),
        Age::exact(saved + Duration::from_secs(TEN_YEARS))
    );
    assert_eq!(current(&moment('a', 5)), Age::at_least(saved));
    assert_eq!(
        current(&moment('b', 5)),
        Age::at_least(saved + Duration::from_secs(5))
    );
    assert!(
        current(&moment('b', u64::MAX / 1000)).is_lower_bound,
        "and nothing overflows"
    );
}

/// A record of `a.test`, or of another name, that was made as the save of this number is.
fn record(name: &str, number: u64, moment: Moment) -> Record {
    let Save {
        number,
        moment,
        answers,
    } = one(number, moment);
    let mut names = answers.names;
    names[0].name = ServerName::parse(name).unwrap();
    Record {
        number,
        moment,
        names,
    }
}

/// Name, the last part of its address, and seconds of its age.
fn names(loaded: &Loaded) -> Vec<(String, u8, u64)> {
    let names = loaded.found.iter().flat_map(|found| &found.answers.names);
    let shown = names.map(|known| {
        let IpAddr::V4(address) = known.v4.addresses[0].address else {
            panic!("an IPv4 address was saved");
        };
        let age = Age::from(known.v4.age.unwrap()).duration.as_secs();
        (known.name.to_string(), address.octets()[3], age)
    });
    shown.collect()
}

#[test]
fn what_the_journal_has_that_is_newer_counts_on_top() {
    let bench = Bench::new();
    bench.runtime(3, moment('a', 100));
    let mut journal = Journal::begin(&bench.folders.runtime).unwrap();
    for (name, number, seconds) in [
        ("a.test", 2, 99),
        ("b.test", 3, 100),
        ("b.test", 4, 110),
        ("c.test", 5, 110),
        ("b.test", 6, 120),
    ] {
        journal
            .append(&record(name, number, moment('a', seconds)))
            .unwrap();
    }
    let now = moment('a', 150);
    let loaded = load(&bench.folders, &now);
    assert_eq!(loaded.defects, []);
    assert_eq!(loaded.number, 6);
    assert_eq!(
        names(&loaded),
        [
            ("a.test".to_owned(), 3, 3650),
            ("b.test".to_owned(), 6, 3630),
            ("c.test".to_owned(), 5, 3640)
        ]
    );
    assert_eq!(loaded.found.unwrap().age, Age::exact(Duration::from_secs(30)));

    // The other copy is newer than a part of it.
    bench.state(5, moment('a', 115));
    let loaded = load(&bench.folders, &now);
    assert_eq!(
        names(&loaded),
        [("a.test".to_owned(), 5, 3635), ("b.test".to_owned(), 6, 3630)]
    );
}

#[test]
fn a_journal_without_answers_is_no_policy() {
    let bench = Bench::new();
    bench.runtime(1, moment('a', 100));
    let mut journal = Journal::begin(&bench.folders.runtime).unwrap();
    journal.append(&record("b.test", 2, moment('a', 101))).unwrap();
    fs::remove_file(bench.folders.runtime.join("answers")).unwrap();
    let loaded = load(&bench.folders, &moment('a', 150));
    assert_eq!(loaded.found, None);
    assert_eq!(loaded.number, 2, "what is saved next is newer all the same");
}

#[test]
fn a_journal_of_another_boot_is_older_than_answers_of_this_one() {
    let bench = Bench::new();
    bench.runtime(1, moment('a', 100));
    let mut journal = Journal::begin(&bench.folders.runtime).unwrap();
    journal.append(&record("a.test", 9, moment('a', 101))).unwrap();
    let after = load(&bench.folders, &moment('b', 5));
    assert_eq!(names(&after), [("a.test".to_owned(), 9, 3605)]);
    bench.state(2, moment('b', 3));
    let after = load(&bench.folders, &moment('b', 5));
    assert_eq!(names(&after), [("a.test".to_owned(), 2, 3602)]);
}

#[test]
fn a_damaged_journal_costs_what_is_behind_the_damage_and_is_told() {
    let bench = Bench::new();
    bench.runtime(1, moment('a', 100));
    let mut journal = Journal::begin(&bench.folders.runtime).unwrap();
    for number in 2..5 {
        journal
            .append(&record("a.test", number, moment('a', 100 + number)))
            .unwrap();
    }
    let path = bench.folders.runtime.join("journal");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let loaded = load(&bench.folders, &moment('a', 150));
    assert_eq!(names(&loaded), [("a.test".to_owned(), 2, 3648)]);
    assert_eq!(
        loaded.defects,
        [Defect {
            path,
            why: ReadError::Form(FormError::Checksum)
        }]
    );
}

#[test]
fn a_defect_costs_its_copy_only_and_is_told() {
    let bench = Bench::new();
    bench.state(1, moment('a', 100));
    bench.runtime(2, moment('a', 101));
    let path = bench.folders.runtime.join("answers");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let now = moment('a', 200);
    assert_eq!(bench.found(&now).unwrap(), "state 1");
    let loaded = load(&bench.folders, &now);
    assert_eq!(
        loaded.defects,
        [Defect {
            path,
            why: ReadError::Form(FormError::Checksum)
        }]
    );
    fs::write(bench.folders.state.join("answers"), b"").unwrap();
    let loaded = load(&bench.folders, &now);
    assert_eq!(loaded.found, None);
    assert_eq!(loaded.defects.len(), 2);
}

#[test]
fn every_prefix_and_every_flipped_bit_is_refused() {
    let save = one(7, moment('a', 100));
    let good = form::encode(FORMAT, &save).unwrap();
    let read = |bytes: &[u8]| form::decode::<Save>(FORMAT, bytes);
    assert_eq!(read(&good), Ok(save));
    for length in 0..good.len() {
        assert!(read(&good[..length]).is_err(), "the first {length} bytes");
    }
    let mut bytes = good.clone();
    for place in 0..good.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            assert!(read(&bytes).is_err(), "bit {bit} of byte {place}");
            bytes[place] = good[place];
        }
    }
}

#[test]
fn a_save_with_a_name_that_is_none_is_refused_whole() {
    let text = serde_json::to_string(&one(7, moment('a', 100))).unwrap();
    for (from, to) in [
        ("\"a.test\"", "\"a..test\""),
        ("\"a.test\"", "\"198.51.100.1\""),
        ("198.51.100.7", "198.51.100.256"),
        ("\"number\":7", "\"number\":-7"),
        ("\"number\":7", "\"number\":7,\"more\":1"),
    ] {
        assert!(text.contains(from), "{text}");
        let json: Box<serde_json::value::RawValue> =
            serde_json::value::RawValue::from_string(text.replace(from, to)).unwrap();
        let bytes = form::encode(FORMAT, &json).unwrap();
        let read = form::decode::<Save>(FORMAT, &bytes);
        assert!(matches!(read, Err(FormError::Content(_))), "{to}: {read:?}");
    }
}

proptest! {
    #[test]
    fn any_save_is_read_as_it_was_written(
        number in any::<u64>(),
        since_boot_ms in any::<u64>(),
        names in proptest::collection::btree_set("[a-z]{1,10}\\.test", 0..20),
        octets in any::<[u8; 16]>(),
        times in any::<(u64, u64, u64, bool)>(),
    ) {
        let (age_ms, ttl_left_ms, grace_left_ms, is_lower_bound) = times;
        let family = |address: IpAddr| SavedFamily {
            age: Some(crate::resolve::saved::SavedAge { ms: age_ms, is_lower_bound }),
            chain: vec![DnsName::new(r"_a\.b\032c.test")],
            addresses: vec![
                SavedAddress { address, ttl_left_ms, grace_left_ms: None },
                SavedAddress { address, ttl_left_ms, grace_left_ms: Some(grace_left_ms) },
            ],
        };
        let save = Save {
            number,
            moment: Moment { boot: moment('a', 0).boot, since_boot_ms },
            answers: SavedAnswers {
                names: names
                    .iter()
                    .map(|name| SavedName {
                        name: ServerName::parse(name).unwrap(),
                        v4: family([octets[0], octets[1], octets[2], octets[3]].into()),
                        v6: family(octets.into()),
                    })
                    .collect(),
            },
        };
        let bytes = form::encode(FORMAT, &save).unwrap();
        prop_assert_eq!(form::decode::<Save>(FORMAT, &bytes).unwrap(), save);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(form::decode::<Save>(FORMAT, &bytes).is_err());
    }

    #[test]
    fn arbitrary_words_behind_a_right_line_do_not_panic(text in "[\\[\\]{}:,\"a-z0-9.-]{0,80}") {
        let mut bytes = format!("enforcer answers 2 {} {:08x}\n", text.len(), crc32fast::hash(text.as_bytes()));
        bytes.push_str(&text);
        prop_assert!(form::decode::<Save>(FORMAT, bytes.as_bytes()).is_err());
    }
}
