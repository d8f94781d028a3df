//! The panes: groups of denials, names, events.

use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::model::{DenialOrder, Model, NameOrder, Pane};
use super::super::rows::{DenialRow, EventRow, NameRow, loss, state};
use super::super::seen::Seen;
use super::super::text::{count, left};
use super::table::{Column, heading, row};
use super::{BOLD, Pen, REVERSED, UNDERLINED, split_off};
use crate::control::history::Moment;
use crate::control::model::{Freshness, Verdict};
use crate::elapsed::Elapsed;

/// With fewer columns for it, what is wrong with a name is left to its details.
const TROUBLE_MIN: usize = 12;

/// Draws one pane.
pub(super) fn draw(pen: &mut Pen<'_, '_>, area: Rect, model: &Model, now: Moment, pane: Pane) {
    let ids = model.ids(pane, now);
    let selected = model.view.place(pane).row(&ids);
    let list = List {
        title: title(model, now, pane),
        is_focused: model.view.pane == pane,
        rows: ids.len(),
        selected,
    };
    let room = usize::from(area.width);
    match pane {
        Pane::Denials => {
            let rows = model.denials(now);
            let columns = denial_columns(model, &rows, room);
            let empty = nothing(model, "nothing was denied");
            list.draw(pen, area, &columns, &empty, |number| {
                (denial(&columns, &rows[number], room), Style::new())
            });
        }
        Pane::Names => {
            let rows = model.names(now);
            let columns = name_columns(&rows, room);
            let empty = nothing(model, "no names are asked for");
            let theme = pen.theme;
            list.draw(pen, area, &columns, &empty, |number| {
                let row = &rows[number];
                let style = match row.known.state {
                    Freshness::Fresh | Freshness::Empty => Style::new(),
                    Freshness::Unasked | Freshness::Stale => theme.careful(),
                    Freshness::Failed => theme.bad(),
                };
                (name(&columns, row, room), style)
            });
        }
        Pane::Events => {
            let rows = model.events(now);
            let columns = event_columns(&rows, room);
            let empty = nothing(model, "no events yet");
            let theme = pen.theme;
            list.draw(pen, area, &columns, &empty, |number| {
                let seen = rows[number].seen;
                let style = match seen {
                    Seen::Judged(judged) => match judged.verdict {
                        Verdict::Denied => Style::new(),
                        Verdict::Allowed => theme.good(),
                        Verdict::Audit => theme.careful(),
                    },
                    Seen::Untold { .. } | Seen::Missed { .. } => BOLD,
                };
                (event(&columns, seen, room), style)
            });
        }
    }
}

fn nothing(model: &Model, words: &str) -> String {
    if model.view.filter.is_empty() {
        words.to_owned()
    } else {
        "nothing that the filter lets through".to_owned()
    }
}

/// A list with its title.
struct List {
    title: String,
    is_focused: bool,
    rows: usize,
    selected: Option<usize>,
}

impl List {
    fn draw(
        &self,
        pen: &mut Pen<'_, '_>,
        area: Rect,
        columns: &[Column],
        empty: &str,
        line: impl Fn(usize) -> (String, Style),
    ) {
        let room = usize::from(area.width);
        let (title, below) = split_off(area, 1);
        let (head, body) = split_off(below, 1);
        let height = usize::from(body.height);
        let offset = self.offset(height);
        pen.line(title, &self.title(room, offset, height));
        pen.line(head, &Line::from(Span::styled(heading(columns, room), BOLD)));
        if self.rows == 0 {
            pen.line(body, &Line::raw(format!("  {empty}")));
        }
        for (number, row) in (offset..self.rows).zip(body.rows()) {
            let (mut text, mut style) = line(number);
            if self.selected == Some(number) {
                text.replace_range(..1, ">");
                style = style.patch(REVERSED);
            }
            pen.line(row, &Line::from(Span::styled(text, style)));
        }
    }

    /// The first row that is shown: the selected one stands in the middle where it can.
    fn offset(&self, height: usize) -> usize {
        let middle = self.selected.unwrap_or(0).saturating_sub(height / 2);
        middle.min(self.rows.saturating_sub(height))
    }

    fn title(&self, room: usize, offset: usize, height: usize) -> Line<'static> {
        let mark = if self.is_focused { '>' } else { ' ' };
        let shown = match self.rows {
            rows if rows <= height => rows.to_string(),
            rows => format!("{}-{} of {rows}", offset + 1, (offset + height).min(rows)),
        };
        let style = if self.is_focused { REVERSED } else { UNDERLINED };
        let text = format!("{mark} {}: {shown}", self.title);
        Line::from(Span::styled(left(&text, room), style.patch(BOLD)))
    }
}

