//! Turns what the TOML parser could not read into problems, without the noise that follows the first mistake.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use super::document::Value;
use super::report::Report;

/// Reports the syntax errors of a document, the first one of each line.
pub(super) fn push_all(document: &DeTable<'_>, mut errors: Vec<Error>, report: &mut Report) {
    errors.sort_by_key(|error| place(error).start);
    // A bracket that is never closed swallows the rest of the file, and what follows inside it is noise.
    let unclosed = errors
        .iter()
        .find(|error| error.message().starts_with("unclosed "))
        .map(|error| (opening(document, place(error).end), error.message().to_owned()));
    if let Some((Some(start), message)) = unclosed {
        errors.retain(|error| place(error).start < start);
        let what = if message.starts_with("unclosed array") {
            "array"
        } else {
            "inline table"
        };
        let problem = report.error(&(start..start + 1), format!("this {what} is never closed"));
        report.push_syntax_to_the_end(problem.hint("close it with the bracket that belongs to this one"));
    }
    for error in errors {
        let problem = report.error(&place(&error), format!("not valid TOML: {}", error.message()));
        let written = report.source().text().get(place(&error)).unwrap_or_default();
        let hint = match error.message() {
            _ if written.starts_with(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) => {
                Some("these are the quotes of a word processor: write `\"`")
            }
            message if message.starts_with("string values must be quoted") => {
                Some("put the value between double quotes")
            }
            message if message.starts_with("invalid basic string") => Some("close the string with `\"`"),
            message if message.starts_with("invalid literal string") => Some("close the string with `'`"),
            message if message.starts_with("missing comma") => Some("write a comma between the two"),
            message
                if message.starts_with("key with no value")
                    || message.starts_with("invalid unquoted key") =>
            {
                Some("a line is `KEY = VALUE`, a `[table]` or a `[[table]]`")
            }
            message if message.starts_with("invalid key-value pair") => {
                Some("a configuration is TOML, as in the examples: `KEY = VALUE`, `[table]`, `[[table]]`")
            }
            message if message.starts_with("duplicate key") => Some(
                "a key stands once in a table; `[[registry]]` and `[[allow]]`, in double brackets, may be repeated",
            ),
            _ => None,
        };
        report.push_syntax(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
}

fn place(error: &Error) -> Range<usize> {
    error.span().unwrap_or(0..0)
}

/// The start of the outermost array or inline table that ends at `end`.
fn opening(table: &DeTable<'_>, end: usize) -> Option<usize> {
    table.values().filter_map(|value| opening_in(value, end)).min()
}

fn opening_in(value: &Value<'_>, end: usize) -> Option<usize> {
    let span = value.span();
    let is_container = matches!(value.get_ref(), DeValue::Array(_) | DeValue::Table(_));
    if is_container && span.end == end && span.start < end {
        return Some(span.start);
    }
    match value.get_ref() {
        DeValue::Array(items) => items.iter().filter_map(|item| opening_in(item, end)).min(),
        DeValue::Table(table) => opening(table, end),
        _ => None,
    }
}
