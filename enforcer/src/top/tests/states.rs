//! What the model knows, and what keys do to it.

use super::super::model::{EVENTS_MAX, Overlay, Pane};
use super::super::tally::{GROUPS_MAX, Grouping};
use super::super::{Key, Model, News, Step};
use super::{at, event, json, model, status};

fn keys(model: &Model) -> Vec<(String, u64)> {
    let rows = model.denials(at(60));
    rows.into_iter().map(|row| (row.key, row.denied)).collect()
}

fn press(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        assert_eq!(model.press(at(60), Key::Char(key)), Step::Stay, "{key}");
    }
}

fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected
        .iter()
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect()
}

#[test]
fn denials_are_grouped_by_what_is_asked_for() {
    let mut model = model();
    let evil = "\u{fffd}[2Jevil\u{fffd}";
    let by_process = pairs(&[("curl", 3), ("skopeo", 1), (evil, 1), ("(untold)", 17)]);
    assert_eq!(keys(&model), by_process);
    press(&mut model, "n");
    assert_eq!(
        keys(&model),
        pairs(&[
            ("203.0.113.99:443", 3),
            ("contoso.azurecr.io", 1),
            ("fabrikam.azurecr.io", 1),
            ("(untold)", 17)
        ])
    );
    press(&mut model, "r");
    // Of those without an event the reason is known.
    assert_eq!(
        keys(&model),
        pairs(&[("address-not-granted", 21), ("name-not-granted", 1)])
    );
    press(&mut model, "u");
    assert_eq!(
        keys(&model),
        pairs(&[
            ("cron.service", 3),
            ("/a\u{fffd}b", 1),
            ("docker-4f1c.scope", 1),
            ("(untold)", 17)
        ])
    );
    press(&mut model, "c");
    assert_eq!(
        keys(&model),
        pairs(&[("no container", 4), ("docker 4f1c9dd3a0b8", 1), ("(untold)", 17)])
    );
    // In a circle, both ways.
    for grouping in Grouping::ALL {
        let _stay = model.press(at(60), Key::Tab);
        assert_eq!(model.view.grouping, grouping);
    }
    let _stay = model.press(at(60), Key::BackTab);
    assert_eq!(model.view.grouping, Grouping::Unit);
}

#[test]
fn what_is_granted_is_no_denial() {
    let model = model();
    assert!(keys(&model).iter().all(|(key, _)| key != "dockerd"));
    assert_eq!(model.events(at(60)).len(), 8);
}

#[test]
fn rows_are_sorted_by_count_minute_time_and_alphabet() {
    let mut model = Model::new("host");
    let told = [("b", 1, 5), ("a", 100, 2), ("c", 70, 3)];
    for (process, seconds, times) in told {
        for _ in 0..times {
            let entry = event(seconds, json!({ "process": process }));
            model.hear(at(100), News::Entry(entry));
        }
    }
    let order = |model: &Model| {
        let rows = model.denials(at(100));
        rows.into_iter().map(|row| row.key).collect::<String>()
    };
    let minutes: Vec<_> = model
        .denials(at(100))
        .iter()
        .map(|row| row.minute.unwrap())
        .collect();
    assert_eq!(
        minutes,
        [0, 3, 2],
        "those of more than a minute ago are not of the last minute"
    );
    assert_eq!(order(&model), "bca");
    for expected in ["cab", "acb", "abc", "bca"] {
        press(&mut model, "s");
        assert_eq!(order(&model), expected);
    }
    press(&mut model, "S");
    assert_eq!(order(&model), "acb");
}

#[test]
fn whatever_is_denied_the_memory_is_bounded_and_nothing_is_lost() {
    const MANY: u64 = 3 * GROUPS_MAX as u64;
    let mut model = Model::new("host");
    let mut hear = |process: String| {
        let entry = event(1, json!({ "process": process, "destination": null }));
        model.hear(at(2), News::Entry(entry));
    };
    for _ in 0..5 {
        hear("often".into());
    }
    for number in 0..MANY {
        hear(format!("p{number}"));
    }
    let rows = keys(&model);
    assert_eq!(rows.len(), GROUPS_MAX + 1);
    assert_eq!(rows[0], ("often".into(), 5));
    assert_eq!(
        rows.last().unwrap(),
        &("(others)".into(), MANY - (GROUPS_MAX as u64 - 1))
    );
    assert_eq!(rows.iter().map(|(_, denied)| denied).sum::<u64>(), MANY + 5);
    // Who comes last is seen, however few denials he has.
    assert!(rows.iter().any(|(key, _)| *key == format!("p{}", MANY - 1)));
    assert_eq!(model.events(at(2)).len(), EVENTS_MAX);
}

#[test]
fn the_rate_is_that_of_the_counters_over_a_few_seconds() {
    let mut model = Model::new("host");
    let hear = |model: &mut Model, seconds, total| {
        let mut status = status();
        status.denials.as_mut().unwrap().total = total;
        model.hear(at(seconds), News::Status(Box::new(status)));
    };
    let rate = |model: &Model| model.picture(at(100)).0.rate();
    assert_eq!(rate(&model), None);
    hear(&mut model, 0, 100);
    assert_eq!(rate(&model), None);
    hear(&mut model, 2, 110);
    assert_eq!(rate(&model), Some(5.0));
    // What is older does not count any more.
    hear(&mut model, 11, 110);
    hear(&mut model, 13, 114);
    assert_eq!(rate(&model), Some(2.0));
    // Somebody has detached and begun anew.
    hear(&mut model, 15, 3);
    assert_eq!(rate(&model), None);
}

