//! The report as text for a terminal. Pure.

use std::fmt::Write as _;

use crate::growth::{STEEP, STEEP_ON_TOP};
use crate::report::{Figure, Report, digits};
use crate::section::Section;
use crate::statistics;
use crate::targets::ENFORCER;

/// The whole of it.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "\n{}", report.machine.line());
    if report.quick {
        let _ = writeln!(out, "a smoke test: these figures say nothing about speed");
    }
    for &section in Section::ALL {
        let figures: Vec<&Figure> = report
            .figures
            .iter()
            .filter(|figure| figure.section == section.number())
            .collect();
        if figures.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}. {}\n", section.number(), section.title());
        let mut rows = vec![header(&[
            "what",
            "size",
            "whose",
            "median",
            "middle half",
            "p99",
            "to enforcer",
        ])];
        rows.extend(figures.iter().map(|figure| row(report, figure)));
        out.push_str(&aligned(&rows));
    }
    if !report.growth.is_empty() {
        let _ = writeln!(
            out,
            "\nGrowth: the exponent over size (1 is proportional), and that of what comes on top of the smallest\n"
        );
        let mut rows = vec![header(&[
            "section", "what", "whose", "sizes", "exponent", "on top", "",
        ])];
        rows.extend(report.growth.iter().map(|growth| {
            vec![
                growth.section.to_string(),
                growth.what.clone(),
                growth.subject.clone(),
                format!("{} to {}", growth.from, growth.to),
                format!("{:.2}", growth.exponent),
                growth
                    .on_top
                    .map_or_else(String::new, |exponent| format!("{exponent:.2}")),
                if growth.is_steep() {
                    format!("above {STEEP}, on top {STEEP_ON_TOP}")
                } else {
                    String::new()
                },
            ]
        }));
        out.push_str(&aligned(&rows));
    }
    let _ = writeln!(out, "\nTargets\n");
    let mut rows = vec![header(&["", "what", "wanted", "reached"])];
    rows.extend(report.targets.iter().map(|target| {
        vec![
            verdict(target.met).to_owned(),
            target.what.clone(),
            target.wanted.clone(),
            target.shown.clone(),
        ]
    }));
    out.push_str(&aligned(&rows));
    for (title, lines) in [
        ("Notes", &report.notes),
        ("Not believable, and left out", &report.doubts),
        ("Failed", &report.failures),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}\n");
            for line in lines {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    let _ = writeln!(out, "\nmeasured in {:.0} s", report.seconds);
    out
}

/// A target's outcome in a word.
pub(crate) fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "-",
    }
}

fn header(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn row(report: &Report, figure: &Figure) -> Vec<String> {
    let show = |at: f64| {
        statistics::quantile(&figure.samples, at).map_or_else(String::new, |value| figure.unit.show(value))
    };
    let several = figure.samples.len() > 1;
    vec![
        figure.what.clone(),
        figure.size.map_or_else(String::new, |size| size.to_string()),
        figure.subject.clone(),
        show(0.5),
        if several {
            format!("{} .. {}", show(0.25), show(0.75))
        } else {
            String::new()
        },
        if figure.samples.len() >= 100 {
            show(0.99)
        } else {
            String::new()
        },
        to_enforcer(report, figure).unwrap_or_default(),
    ]
}

/// How many times that of the enforcer a figure of somebody else is.
fn to_enforcer(report: &Report, figure: &Figure) -> Option<String> {
    if figure.subject == ENFORCER {
        return None;
    }
    let ours = report.median(figure.section, &figure.what, ENFORCER, figure.size)?;
    (ours > 0.0).then(|| {
        figure
            .median()
            .map(|theirs| format!("{}x", digits(theirs / ours)))
    })?
}

/// Columns as wide as their widest cell, two spaces apart.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unit;
    use crate::targets::NFT_INTERVALS;
    use crate::{growth, targets};

    #[test]
    fn a_table_shows_figures_ratios_growth_and_targets() {
        let mut report = Report::default();
        for (subject, size, value) in [
            (ENFORCER, 100, 2e3),
            (ENFORCER, 10_000, 2e5),
            (NFT_INTERVALS, 10_000, 4e7),
        ] {
            report.add(
                Figure::new(3, "from text", subject, Some(size), Unit::Nanoseconds).with([value, value]),
            );
        }
        report.growth = growth::of(&report.figures);
        report.targets = targets::of(&report);
        report.note("something to know");
        let text = text(&report);
        for part in [
            "3. ",
            "200 us",
            "40.0 ms",
            "200x",
            "100 to 10000",
            "1.00",
            "met",
            "something to know",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["a".to_owned(), "b".to_owned()],
            vec!["long".to_owned(), "c".to_owned()],
        ];
        assert_eq!(aligned(&rows), "  a     b\n  long  c\n");
    }
}
