//! The figures of a run: what was measured, in which unit, and every sample of it.

use serde::Serialize;

use crate::growth::Growth;
use crate::machine::Machine;
use crate::statistics;

/// Everything that a run has measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// Whether sizes and counts were those of a smoke test: the figures then say nothing about speed.
    pub(crate) quick: bool,
    /// How long the measurements took.
    pub(crate) seconds: f64,
    pub(crate) figures: Vec<Figure>,
    pub(crate) targets: Vec<Target>,
    pub(crate) growth: Vec<Growth>,
    /// What a reader has to know about the figures: what was missing, what one includes.
    pub(crate) notes: Vec<String>,
    /// Figures that were too noisy to be believed, and are not among [`Self::figures`].
    pub(crate) doubts: Vec<String>,
    /// Sections that gave no figures, and why.
    pub(crate) failures: Vec<String>,
}

/// One figure: the samples of one measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// The number of the section that measured it.
    pub(crate) section: u8,
    /// What was measured, such as `granted, hot`.
    pub(crate) what: String,
    /// Whose it is, such as `enforcer` or `LPM trie`.
    pub(crate) subject: String,
    /// Prefixes, names or entries; `None` where there is no size.
    pub(crate) size: Option<u64>,
    /// Of the samples.
    pub(crate) unit: Unit,
    /// In the order in which they were taken.
    pub(crate) samples: Vec<f64>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    Count,
    Percent,
    PerSecond,
    PerMinute,
}

/// A figure that was to be reached, as a ratio or difference within this run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    /// What it is about.
    pub(crate) what: String,
    /// What was to be reached, in words, such as `at least 400`.
    pub(crate) wanted: String,
    /// What was; `None` when this run has not measured it.
    pub(crate) reached: Option<f64>,
    /// The same in words, with its unit.
    pub(crate) shown: String,
    /// Whether that is enough; `None` when this run has not measured it.
    pub(crate) met: Option<bool>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(machine: Machine, quick: bool) -> Self {
        Self {
            machine,
            quick,
            ..Self::default()
        }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Adds a remark once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Whether to believe what was measured with programs of which the kernel has counted this many runs; says why not. While
    /// anybody has it keep statistics, it reads a clock twice a run, which takes longer than the programs.
    pub(crate) fn believes(&mut self, what: &str, counted: u64) -> bool {
        if counted > 0 {
            let doubt = format!(
                "{what}: another process had the kernel keep statistics of programs meanwhile (bpf_stats_enabled), which \
                 makes each run dearer than it is"
            );
            eprintln!("   {doubt}");
            self.doubts.push(doubt);
        }
        counted == 0
    }

    /// The median of one figure.
    pub(crate) fn median(&self, section: u8, what: &str, subject: &str, size: Option<u64>) -> Option<f64> {
        self.find(section, what, subject, size)
            .and_then(|figure| figure.median())
    }

    /// One figure.
    pub(crate) fn find(&self, section: u8, what: &str, subject: &str, size: Option<u64>) -> Option<&Figure> {
        self.figures.iter().find(|figure| {
            figure.section == section
                && figure.what == what
                && figure.subject == subject
                && figure.size == size
        })
    }

    /// The largest size of figures of a section.
    pub(crate) fn largest(&self, section: u8) -> Option<u64> {
        self.figures
            .iter()
            .filter(|figure| figure.section == section)
            .filter_map(|figure| figure.size)
            .max()
    }
}

impl Figure {
    /// A figure without samples.
    pub(crate) fn new(section: u8, what: &str, subject: &str, size: Option<u64>, unit: Unit) -> Self {
        Self {
            section,
            what: what.to_owned(),
            subject: subject.to_owned(),
            size,
            unit,
            samples: Vec::new(),
        }
    }

    /// With these samples.
    pub(crate) fn with(mut self, samples: impl IntoIterator<Item = f64>) -> Self {
        self.samples.extend(samples);
        self
    }

    /// The median of the samples.
    pub(crate) fn median(&self) -> Option<f64> {
        statistics::quantile(&self.samples, 0.5)
    }
}

impl Unit {
    /// A value as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Nanoseconds => scaled(value, 1000.0, &["ns", "us", "ms", "s"]),
            Self::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB"]),
            Self::Count => digits(value),
            Self::Percent => format!("{} %", digits(value)),
            Self::PerSecond => format!("{}/s", digits(value)),
            Self::PerMinute => format!("{}/min", digits(value)),
        }
    }
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut at = 0;
    while value.abs() >= step && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    format!("{} {}", digits(value), units.get(at).unwrap_or(&""))
}

/// Three digits that count, more only where they are whole.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The digits of a number, with commas.
pub(crate) fn grouped(digits: &str) -> String {
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
    fn values_are_shown_in_units_that_fit() {
        let shown = [
            Unit::Nanoseconds.show(31.0),
            Unit::Nanoseconds.show(-2.5),
            Unit::Nanoseconds.show(1_520_000.0),
            Unit::Nanoseconds.show(785e6),
            Unit::Nanoseconds.show(12_000e9),
            Unit::Bytes.show(4.0 * 1024.0 * 1024.0),
            Unit::Percent.show(0.0),
            Unit::PerMinute.show(12.0),
        ];
        assert_eq!(
            shown,
            [
                "31.0 ns", "-2.50 ns", "1.52 ms", "785 ms", "12000 s", "4.00 MiB", "0 %", "12.0/min"
            ]
        );
    }

    #[test]
    fn a_figure_is_found_by_what_it_is() {
        let mut report = Report::default();
        report.add(Figure::new(3, "replace", "enforcer", Some(10), Unit::Nanoseconds).with([3.0, 1.0, 2.0]));
        report.add(Figure::new(3, "replace", "nft", Some(10), Unit::Nanoseconds));
        assert_eq!(report.median(3, "replace", "enforcer", Some(10)), Some(2.0));
        assert_eq!(report.median(3, "replace", "nft", Some(10)), None);
        assert_eq!(report.median(3, "replace", "enforcer", None), None);
        assert_eq!(report.largest(3), Some(10));
    }
}