fn title(model: &Model, now: Moment, pane: Pane) -> String {
    let view = &model.view;
    let number = pane as usize + 1;
    let reversed = if view.is_reversed[pane as usize] {
        ", reversed"
    } else {
        ""
    };
    match pane {
        Pane::Denials => {
            let (data, _) = model.picture(now);
            let order = match view.denial_order {
                DenialOrder::Count => "most first",
                DenialOrder::Minute => "most in a minute first",
                DenialOrder::Last => "newest first",
                DenialOrder::Key => "by the alphabet",
            };
            let since = data
                .tally
                .first
                .map(|first| {
                    let time = first.to_zoned(TimeZone::UTC);
                    format!(" since {}", time.strftime("%m-%d %H:%M"))
                })
                .unwrap_or_default();
            let by = view.grouping.as_str();
            format!("{number} Denials by {by}{since} ({order}{reversed})")
        }
        Pane::Names => {
            let order = match view.name_order {
                NameOrder::State => "worst first",
                NameOrder::Name => "by the alphabet",
                NameOrder::Age => "oldest first",
                NameOrder::Expiry => "first to expire first",
                NameOrder::Addresses => "most addresses first",
            };
            format!("{number} Names ({order}{reversed})")
        }
        Pane::Events => {
            let order = if view.is_reversed[pane as usize] {
                "oldest first"
            } else {
                "newest first"
            };
            format!("{number} Events ({order})")
        }
    }
}

fn elapsed(seconds: u64) -> String {
    Elapsed(Duration::from_secs(seconds)).to_string()
}

fn denial_columns(model: &Model, rows: &[DenialRow], room: usize) -> Vec<Column> {
    let keys = rows.iter().map(|row| row.key.as_str());
    vec![
        Column::number("DENIED", 6),
        Column::number("1 MIN", 6),
        Column::number("LAST", 10),
        Column::fitting(&model.view.grouping.as_str().to_uppercase(), keys, room * 2 / 5),
        Column::text("NEWEST", 0),
    ]
}

fn denial(columns: &[Column], denied: &DenialRow, room: usize) -> String {
    let cells = [
        count(denied.denied),
        denied.minute.map_or_else(|| "-".to_owned(), count),
        denied.ago_s.map_or_else(|| "-".to_owned(), elapsed),
        denied.key.clone(),
        denied.note.clone(),
    ];
    row(columns, &cells.each_ref().map(String::as_str), room)
}

fn name_columns(rows: &[NameRow<'_>], room: usize) -> Vec<Column> {
    let names = rows.iter().map(|row| row.name.as_str());
    let mut columns = vec![
        Column::fitting("NAME", names, room * 2 / 5),
        Column::text("STATE", 7),
        Column::number("ADDR", 4),
        Column::number("AGE", 11),
        Column::number("EXPIRES", 8),
    ];
    let taken: usize = columns.iter().map(|column| column.width + 2).sum();
    if taken + TROUBLE_MIN <= room {
        columns.push(Column::text("TROUBLE", 0));
    }
    columns
}

fn name(columns: &[Column], known: &NameRow<'_>, room: usize) -> String {
    let age = known.age_s.map(|(age, is_at_least)| {
        let sign = if is_at_least { ">" } else { "" };
        format!("{sign}{}", elapsed(age))
    });
    let expiry = known.expires_s.map(|left| match left {
        0 => "expired".to_owned(),
        left => elapsed(left),
    });
    let cells = [
        known.name.clone(),
        state(known.known.state).to_owned(),
        known.known.addresses.to_string(),
        age.unwrap_or_else(|| "-".to_owned()),
        expiry.unwrap_or_else(|| "-".to_owned()),
        known.note.clone(),
    ];
    row(columns, &cells.each_ref().map(String::as_str), room)
}

fn event_columns(rows: &[EventRow<'_>], room: usize) -> Vec<Column> {
    let judged = || {
        rows.iter().filter_map(|row| match row.seen {
            Seen::Judged(judged) => Some(judged),
            Seen::Untold { .. } | Seen::Missed { .. } => None,
        })
    };
    let processes: Vec<_> = judged().map(|judged| judged.process_and_pid()).collect();
    let destinations = judged().filter_map(|judged| judged.destination.as_deref());
    let mut columns = vec![
        Column::text("TIME", 8),
        Column::text("VERDICT", 7),
        Column::fitting("PROCESS", processes.iter().map(String::as_str), room / 5),
        Column::fitting("TO", judged().map(|judged| judged.to()), room * 3 / 10),
    ];
    if is_roomy(room) {
        columns.push(Column::fitting("ADDRESS", destinations, room / 5));
    }
    let reasons = judged().map(|judged| judged.reason.as_str());
    columns.push(Column::fitting("REASON", reasons, room / 4));
    columns.push(Column::text("WHOSE", 0));
    columns
}

/// Whether there is room for addresses beside names.
fn is_roomy(room: usize) -> bool {
    room >= 110
}

fn event(columns: &[Column], seen: &Seen, room: usize) -> String {
    let time = seen
        .time()
        .to_zoned(TimeZone::UTC)
        .strftime("%H:%M:%S")
        .to_string();
    let Seen::Judged(judged) = seen else {
        let words = loss(seen).unwrap_or_default();
        return left(&format!("  {time}  {words}"), room);
    };
    let process = judged.process_and_pid();
    let mut cells = vec![time.as_str(), judged.verdict.as_str(), &process, judged.to()];
    if is_roomy(room) {
        cells.push(judged.destination.as_deref().unwrap_or("-"));
    }
    cells.extend([judged.reason.as_str(), judged.owner()]);
    row(columns, &cells, room)
}
