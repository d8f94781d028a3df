//! The vectors and the recordings: each is read as it must be, and as the other readers read it.

use std::collections::BTreeSet;

use enforcer_common::Reason;
use enforcer_common::client_hello::Parsed;
use enforcer_hellos::oracles::{self, Reading};
use enforcer_hellos::proof::{check, is_greeted, name_in, read};
use enforcer_hellos::recorded::RECORDINGS;
use enforcer_hellos::vectors::{Expected, NAME, vectors};
use enforcer_hellos::{Hello, hello};

#[test]
fn every_vector_is_read_as_it_must_be() {
    let mut faults = Vec::new();
    for vector in vectors() {
        let parsed = read(&vector.bytes);
        let name = name_in(&vector.bytes, &parsed).map(<[u8]>::to_vec);
        let is_right = match &vector.expected {
            Expected::Name(expected) | Expected::BadName(expected, _) => {
                matches!(parsed, Parsed::Whole(_)) && name.as_ref() == Some(expected)
            }
            Expected::Part(expected) => matches!(parsed, Parsed::Part { .. }) && name == *expected,
            Expected::Wrong(reason) => parsed == Parsed::Wrong(*reason),
        };
        if !is_right {
            faults.push(format!("{}: {parsed:?}, not {:?}", vector.name, vector.expected));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_vector_is_listed_twice() {
    let mut names = BTreeSet::new();
    for vector in vectors() {
        assert!(
            names.insert(vector.name.clone()),
            "{} is there twice",
            vector.name
        );
    }
}

#[test]
fn vectors_cover_every_reason_of_the_parser_and_of_names() {
    let covered: BTreeSet<Reason> = vectors()
        .into_iter()
        .filter_map(|vector| match vector.expected {
            Expected::BadName(_, reason) | Expected::Wrong(reason) => Some(reason),
            _ => None,
        })
        .collect();
    let wanted = BTreeSet::from([
        Reason::NoServerName,
        Reason::NameNotGranted,
        Reason::TwoNames,
        Reason::DuplicateExtension,
        Reason::HelloLengths,
        Reason::NameWithNul,
        Reason::NameTrailingDot,
        Reason::NameIsAddress,
        Reason::NameTooLong,
        Reason::NotTls,
        Reason::HelloInRecords,
        Reason::TooManyExtensions,
        Reason::HelloTooLong,
    ]);
    assert_eq!(covered, wanted);
}

#[test]
fn what_must_hold_for_any_bytes_holds_for_the_vectors() {
    for vector in vectors() {
        check(&vector.bytes).unwrap_or_else(|fault| panic!("{}: {fault}", vector.name));
    }
}

#[test]
fn the_beginnings_of_a_vector_that_is_wrong_are_never_whole() {
    for vector in vectors() {
        if matches!(vector.expected, Expected::Wrong(_)) {
            for cut in 0..vector.bytes.len() {
                let parsed = read(&vector.bytes[..cut]);
                assert!(
                    !matches!(parsed, Parsed::Whole(_)),
                    "{}: {parsed:?} at {cut}",
                    vector.name
                );
            }
        }
    }
}

#[test]
fn recordings_are_read_by_all_alike() {
    for (client, bytes) in RECORDINGS {
        let parsed = read(bytes);
        assert!(matches!(parsed, Parsed::Whole(_)), "{client}: {parsed:?}");
        assert_eq!(name_in(bytes, &parsed), Some(NAME.as_bytes()), "{client}");
        let expected = Reading::Names(vec![NAME.into()]);
        assert_eq!(oracles::rustls(bytes), expected, "{client}");
        assert_eq!(oracles::tls_parser(bytes), expected, "{client}");
        check(bytes).unwrap_or_else(|fault| panic!("{client}: {fault}"));
    }
}

#[test]
fn a_recording_is_built_again_from_its_fields() {
    for (client, bytes) in RECORDINGS {
        let hello = Hello::read(bytes).unwrap_or_else(|| panic!("{client} is not in order"));
        assert_eq!(hello.bytes(), *bytes, "{client}");
    }
}

#[test]
fn a_hello_cut_into_records_is_one_that_rustls_joins() {
    // What makes records a way to hide a name: a server reads it all the same.
    let bytes = hello::in_records(&Hello::asking_for(NAME).bytes(), &[40]);
    assert_eq!(oracles::rustls(&bytes), Reading::Names(vec![NAME.into()]));
    assert_eq!(read(&bytes), Parsed::Wrong(Reason::HelloInRecords));
}

#[test]
fn what_clients_send_in_one_segment_is_read_in_the_fewest_steps() {
    assert!(is_greeted(&Hello::asking_for(NAME).bytes()));
    for (client, bytes) in RECORDINGS {
        assert!(is_greeted(bytes), "{client}");
    }
}
