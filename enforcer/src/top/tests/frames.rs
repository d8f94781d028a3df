//! The model as frames: golden files, and that nothing panics.

use std::path::Path;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::super::{Key, Model, News, Theme, draw};
use super::{at, event, json, model, status};
use crate::control::history::Moment;
use crate::control::model::{Entry, Missed, Suppressed, WhyMissed};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

fn frame(model: &Model, now: Moment, (columns, rows): (u16, u16), has_colour: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| draw(frame, model, now, Theme { has_colour }))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.area.rows() {
        let line: String = row
            .columns()
            .map(|cell| buffer[(cell.x, cell.y)].symbol())
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Holds the frame against `enforcer/tests/top/<name>-<columns>x<rows>.txt`. `UPDATE_GOLDEN=1` writes it anew.
fn golden(name: &str, model: &Model, now: Moment, size: (u16, u16)) -> String {
    let text = text(&frame(model, now, size, false));
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/top")
        .join(format!("{name}-{}x{}.txt", size.0, size.1));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{name} has changed; UPDATE_GOLDEN=1 writes it anew");
    text
}

fn press(model: &mut Model, keys: &[Key]) {
    for key in keys {
        let _stay = model.press(at(60), *key);
    }
}

#[test]
fn a_little_of_everything() {
    for size in SIZES {
        golden("all", &model(), at(60), size);
    }
}

#[test]
fn every_pane_can_have_the_room() {
    let mut model = model();
    press(
        &mut model,
        &[Key::Char('2'), Key::Char('z'), Key::Down, Key::Down],
    );
    for size in SIZES {
        golden("names", &model, at(60), size);
    }
    press(&mut model, &[Key::Char('3')]);
    for size in SIZES {
        golden("events", &model, at(60), size);
    }
    press(&mut model, &[Key::Char('r')]);
    golden("reasons", &model, at(60), SIZES[0]);
}

#[test]
fn what_lies_over_it() {
    let mut model = model();
    press(&mut model, &[Key::Char('?')]);
    let help = golden("help", &model, at(60), SIZES[0]);
    assert!(help.contains("Shift-Tab"));
    press(&mut model, &[Key::Esc, Key::Char('w'), Key::Down]);
    golden("warnings", &model, at(60), SIZES[0]);
    press(&mut model, &[Key::Esc, Key::Down, Key::Down, Key::Enter]);
    let details = golden("details", &model, at(60), SIZES[0]);
    assert!(details.contains("enforcer explain 198.51.100.10:443 --server-name fabrikam.azurecr.io\n"));
    press(&mut model, &[Key::Esc, Key::Char('2'), Key::Enter]);
    golden("name", &model, at(60), SIZES[0]);
}

#[test]
fn a_daemon_that_does_not_answer_a_pause_and_a_filter() {
    let mut model = model();
    let why = "the daemon does not run, its policy stays in force";
    model.hear(at(61), News::StatusLost(why.into()));
    press(&mut model, &[Key::Char(' '), Key::Char('/'), Key::Char('c')]);
    let frame = golden("lost", &model, at(73), SIZES[0]);
    assert!(frame.contains("! as it was 12 s ago: the daemon does not run, its policy stays in force"));
    golden("lost", &model, at(73), SIZES[1]);
}

#[test]
fn a_terminal_that_is_too_small_is_told() {
    let model = model();
    for size in [(59, 24), (80, 11), (20, 10), (1, 1)] {
        golden("small", &model, at(60), size);
    }
    // One more, and there is something to see.
    let frame = golden("small", &model, at(60), (60, 12));
    assert!(frame.contains("> 1 Denials by process"), "{frame}");
}

#[test]
fn nothing_at_all() {
    golden("empty", &Model::new("host"), at(0), SIZES[0]);
}

#[test]
fn without_colours_there_are_none_and_with_them_no_other_words() {
    for size in SIZES {
        let (plain, coloured) = (
            frame(&model(), at(60), size, false),
            frame(&model(), at(60), size, true),
        );
        let has_colour = |buffer: &Buffer| {
            let mut cells = buffer.content().iter();
            cells.any(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
        };
        assert!(!has_colour(&plain));
        assert!(has_colour(&coloured));
        assert_eq!(text(&plain), text(&coloured));
    }
}

#[test]
fn what_others_chose_stays_text() {
    let mut model = model();
    for key in "pnruc".chars() {
        press(&mut model, &[Key::Char(key)]);
        let text = text(&frame(&model, at(60), SIZES[1], true));
        let is_harmful =
            |character: char| character != '\n' && (character.is_control() || character == '\u{202e}');
        assert!(!text.contains(is_harmful), "{text}");
    }
}

/// Anything that may come.
#[derive(Clone, Debug)]
enum Step {
    Heard(u64, u8, String, Option<String>),
    Pressed(Key),
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        prop::char::any().prop_map(Key::Char),
        prop::sample::select("pnruc123zsS/ ?wjkgGh".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        prop::sample::select(vec![
            Key::Enter,
            Key::Esc,
            Key::Tab,
            Key::BackTab,
            Key::Backspace,
            Key::Up,
            Key::Down,
            Key::Left,
            Key::Right,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
        ]),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let heard = (any::<u64>(), 0u8..9, any::<String>(), any::<Option<String>>());
    prop_oneof![
        heard.prop_map(|(number, kind, text, other)| Step::Heard(number, kind, text, other)),
        any_key().prop_map(Step::Pressed),
    ]
}

fn hear(model: &mut Model, now: Moment, number: u64, kind: u8, text: &str, other: Option<&str>) {
    let entry = |changes| News::Entry(event(number % 1_000_000, changes));
    model.hear(
        now,
        match kind {
            0 => entry(json!({ "process": text, "server_name": other, "reason": other })),
            1 => entry(
                json!({ "time": text, "name": text, "unit": other, "cgroup": other, "destination": null }),
            ),
            2 => entry(json!({ "verdict": "allowed", "reason": null, "pid": null, "process": "" })),
            3 => News::Entry(Entry::Suppressed(Suppressed {
                number,
                time: text.to_owned(),
                reason: text.to_owned(),
                granted: false,
                count: number,
            })),
            4 => News::Entry(Entry::Missed(Missed {
                count: number,
                why: WhyMissed::Forgotten,
            })),
            5 => {
                let mut status = status();
                status.why = other.map(str::to_owned);
                status.denials.as_mut().unwrap().total = number;
                for warning in &mut status.warnings {
                    warning.text = text.to_owned();
                }
                for name in &mut status.names.as_mut().unwrap().list {
                    name.name = text.to_owned();
                    name.addresses = number;
                    name.a.age_s = Some(number);
                    name.expires_s = Some(number);
                }
                News::Status(Box::new(status))
            }
            6 => {
                let mut status = status();
                (status.names, status.policy, status.attached) = (None, None, None);
                (status.denials, status.warnings) = (None, Vec::new());
                News::Status(Box::new(status))
            }
            7 => News::StatusLost(text.to_owned()),
            _ => News::EventsLost(text.to_owned()),
        },
    );
}

proptest! {
    #[test]
    fn no_event_status_key_or_size_panics(
        steps in prop::collection::vec(any_step(), 0..40),
        columns in 0u16..210,
        rows in 0u16..60,
        seconds in 0u64..100_000,
    ) {
        let mut model = Model::new("host");
        let now = at(seconds);
        for step in &steps {
            match step {
                Step::Heard(number, kind, text, other) => {
                    hear(&mut model, now, *number, *kind, text, other.as_deref());
                }
                Step::Pressed(key) => {
                    let _step = model.press(now, *key);
                }
            }
        }
        let frame = frame(&model, at(seconds.wrapping_mul(7) % 100_000), (columns, rows), true);
        let text = text(&frame);
        prop_assert!(!text.contains(|character: char| character != '\n' && character.is_control()));
    }
}
