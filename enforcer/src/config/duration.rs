//! Durations as people write them: `30s`, `10m`, `1h 30m`.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::fmt::friendly::{Designator, SpanParser, SpanPrinter};

use super::document::Section;
use super::problem::quote;
use super::report::Report;

static PARSER: SpanParser = SpanParser::new();
static PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact);

/// Reads `30s`, `10m`, `1h 30m`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    PARSER.parse_unsigned_duration(text).ok()
}

/// The duration under `key`, if it lies in `range`.
pub(super) fn read(
    section: &Section<'_>,
    key: &str,
    range: RangeInclusive<Duration>,
    report: &mut Report,
) -> Option<Duration> {
    let text = section.text(key, "\"30s\"", report)?;
    let Ok(duration) = PARSER.parse_unsigned_duration(text.value) else {
        let problem = report.error(&text.span, format!("{} is no duration", quote(text.value)));
        report.push(problem.hint("a number and its unit: `\"500ms\"`, `\"30s\"`, `\"10m\"`, `\"1h\"`"));
        return None;
    };
    if !range.contains(&duration) {
        let problem = report.error(
            &text.span,
            format!("{} is out of range for `{key}`", quote(text.value)),
        );
        report.push(problem.hint(format!(
            "`{key}` takes {} to {}",
            show(*range.start()),
            show(*range.end())
        )));
        return None;
    }
    Some(duration)
}

/// A duration as [`read`] reads it.
pub(super) fn show(duration: Duration) -> String {
    PRINTER.unsigned_duration_to_string(&duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read() {
        for millis in [0, 100, 3_000, 90_000, 3_600_000, 604_800_000] {
            let duration = Duration::from_millis(millis);
            let text = show(duration);
            assert_eq!(PARSER.parse_unsigned_duration(&text).unwrap(), duration, "{text}");
        }
    }
}
