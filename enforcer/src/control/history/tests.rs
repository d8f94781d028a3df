use super::super::model::{Owner, Verdict};
use super::*;

/// An event of curl to `destination`.
pub(in super::super) fn event(destination: &str) -> Event {
    Event {
        number: 0,
        time: "2026-01-31T12:00:00.000Z".into(),
        verdict: Verdict::Denied,
        reason: Some("address-not-granted".into()),
        explanation: Some("no rule of the policy grants this address".into()),
        hook: "connect".into(),
        protocol: "tcp".into(),
        source: None,
        destination: Some(destination.parse().unwrap()),
        name: None,
        refused: None,
        server_name: None,
        rule: None,
        rule_at: None,
        pid: Some(812),
        process: "curl".into(),
        cgroup_id: 1,
        owner: Owner::default(),
    }
}

/// The moment `seconds` after the start.
pub(in super::super) fn at(seconds: u64) -> Moment {
    Moment {
        monotonic: Duration::from_secs(1000 + seconds),
        wall: Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
    }
}

const GRANTED: Shares = Shares {
    denied: false,
    granted: true,
};
const DENIED: Shares = Shares {
    denied: true,
    granted: false,
};

fn granted() -> Event {
    Event {
        verdict: Verdict::Allowed,
        reason: None,
        ..event("192.0.2.9:443")
    }
}

fn filled(count: u64) -> History {
    let history = History::new((8, BYTES_MAX), (8, BYTES_MAX));
    for seconds in 0..count {
        history.push(at(seconds), event("192.0.2.1:443"));
    }
    history
}

fn after(history: &History, number: u64) -> Place {
    let since = Some(Since::After(number));
    history.begin(since, at(0), Shares::ALL).0
}

fn numbers(batch: &Batch) -> Vec<u64> {
    let number = |entry: &Arc<Entry>| match &**entry {
        Entry::Event(event) => event.number,
        Entry::Suppressed(suppressed) => suppressed.number,
        Entry::Missed(_) => 0,
    };
    batch.entries.iter().map(number).collect()
}

#[test]
fn entries_are_numbered_and_read_in_pieces() {
    let history = filled(4);
    history.push(at(4), granted());
    history.push_suppressed(at(9), "not-tls", 17);
    let batch = history.read(Place::default(), 4, Shares::ALL);
    assert_eq!(
        (numbers(&batch), batch.last, batch.missed),
        (vec![1, 2, 3, 4], 4, None)
    );
    let batch = history.read(batch.next, 4, Shares::ALL);
    assert_eq!((numbers(&batch), batch.last), (vec![5, 6], 6));
    assert!(history.read(batch.next, 4, Shares::ALL).entries.is_empty());
    assert_eq!(*history.newest().borrow(), 6);
    assert_eq!(numbers(&history.read(after(&history, 3), 9, DENIED)), [4, 6]);
    assert_eq!(numbers(&history.read(after(&history, 3), 9, GRANTED)), [5]);
}

#[test]
fn a_slow_reader_is_told_what_went_by() {
    let history = filled(5);
    let place = after(&history, 2);
    for seconds in 5..20 {
        history.push(at(seconds), event("192.0.2.1:443"));
    }
    for place in [place, after(&history, 2)] {
        let batch = history.read(place, 2, Shares::ALL);
        let missed = batch.missed.unwrap();
        assert_eq!((missed.count, missed.why), (10, WhyMissed::SlowReader));
        assert_eq!(numbers(&batch), [13, 14]);
    }
    let expect = Kept {
        entries: 8,
        forgotten: 12,
        ..Kept::default()
    };
    assert_eq!(history.kept(), expect);
}

#[test]
fn granted_connections_never_take_the_place_of_a_denial() {
    let history = filled(3);
    let place = after(&history, 1);
    for seconds in 3..10_000 {
        history.push(at(seconds), granted());
        history.push_suppressed_granted(at(seconds), 1);
    }
    let batch = history.read(place, 9, DENIED);
    assert_eq!((numbers(&batch), batch.missed), (vec![2, 3], None));
    let batch = history.read(place, 9, GRANTED);
    let went_by = 2 * (10_000 - 3) - 8;
    assert_eq!(batch.missed.unwrap().count, went_by);
    assert_eq!(batch.entries.len(), 8);
    let kept = history.kept();
    assert_eq!((kept.entries, kept.forgotten), (3, 0));
    assert_eq!((kept.granted_entries, kept.granted_forgotten), (8, went_by));
    let hour = Some("1h".parse().unwrap());
    assert_eq!(history.begin(hour, at(20), DENIED).1, None);
    assert!(history.begin(hour, at(20), GRANTED).1.is_some());
}

#[test]
fn the_past_begins_where_somebody_wants_it_to() {
    let history = filled(20);
    let begin = |since: &str| {
        let (place, missed) = history.begin(Some(since.parse().unwrap()), at(20), Shares::ALL);
        let batch = history.read(place, 1, Shares::ALL);
        (numbers(&batch).first().copied(), missed)
    };
    let (place, missed) = history.begin(None, at(20), Shares::ALL);
    assert_eq!(numbers(&history.read(place, 1, Shares::ALL)), [13]);
    assert_eq!(missed, None);
    assert_eq!(begin("3s"), (Some(18), None));
    assert_eq!(begin("0s"), (None, None));
    assert_eq!(begin("#15"), (Some(16), None));
    assert_eq!(begin("#99"), (None, None));
    assert_eq!(begin("2023-11-14T22:13:35Z"), (Some(16), None));
    let forgotten = Missed {
        count: 12,
        why: WhyMissed::Forgotten,
    };
    assert_eq!(begin("1h"), (Some(13), Some(forgotten)));
    assert_eq!(begin("2020-01-01T00:00:00Z"), (Some(13), Some(forgotten)));
    // What never was is not missed.
    let hour = || Some("1h".parse().unwrap());
    assert_eq!(filled(3).begin(hour(), at(20), Shares::ALL).1, None);
    assert_eq!(History::default().begin(hour(), at(20), Shares::ALL).1, None);
}

#[test]
fn bytes_are_bounded_as_well() {
    let history = History::new((ENTRIES_MAX, 64 << 10), (1, 1));
    for seconds in 0..1000 {
        let mut event = event("192.0.2.1:443");
        event.server_name = Some("x".repeat(4096));
        history.push(at(seconds), event);
    }
    let kept = history.kept();
    assert!((10..=16).contains(&kept.entries), "{kept:?}");
    assert_eq!(kept.entries + kept.forgotten, 1000);
    // One that is too large alone is not kept, and nothing else goes wrong.
    let mut huge = event("192.0.2.1:443");
    huge.server_name = Some("x".repeat(1 << 20));
    history.push(at(1000), huge);
    assert_eq!(history.kept().entries, 0);
    let batch = history.read(Place::default(), 8, Shares::ALL);
    assert_eq!(batch.missed.unwrap().count, 1001);
}

#[test]
fn the_time_of_day_is_reckoned_from_that_since_boot() {
    let moment = at(10).back_to(at(4).monotonic);
    assert_eq!(moment, at(4));
    assert_eq!(moment.text(), "2023-11-14T22:13:24.000Z");
    assert_eq!(at(10).back_to(at(11).monotonic).wall, at(10).wall);
}
