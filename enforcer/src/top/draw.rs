//! The model as a frame. Whatever the size of the terminal, and whatever is in the model, something sensible is drawn.

mod details;
mod header;
mod overlay;
mod pane;
mod table;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::{Model, Pane};
use super::text::{CUT, cut, wrapped};
use crate::control::history::Moment;

/// The smallest terminal in which there is something to see, in columns and rows.
const SMALLEST: (u16, u16) = (60, 12);
/// From so many columns on two panes stand beside each other.
const WIDE: u16 = 150;
/// With fewer rows there is one pane.
const STACKED: u16 = 13;

/// How things are set off. Colour never says anything that words do not.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether there are colours.
    pub has_colour: bool,
}

impl Theme {
    fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn careful(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    fn coloured(self, colour: Color) -> Style {
        if self.has_colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
const UNDERLINED: Style = Style::new().add_modifier(Modifier::UNDERLINED);

/// Draws `model` as it is at `now`.
pub fn draw(frame: &mut Frame<'_>, model: &Model, now: Moment, theme: Theme) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(frame, area);
        return;
    }
    let mut pen = Pen { frame, theme };
    let head = header::lines(model, now, theme);
    let head_rows = u16::try_from(head.len()).unwrap_or(area.height);
    let (top, below) = split_off(area, head_rows);
    let (body, foot) = split_off(below, below.height.saturating_sub(1));
    pen.lines(top, &head);
    match model.view.overlay {
        Some(overlay) => overlay::draw(&mut pen, body, model, now, overlay),
        None => panes(&mut pen, body, model, now),
    }
    let footer = footer(model);
    pen.line(foot, &footer);
}

/// Where it is drawn.
struct Pen<'a, 'b> {
    frame: &'a mut Frame<'b>,
    theme: Theme,
}

impl Pen<'_, '_> {
    /// Writes `line` into the first row of `area`; where something is missing, its last column says so.
    fn line(&mut self, area: Rect, line: &Line<'_>) {
        if area.height == 0 || area.width == 0 {
            return;
        }
        let buffer = self.frame.buffer_mut();
        buffer.set_line(area.x, area.y, line, area.width);
        if line.width() > usize::from(area.width) {
            let last = area.right() - 1;
            buffer.set_string(last, area.y, CUT, Style::new());
        }
    }

    /// As many of `lines` as there is room for.
    fn lines(&mut self, area: Rect, lines: &[Line<'_>]) {
        for (row, line) in area.rows().zip(lines) {
            self.line(row, line);
        }
    }
}

/// The first `rows` of `area`, and the rest.
fn split_off(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let first = Rect { height: rows, ..area };
    let rest = Rect {
        y: area.y + rows,
        height: area.height - rows,
        ..area
    };
    (first, rest)
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let (columns, rows) = SMALLEST;
    let sentence = format!(
        "This terminal has {} columns and {} rows; `enforcer top` needs {columns} and {rows}. Make it larger, or end \
         with q.",
        area.width, area.height
    );
    for (row, line) in area.rows().zip(wrapped(&sentence, area.width.into())) {
        frame.buffer_mut().set_string(row.x, row.y, line, Style::new());
    }
}

fn panes(pen: &mut Pen<'_, '_>, body: Rect, model: &Model, now: Moment) {
    let focused = model.view.pane;
    if model.view.is_zoomed || body.height < STACKED {
        pane::draw(pen, body, model, now, focused);
        return;
    }
    // A third each; the one that is worked in gets what is left.
    let rows = |pane: Pane, of: u16, others: u16| {
        let small = (of / 4).max(4);
        if pane == focused {
            of - others * small
        } else {
            small
        }
    };
    if body.width >= WIDE {
        let events = if focused == Pane::Events {
            body.height * 3 / 5
        } else {
            body.height * 2 / 5
        };
        let (above, below) = split_off(body, body.height - events);
        let half = body.width * 11 / 20;
        let left = Rect {
            width: half - 1,
            ..above
        };
        let right = Rect {
            x: above.x + half,
            width: above.width - half,
            ..above
        };
        pane::draw(pen, left, model, now, Pane::Denials);
        pane::draw(pen, right, model, now, Pane::Names);
        pane::draw(pen, below, model, now, Pane::Events);
        return;
    }
    let mut rest = body;
    for pane in Pane::ALL {
        let (area, below) = split_off(rest, rows(pane, body.height, 2));
        pane::draw(pen, area, model, now, pane);
        rest = below;
    }
}

fn footer(model: &Model) -> Line<'static> {
    const KEYS: &str = "q quit  ? help  Tab group  s sort  1-3 pane  Enter more  / filter  Space pause";
    let view = &model.view;
    let filter = cut(&view.filter, 40);
    if view.is_typing {
        return Line::from(vec![
            Span::styled("filter: ", BOLD),
            Span::raw(format!("{}_", view.filter)),
            Span::raw("   Enter keeps it, Esc clears it"),
        ]);
    }
    if view.overlay.is_some() {
        return Line::raw("arrows scroll   any other key closes   q quit");
    }
    if filter.is_empty() {
        return Line::raw(KEYS);
    }
    Line::from(vec![
        Span::styled(format!("filter: {filter}"), BOLD),
        Span::raw("   Esc clears it   / changes it   q quit  ? help"),
    ])
}
