//! What lies over the panes when it is asked for: help, warnings, the selected row in full.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::model::{Model, Overlay};
use super::super::text::{left, shown, wrapped};
use super::{BOLD, Pen, REVERSED, details, split_off};
use crate::control::history::Moment;

/// A key, and what it does.
const HELP: &[(&str, &str)] = &[
    ("p n r u c", "denials by process, name, reason, unit, container"),
    ("Tab, Shift-Tab", "the next, the previous of these"),
    ("1 2 3, Left Right", "work in denials, names, events"),
    ("z", "give the pane all the room, and back"),
    (
        "Up Down j k",
        "choose a row; above the first one new rows come in",
    ),
    (
        "PgUp PgDn Home End",
        "ten rows on or back, to the first, to the last",
    ),
    ("Enter", "the chosen row in full, and what explains it"),
    ("s S", "sort by something else; the other way round"),
    ("/", "show only rows with a text; Esc clears it"),
    (
        "Space",
        "let the picture stand still; what happens is counted all the same",
    ),
    ("w", "all warnings"),
    ("? h", "this help"),
    ("q Esc Ctrl-C", "quit"),
    ("", ""),
    (
        "DENIED",
        "denials that events told of, since the daemon remembers; the first lines count all of them",
    ),
    ("1 MIN", "those of the last minute"),
    ("NEWEST", "the newest of them"),
    ("EXPIRES", "until the first address has to be asked for again"),
    (
        "granted",
        "connections that a rule grants, as far as they are told of",
    ),
];

pub(super) fn draw(pen: &mut Pen<'_, '_>, area: Rect, model: &Model, now: Moment, overlay: Overlay) {
    let room = usize::from(area.width);
    let (heading, text) = match overlay {
        Overlay::Help => ("Keys", pairs(HELP.iter().copied(), room)),
        Overlay::Warnings => ("Warnings, the worst first", warnings(model, now, room)),
        Overlay::Details => {
            let found = details::of(model, now);
            let found = found.iter().map(|(label, words)| (*label, words.as_str()));
            ("Details", pairs(found, room))
        }
    };
    let (title, body) = split_off(area, 1);
    let title_line = left(&format!("  {heading}"), room);
    pen.line(title, &Line::from(Span::styled(title_line, REVERSED.patch(BOLD))));
    let most = text.len().saturating_sub(usize::from(body.height));
    let offset = model.view.overlay_offset.min(most);
    pen.lines(body, &text[offset..]);
}

/// Labels, and beside them what they are for. What is to be copied has its lines for itself.
fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, room: usize) -> Vec<Line<'static>> {
    const LABEL: usize = 20;
    let mut lines = Vec::new();
    for (label, words) in pairs {
        if label == details::COMMAND {
            let command = wrapped(words, room.saturating_sub(2));
            lines.extend(command.into_iter().map(|words| Line::raw(format!("  {words}"))));
            continue;
        }
        let wrapped = wrapped(words, room.saturating_sub(LABEL + 2));
        for (position, words) in wrapped.iter().enumerate() {
            let label = if position == 0 { label } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!("  {}", left(label, LABEL)), BOLD),
                Span::raw(words.clone()),
            ]));
        }
        if wrapped.is_empty() {
            lines.push(Line::default());
        }
    }
    lines
}

fn warnings(model: &Model, now: Moment, room: usize) -> Vec<Line<'static>> {
    let (data, _) = model.picture(now);
    let warnings = data.status.as_ref().map(|(_, status)| &status.warnings);
    let mut lines = Vec::new();
    for warning in warnings.into_iter().flatten() {
        for (position, words) in wrapped(&shown(&warning.text), room.saturating_sub(4))
            .into_iter()
            .enumerate()
        {
            let mark = if position == 0 { "  ! " } else { "    " };
            lines.push(Line::raw(format!("{mark}{words}")));
        }
    }
    if lines.is_empty() {
        lines.push(Line::raw("  none"));
    }
    lines
}
