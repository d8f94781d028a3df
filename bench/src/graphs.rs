//! Which figures become pictures. Pure.

use crate::report::{Figure, Report, Unit};
use crate::svg::{Bar, Bars, Role};
use crate::targets::{EMPTY, ENFORCER};

/// The pictures for which there are figures.
pub(crate) fn of(report: &Report) -> Vec<Bars> {
    let sections: [(u8, &'static str, &[&str], &str, f64, &str); 3] = [
        (
            1,
            "bench-lookup",
            &["granted, random, above the empty program"],
            "Program time for a random granted address, above the empty program",
            1.0,
            "nanoseconds, logarithmic; the program alone",
        ),
        (
            2,
            "bench-send",
            &["one destination", "random destinations"],
            "What a packet costs more on the way out",
            1.0,
            "nanoseconds a packet, logarithmic; UDP, in user and kernel",
        ),
        (
            3,
            "bench-replace",
            &["from parsed data", "from text"],
            "Replacing a whole policy",
            1e6,
            "milliseconds, logarithmic",
        ),
    ];
    sections
        .into_iter()
        .filter_map(|(section, name, whats, title, unit, subtitle)| {
            let size = report.largest(section)?;
            let bars: Vec<Bar> = whats
                .iter()
                .flat_map(|what| bars(report, section, what, size, unit, whats.len() > 1))
                .collect();
            (!bars.is_empty()).then(|| Bars {
                name,
                title: format!("{title}, {} prefixes", grouped(size)),
                subtitle: subtitle.to_owned(),
                bars,
            })
        })
        .collect()
}

/// The bars of one thing that was measured; with its name in the labels when there are several.
fn bars(report: &Report, section: u8, what: &str, size: u64, unit: f64, named: bool) -> Vec<Bar> {
    let is_shown = |figure: &&Figure| {
        figure.section == section
            && figure.what == what
            && (figure.size == Some(size) || figure.subject == EMPTY)
            && figure.unit == Unit::Nanoseconds
    };
    report
        .figures
        .iter()
        .filter(is_shown)
        .filter_map(|figure| {
            // Less than nothing is what noise leaves of nothing: a pair of the same has no place on this scale.
            let value = figure.median().filter(|value| *value > 0.0)?;
            let label = if named {
                format!("{}, {}", figure.subject, short(what))
            } else {
                figure.subject.clone()
            };
            Some(Bar {
                label,
                value: value / unit,
                shown: figure.unit.show(value),
                role: match figure.subject.as_str() {
                    ENFORCER => Role::Ours,
                    EMPTY => Role::Floor,
                    _ => Role::Other,
                },
            })
        })
        .filter(|bar| !bar.label.starts_with("nothing"))
        .collect()
}

fn short(what: &str) -> &str {
    match what {
        "one destination" => "one",
        "random destinations" => "random",
        "from parsed data" => "parsed",
        "from text" => "text",
        other => other,
    }
}

/// A number with commas.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_at_the_largest_size_is_drawn() {
        let mut report = Report::default();
        assert_eq!(of(&report), []);
        for (subject, size) in [(ENFORCER, 100), (ENFORCER, 10_000), ("LPM trie", 10_000)] {
            report
                .add(Figure::new(3, "from parsed data", subject, Some(size), Unit::Nanoseconds).with([2e6]));
        }
        let graphs = of(&report);
        assert_eq!(graphs.len(), 1);
        assert_eq!(graphs[0].title, "Replacing a whole policy, 10,000 prefixes");
        let labels: Vec<_> = graphs[0].bars.iter().map(|bar| bar.label.as_str()).collect();
        assert_eq!(labels, ["enforcer, parsed", "LPM trie, parsed"]);
        assert_eq!(graphs[0].bars[0].shown, "2.00 ms");
    }
}
