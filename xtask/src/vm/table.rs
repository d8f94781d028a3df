//! The tables kernel by row, and below them what went wrong.

use std::fmt::Write as _;

use super::Row;
use super::console::Found;

const HEADS: [&str; 6] = [
    "kernel",
    "loaded",
    "vectors",
    "lab",
    "lookups in changing policies",
    "denied sessions",
];

/// The tables and their notes.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from("\n");
    let mut lines = vec![HEADS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(cells));
    grid(&mut text, &lines);
    text.push('\n');
    grid(&mut text, &instructions(rows));
    for row in rows {
        details(&mut text, row);
    }
    text
}

/// Writes lines of cells, each column as wide as it must be.
fn grid(text: &mut String, lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |line: &Vec<String>, column: usize| line.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let lengths = lines.iter().map(|line| cell(line, column).chars().count());
            lengths.max().unwrap_or(0)
        })
        .collect();
    for line in lines {
        let padded: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, &width)| format!("{:<width$}", cell(line, column)))
            .collect();
        push(text, padded.join("  ").trim_end());
    }
}

fn push(text: &mut String, line: &str) {
    // Writing into a string does not fail.
    let _written = writeln!(text, "  {line}");
}

fn cells(row: &Row) -> Vec<String> {
    let found = &row.found;
    let part = |part: Option<(u32, u32)>| match part {
        Some((good, all)) if good == all => format!("all {all}"),
        Some((good, all)) => format!("{good} OF {all}"),
        None => "NOT RUN".to_owned(),
    };
    vec![
        row.release.clone(),
        if found.loaded { "yes" } else { "NO" }.to_owned(),
        part(found.vectors),
        part(found.lab),
        match found.hammer {
            Some((lookups, processors)) => format!("{lookups} on {processors} CPU"),
            None => "NOT RUN".to_owned(),
        },
        match found.ended_ms {
            Some(took) => format!("end within {took} ms"),
            None => "DO NOT END".to_owned(),
        },
    ]
}

/// Each program's, against the million that is the verifier's limit.
fn instructions(rows: &[Row]) -> Vec<Vec<String>> {
    let mut programs: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.found.programs) {
        if !programs.contains(&name.as_str()) {
            programs.push(name);
        }
    }
    let mut lines = vec![vec!["instructions verified".to_owned()]];
    lines[0].extend(programs.iter().map(|&name| name.to_owned()));
    for row in rows {
        let mut line = vec![row.release.clone()];
        line.extend(programs.iter().map(|name| count_of(&row.found, name)));
        lines.push(line);
    }
    lines
}

fn count_of(found: &Found, program: &str) -> String {
    match found.programs.iter().find(|(name, _)| name == program) {
        Some((_, Some(count))) => thousands(*count),
        // Since Linux 5.16 a kernel tells.
        Some((_, None)) => "untold".to_owned(),
        None => "-".to_owned(),
    }
}

fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn details(text: &mut String, row: &Row) {
    let found = &row.found;
    for note in &found.notes {
        push(text, &format!("note: {}: {note}", row.release));
    }
    for failure in &found.failures {
        push(text, &format!("FAILED: {}: {failure}", row.release));
    }
    if !found.ended {
        let how = if found.panicked {
            "panicked"
        } else {
            "did not come to its end"
        };
        push(
            text,
            &format!("FAILED: {} {how}; the last lines of its console:", row.release),
        );
        for line in found.last_lines() {
            push(text, &format!("    {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(release: &str, lines: &[&str]) -> Row {
        let mut found = Found::default();
        lines.iter().for_each(|line| found.read(line));
        Row {
            release: release.to_owned(),
            found,
        }
    }

    #[test]
    fn the_table_says_what_is_good_and_what_is_not() {
        let text = table(&[
            row(
                "5.10.0",
                &["@vm failed the kernel refused", "Kernel panic - not syncing"],
            ),
            row(
                "7.3.4",
                &[
                    "@vm loaded",
                    "@vm program egress 1234567",
                    "@vm program judge 10",
                    "@vm vectors 43 43",
                    "@vm lab 5 6",
                    "@vm hammer 80000 1",
                    "@vm ended 31",
                    "@vm end",
                ],
            ),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            "",
            "  kernel  loaded  vectors  lab      lookups in changing policies  denied sessions",
            "  5.10.0  NO      NOT RUN  NOT RUN  NOT RUN                       DO NOT END",
            "  7.3.4   yes     all 43   5 OF 6   80000 on 1 CPU                end within 31 ms",
            "",
            "  instructions verified  egress     judge",
            "  5.10.0                 -          -",
            "  7.3.4                  1,234,567  10",
            "  FAILED: 5.10.0: the kernel refused",
        ];
        assert_eq!(lines[..expected.len()], expected, "{text}");
        assert!(lines[expected.len()].contains("panicked"), "{text}");
        assert!(lines[expected.len() + 1].contains("Kernel panic"), "{text}");
    }

    #[test]
    fn a_kernel_that_does_not_tell_is_said_to() {
        let text = table(&[row("5.10.0", &["@vm loaded", "@vm program egress -"])]);
        assert!(text.contains("5.10.0                 untold"), "{text}");
    }
}
