//! The table kernel by row, and below it what went wrong.

use std::fmt::Write as _;

use super::Row;
use super::console::Found;

const HEADS: [&str; 5] = ["kernel", "loaded", "instructions verified", "vectors", "lab"];

/// Bytes of a program's name that the kernel keeps (`BPF_OBJ_NAME_LEN` without the NUL).
const NAME_BYTES: usize = 15;

/// The table and its notes.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::from("\n");
    for line in &lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        push(&mut text, padded.join("  ").trim_end());
    }
    for row in rows {
        details(&mut text, row);
    }
    text
}

fn push(text: &mut String, line: &str) {
    // Writing into a string does not fail.
    let _written = writeln!(text, "  {line}");
}

fn cells(row: &Row) -> [String; HEADS.len()] {
    let found = &row.found;
    let part = |part: Option<(u32, u32)>| match part {
        Some((good, all)) if good == all => format!("all {all}"),
        Some((good, all)) => format!("{good} OF {all}"),
        None => "NOT RUN".to_owned(),
    };
    [
        row.release.clone(),
        if found.loaded { "yes" } else { "NO" }.to_owned(),
        instructions(found),
        part(found.vectors),
        part(found.lab),
    ]
}

/// The sum and the largest, against the million that is the verifier's limit.
fn instructions(found: &Found) -> String {
    if !found.loaded {
        return "-".to_owned();
    }
    let told: Option<Vec<(u32, &str)>> = found
        .programs
        .iter()
        .map(|(name, count)| Some(((*count)?, name.as_str())))
        .collect();
    match told {
        Some(counts) => match counts.iter().max() {
            Some((most, name)) => {
                let sum: u32 = counts.iter().map(|(count, _)| count).sum();
                // What is as long as the kernel's limit was cut there.
                let cut = if name.len() == NAME_BYTES { "…" } else { "" };
                format!(
                    "{} in all, most {} in {name}{cut}",
                    thousands(sum),
                    thousands(*most)
                )
            }
            None => "no program is told".to_owned(),
        },
        // Since Linux 5.16.
        None => format!("of {} programs, not told by this kernel", found.programs.len()),
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
                    "@vm program a 1234567",
                    "@vm program b 10",
                    "@vm vectors 43 43",
                    "@vm lab 5 6",
                    "@vm end",
                ],
            ),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "  kernel  loaded  instructions verified                  vectors  lab"
        );
        assert_eq!(
            lines[2],
            "  5.10.0  NO      -                                      NOT RUN  NOT RUN"
        );
        assert_eq!(
            lines[3],
            "  7.3.4   yes     1,234,577 in all, most 1,234,567 in a  all 43   5 OF 6"
        );
        assert_eq!(lines[4], "  FAILED: 5.10.0: the kernel refused");
        assert!(lines[5].contains("panicked"), "{text}");
        assert!(lines[6].contains("Kernel panic"), "{text}");
    }

    #[test]
    fn a_name_that_the_kernel_cut_is_shown_to_be_cut() {
        let text = table(&[row("7.3", &["@vm loaded", "@vm program enforcer_connec 5"])]);
        assert!(text.contains("most 5 in enforcer_connec…  NOT RUN"), "{text}");
    }

    #[test]
    fn a_kernel_that_does_not_tell_is_said_to() {
        let text = table(&[row("5.10.0", &["@vm loaded", "@vm program a -"])]);
        assert!(text.contains("of 1 programs, not told by this kernel"), "{text}");
    }
}
