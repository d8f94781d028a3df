use std::os::unix::fs::symlink;

use super::super::clock::tests::moment;
use super::*;
use crate::names::ServerName;
use crate::resolve::DnsName;
use crate::resolve::saved::{SavedAddress, SavedFamily};

fn record(number: u64) -> Record {
    let address = |host: u64, grace_left_ms| SavedAddress {
        address: [198, 51, 100, u8::try_from(host).unwrap()].into(),
        ttl_left_ms: 30_000,
        grace_left_ms,
    };
    Record {
        number,
        moment: moment('a', number),
        names: vec![SavedName {
            name: ServerName::parse("a.test").unwrap(),
            v4: SavedFamily {
                age: None,
                chain: vec![DnsName::new("end.test")],
                addresses: vec![address(1, None), address(number, None), address(7, Some(1000))],
            },
            v6: SavedFamily::default(),
        }],
    }
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(record).collect()
}

/// A journal of three records, as bytes, and where each ends.
fn three() -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for number in 0..3 {
        bytes.extend(form::encode(FORMAT, &record(number)).unwrap());
        ends.push(bytes.len());
    }
    (bytes, ends)
}

#[test]
fn what_was_added_is_read_in_its_order_until_it_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(folder.path()), (Vec::new(), None));
    let mut journal = Journal::begin(folder.path()).unwrap();
    assert_eq!(load(folder.path()), (Vec::new(), None));
    for number in 0..3 {
        let (bytes, ends) = three();
        let end = ends[usize::try_from(number).unwrap() + 1];
        assert_eq!(journal.append(&record(number)), Ok(Appended::Kept(end as u64)));
        assert_eq!(fs::read(folder.path().join("journal")).unwrap(), bytes[..end]);
    }
    assert_eq!(load(folder.path()), (records(0..3), None));
    let mut journal = Journal::begin(folder.path()).unwrap();
    journal.append(&record(9)).unwrap();
    assert_eq!(load(folder.path()), (records(9..10), None));
}

/// A writer that is killed leaves the beginning of what it wrote.
#[test]
fn every_beginning_is_read_up_to_its_last_whole_record() {
    let (bytes, ends) = three();
    for length in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count() as u64 - 1;
        assert_eq!(
            decode(&bytes[..length]),
            (records(0..whole), None),
            "{length} bytes"
        );
    }
}

#[test]
fn every_flipped_bit_costs_its_record_and_those_behind_it_and_no_other() {
    let (good, ends) = three();
    let mut bytes = good.clone();
    for place in 0..good.len() {
        let whole = ends.iter().filter(|end| **end <= place).count() as u64 - 1;
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            let (read, _) = decode(&bytes);
            assert_eq!(read, records(0..whole), "bit {bit} of byte {place}");
            bytes[place] = good[place];
        }
    }
}

#[test]
fn what_is_no_journal_is_told() {
    let (good, _) = three();
    let other = form::encode(Format { version: 2, ..FORMAT }, &record(0)).unwrap();
    for (bytes, why) in [
        (vec![0; 200], FormError::NoHeader),
        (b"enforcer\n".to_vec(), FormError::NoHeader),
        (
            other,
            FormError::OtherVersion {
                found: 2,
                expected: 1,
            },
        ),
    ] {
        assert_eq!(decode(&bytes), (Vec::new(), Some(why.clone())));
        assert_eq!(decode(&[&good[..], &bytes].concat()), (records(0..3), Some(why)));
    }
}

#[test]
fn a_journal_that_was_taken_away_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::begin(folder.path()).unwrap();
    journal.append(&record(0)).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(journal.append(&record(1)), Ok(Appended::Over));
    fs::write(&path, "").unwrap();
    assert_eq!(journal.append(&record(2)), Ok(Appended::Over));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn nothing_is_written_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    fs::write(folder.path().join("other"), "mine").unwrap();
    symlink("other", &path).unwrap();
    assert!(Journal::begin(folder.path()).is_err());
    assert_eq!(fs::read(folder.path().join("other")).unwrap(), b"mine");
    let (found, defect) = load(folder.path());
    assert_eq!((found, defect.unwrap().why), (Vec::new(), ReadError::Symlink));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(Journal::begin(folder.path()).is_err());
}

#[test]
fn a_record_that_has_no_room_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(folder.path()).unwrap();
    journal.append(&record(0)).unwrap();
    let mut large = record(1);
    large.names[0].v4.chain = vec![DnsName::new(&"x".repeat(FILE_BYTES_MAX - 600))];
    assert_eq!(journal.append(&large), Ok(Appended::Over));
    assert_eq!(load(folder.path()), (records(0..1), None));
}
