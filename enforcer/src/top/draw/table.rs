//! Columns that fit.

use super::super::text::{left, right, width};

/// A column of a table.
pub(super) struct Column {
    pub(super) title: String,
    /// Whether it stands at the right of its columns.
    pub(super) is_number: bool,
    pub(super) width: usize,
}

impl Column {
    /// A number of at most `width` columns.
    pub(super) fn number(title: &str, width: usize) -> Self {
        Self {
            title: title.to_owned(),
            is_number: true,
            width,
        }
    }

    /// A text in `width` columns; with 0, in what is left.
    pub(super) fn text(title: &str, width: usize) -> Self {
        Self {
            title: title.to_owned(),
            is_number: false,
            width,
        }
    }

    /// A text that takes as much as its cells need, between its title and `most`.
    pub(super) fn fitting<'a>(title: &str, cells: impl Iterator<Item = &'a str>, most: usize) -> Self {
        let needed = cells.map(width).max().unwrap_or(0).max(width(title));
        Self::text(title, needed.min(most))
    }
}

/// The heading of a table, as [`row`] writes its rows.
pub(super) fn heading(columns: &[Column], room: usize) -> String {
    let titles: Vec<_> = columns.iter().map(|column| column.title.as_str()).collect();
    row(columns, &titles, room)
}

/// A row in at most `room` columns; a column without a width gets what is left.
pub(super) fn row(columns: &[Column], cells: &[&str], room: usize) -> String {
    let mut line = String::from("  ");
    for (column, cell) in columns.iter().zip(cells) {
        if column.width == 0 {
            line.push_str(&left(cell, room.saturating_sub(width(&line))));
            break;
        }
        line.push_str(&if column.is_number {
            right(cell, column.width)
        } else {
            left(cell, column.width)
        });
        line.push_str("  ");
    }
    left(&line, room)
}
