//! Which figures become pictures. Pure.

use crate::report::{Figure, Report, Unit, grouped};
use crate::svg::{Bar, Bars, Role};
use crate::targets::{EMPTY, ENFORCER, FLOOR};

/// A picture: of which section, and what of it.
struct Kind {
    section: u8,
    file: &'static str,
    whats: &'static [&'static str],
    title: &'static str,
    subtitle: &'static str,
    /// Nanoseconds of one mark of the scale.
    scale: f64,
}

const KINDS: [Kind; 3] = [
    Kind {
        section: 1,
        file: "bench-lookup",
        whats: &["granted, random, above the empty program"],
        title: "Program time for a random granted address, above the empty program",
        subtitle: "nanoseconds, logarithmic; the program alone",
        scale: 1.0,
    },
    Kind {
        section: 2,
        file: "bench-send",
        whats: &["one destination", "random destinations"],
        title: "What a packet costs more on the way out",
        subtitle: "nanoseconds of processor time a packet, logarithmic; UDP, one destination or random ones",
        scale: 1.0,
    },
    Kind {
        section: 3,
        file: "bench-replace",
        whats: &["from parsed data", "from text"],
        title: "Replacing a whole policy",
        subtitle: "milliseconds, logarithmic; from parsed data in memory, or from text",
        scale: 1e6,
    },
];

/// The pictures for which there are figures.
pub(crate) fn of(report: &Report) -> Vec<Bars> {
    KINDS
        .iter()
        .filter_map(|kind| {
            let size = report.largest(kind.section)?;
            let bars: Vec<Bar> = kind
                .whats
                .iter()
                .flat_map(|what| bars(report, kind, what, size))
                .collect();
            (!bars.is_empty()).then(|| Bars {
                name: kind.file,
                title: format!("{}, {} prefixes", kind.title, grouped(&size.to_string())),
                subtitle: kind.subtitle.to_owned(),
                bars,
            })
        })
        .collect()
}

/// The bars of one thing that was measured; with its name in the labels when there are several.
fn bars(report: &Report, kind: &Kind, what: &str, size: u64) -> Vec<Bar> {
    let is_shown = |figure: &&Figure| {
        figure.section == kind.section
            && figure.what == what
            && figure.size == Some(size)
            && figure.unit == Unit::Nanoseconds
            // A pair of the same has no place on this scale.
            && !figure.subject.starts_with("nothing")
    };
    report
        .figures
        .iter()
        .filter(is_shown)
        .filter_map(|figure| {
            // Less than nothing is what noise leaves of nothing.
            let value = figure.median().filter(|value| *value > 0.0)?;
            let label = match kind.whats {
                [_] => figure.subject.clone(),
                _ => format!("{}, {}", figure.subject, short(what)),
            };
            Some(Bar {
                label,
                value: value / kind.scale,
                shown: figure.unit.show(value),
                role: match figure.subject.as_str() {
                    subject if subject.starts_with(ENFORCER) => Role::Ours,
                    subject if subject.starts_with(EMPTY) || subject.starts_with(FLOOR) => Role::Floor,
                    _ => Role::Other,
                },
            })
        })
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