#[test]
fn while_the_daemon_does_not_answer_the_last_picture_stays() {
    let mut model = model();
    model.hear(at(70), News::EventsLost("the connection was closed".into()));
    assert!(model.lost_status().is_none() && model.lost_events().is_some());
    for seconds in [71, 72, 83] {
        model.hear(
            at(seconds),
            News::StatusLost("the daemon does not run, and NOTHING IS ENFORCED".into()),
        );
    }
    let lost = model.lost_status().expect("it was told");
    assert_eq!(lost.since, at(71));
    assert!(model.lost_events().is_none(), "one complaint is enough");
    let (data, of) = model.picture(at(90));
    assert_eq!(of, at(71), "what is shown is from then");
    assert!(data.status.is_some());
    assert_eq!(keys(&model).len(), 4);
    // A new daemon, which knows nothing of before.
    model.hear(at(91), News::Status(Box::new(status())));
    model.hear(at(91), News::EventsBack);
    model.hear(at(92), News::Entry(event(92, json!({}))));
    assert!(model.lost_status().is_none() && model.lost_events().is_none());
    assert_eq!(keys(&model)[0], ("curl".into(), 4));
}

#[test]
fn a_pause_stops_the_picture_and_not_the_counting() {
    let mut model = model();
    press(&mut model, " ");
    model.hear(at(61), News::Entry(event(61, json!({}))));
    assert_eq!(keys(&model)[0].1, 3);
    assert_eq!(model.paused(), Some((at(60), 1)));
    // It can be looked at in every way.
    press(&mut model, "r");
    assert_eq!(keys(&model)[0].1, 21);
    press(&mut model, " p");
    assert_eq!(keys(&model)[0].1, 4);
    assert_eq!(model.paused(), None);
}

#[test]
fn a_filter_is_written_kept_and_cleared() {
    let mut model = model();
    press(&mut model, "/FABRIKAMq");
    let _stay = model.press(at(60), Key::Backspace);
    assert_eq!(keys(&model), pairs(&[("skopeo", 1)]));
    let _stay = model.press(at(60), Key::Enter);
    assert_eq!(model.events(at(60)).len(), 1);
    assert!(model.names(at(60)).is_empty());
    assert_eq!(model.press(at(60), Key::Esc), Step::Stay);
    assert_eq!(keys(&model).len(), 4);
    assert_eq!(model.press(at(60), Key::Esc), Step::Quit);
}

#[test]
fn the_selection_stays_with_its_row() {
    let mut model = model();
    let selected = |model: &Model| {
        let ids = model.ids(Pane::Denials, at(60));
        let row = model.view.place(Pane::Denials).row(&ids);
        row.map(|row| ids[row].clone())
    };
    assert_eq!(selected(&model), None);
    let _stay = model.press(at(60), Key::Down);
    let _stay = model.press(at(60), Key::Down);
    assert_eq!(selected(&model).unwrap(), "skopeo");
    for _ in 0..9 {
        model.hear(at(60), News::Entry(event(60, json!({ "process": "skopeo" }))));
    }
    assert_eq!(keys(&model)[0].0, "skopeo");
    assert_eq!(selected(&model).unwrap(), "skopeo");
    let _stay = model.press(at(60), Key::Up);
    assert_eq!(selected(&model), None);
    let _stay = model.press(at(60), Key::End);
    assert_eq!(selected(&model).unwrap(), "\nuntold");
    let _stay = model.press(at(60), Key::PageUp);
    let _stay = model.press(at(60), Key::PageDown);
    assert_eq!(selected(&model).unwrap(), "\nuntold");
    // Of what is gone the place stays.
    press(&mut model, "/curl");
    assert_eq!(selected(&model).unwrap(), "curl");
}

#[test]
fn stale_names_come_first() {
    let mut model = model();
    let names = |model: &Model| -> Vec<_> {
        let rows = model.names(at(60));
        rows.into_iter()
            .map(|row| (row.name, row.age_s, row.expires_s))
            .collect()
    };
    let rows = names(&model);
    assert_eq!(rows[0].0, "internal.example.com");
    assert_eq!(
        rows[1],
        (
            "contoso.eastus.data.azurecr.io".into(),
            Some((7260, true)),
            Some(20)
        )
    );
    press(&mut model, "2ss");
    assert_eq!(names(&model)[0].0, "contoso.eastus.data.azurecr.io");
    // Ages and what is left go on between two statuses.
    let later = model.names(at(75));
    assert_eq!(
        (later[0].age_s, later[0].expires_s),
        (Some((7275, true)), Some(5))
    );
}

#[test]
fn every_way_out_leads_out() {
    for keys in [&[Key::Char('q')][..], &[Key::Esc], &[Key::Interrupt]] {
        let mut model = model();
        let last = keys.iter().map(|key| model.press(at(60), *key)).last();
        assert_eq!(last, Some(Step::Quit));
    }
    let mut model = model();
    press(&mut model, "?");
    assert_eq!(model.view.overlay, Some(Overlay::Help));
    assert_eq!(model.press(at(60), Key::Esc), Step::Stay);
    assert_eq!(model.view.overlay, None);
    press(&mut model, "/q");
    assert_eq!(model.press(at(60), Key::Interrupt), Step::Quit);
}
