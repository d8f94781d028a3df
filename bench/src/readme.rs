//! The figures in README.md, between two markers, and the graphs in docs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::graphs;
use crate::report::{Figure, Report, grouped};
use crate::table::verdict;

const BEGIN: &str = "<!-- bench: made by `cargo xtask bench --readme`, do not edit -->";
const END: &str = "<!-- bench: end -->";
/// The sections whose figures are shown, with what stands above them.
const SECTIONS: [(u8, &str); 4] = [
    (1, "Time of the program"),
    (2, "Send path, added time a packet"),
    (3, "Replacing a whole policy"),
    (4, "One name's addresses change"),
];

/// Writes the figures of `report` into the checkout at `root`.
///
/// # Errors
/// When a file can not be written, README.md has no markers, or the run was not whole: half of the figures of one machine
/// and half of another's can not be compared.
pub(crate) fn write(report: &Report, root: &Path) -> anyhow::Result<()> {
    ensure!(
        report.failures.is_empty(),
        "README.md stays as it is: not every section gave its figures"
    );
    let path = root.join("README.md");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = between(&text, &markdown(report))
        .with_context(|| format!("{} has no markers `{BEGIN}` and `{END}`", path.display()))?;
    for graph in graphs::of(report) {
        let file = root.join("docs").join(graph.file_name());
        std::fs::write(&file, graph.svg())
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// `text` with `part` between the markers; `None` without them.
fn between(text: &str, part: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", part.trim()))
}

/// What stands between the markers.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = String::new();
    for graph in graphs::of(report) {
        let _ = writeln!(
            out,
            "![{}](docs/{})\n",
            graph.words().replace(['[', ']'], ""),
            graph.file_name()
        );
    }
    out.push_str("| target | wanted | reached | |\n| --- | --- | --- | --- |\n");
    for target in &report.targets {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            target.what,
            target.wanted,
            target.shown,
            verdict(target.met)
        );
    }
    for (section, title) in SECTIONS {
        let largest = report.largest(section);
        let figures: Vec<&Figure> = report
            .figures
            .iter()
            .filter(|figure| figure.section == section && (figure.size.is_none() || figure.size == largest))
            .collect();
        if figures.is_empty() {
            continue;
        }
        let size = largest.map_or_else(String::new, |size| {
            format!(", {} entries", grouped(&size.to_string()))
        });
        let _ = writeln!(
            out,
            "\n**{title}{size}**\n\n| what | whose | median | p99 |\n| --- | --- | --- | --- |"
        );
        for figure in figures {
            let show = |at| {
                crate::statistics::quantile(&figure.samples, at)
                    .map_or_else(String::new, |value| figure.unit.show(value))
            };
            let p99 = if figure.samples.len() >= 100 {
                show(0.99)
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {p99} |",
                figure.what,
                figure.subject,
                show(0.5)
            );
        }
    }
    let _ = writeln!(out, "\nMeasured on: {}.", report.machine.line());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let new = between(&text, "new").unwrap();
        assert_eq!(new, format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert_eq!(between(&new, "new").unwrap(), new);
        assert_eq!(between("no markers", "new"), None);
    }

    #[test]
    fn half_a_run_is_not_written() {
        let mut report = Report::default();
        report.failures.push("the send path: no root".to_owned());
        assert!(
            write(&report, Path::new("/nonexistent"))
                .unwrap_err()
                .to_string()
                .contains("stays")
        );
    }
}
