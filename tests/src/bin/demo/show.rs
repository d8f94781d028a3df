//! How the demo looks. Colours go away with `NO_COLOR` and in a pipe.

use std::time::Duration;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};

use enforcer_lab::world;

use crate::Tried;
use crate::cases::{Attempt, Case, Expected};

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const PASSED: Style = AnsiColor::Green.on_default().bold();
const DENIED: Style = AnsiColor::Yellow.on_default().bold();
const WRONG: Style = AnsiColor::Red.on_default().bold();

/// What is set up, before the first case.
pub(crate) fn opening(policy: &str, took: Duration) {
    println!(
        "{STRONG}The lab{STRONG:#} stands after {}: a client and its servers in network namespaces of this",
        seconds(took)
    );
    println!("machine, with a name server, two real registries, a data endpoint and a storage account.");
    println!("\n{STRONG}The policy{STRONG:#} of the client, demo.toml:");
    for line in policy.trim().lines() {
        println!("    {line}");
    }
}

/// What is tried next.
pub(crate) fn attempt(number: usize, case: &Case) {
    println!("\n{STRONG}{number}. {}{STRONG:#}", case.title);
    println!(
        "   {FAINT}$ enforcer exec --config demo.toml -- {}{FAINT:#}",
        line(&case.attempt)
    );
}

/// What happened, why, and how long it took.
pub(crate) fn result(case: &Case, tried: &Tried, problem: Option<&str>) {
    if let Some(without) = &tried.without {
        let (style, word) = if without.success() {
            (Style::new(), "works")
        } else {
            (WRONG, "fails")
        };
        row("without it", style, word, &milliseconds(without.took.as_millis()));
    }
    let (style, word) = match (tried.with.success(), case.expected) {
        (true, _) => (PASSED, "works"),
        (false, Expected::Denied) => (DENIED, "denied"),
        (false, Expected::Works) => (WRONG, "fails"),
    };
    let first = tried
        .report
        .denials
        .iter()
        .filter_map(|denial| denial.first_ms)
        .min();
    let when = first
        .map(|first| format!(", first denial after {first} ms"))
        .unwrap_or_default();
    let took = milliseconds(u128::from(tried.report.duration_ms));
    row("enforced", style, word, &format!("{took}{when}"));
    for denial in &tried.report.denials {
        row("", FAINT, "", &denial.what);
    }
    let mut reasons: Vec<&str> = tried
        .report
        .denials
        .iter()
        .map(|denial| denial.why.as_str())
        .collect();
    reasons.dedup();
    for reason in reasons {
        row("why", Style::new(), "", reason);
    }
    if case.expected == Expected::Works {
        let from = format!("{} ({})", tried.served_from.join(", "), world::CONTOSO_DATA);
        row("layers from", Style::new(), "", &from);
    }
    if case.expected == Expected::Denied && problem.is_none() {
        row("arrived", Style::new(), "", "not one packet");
    }
    if let Some(problem) = problem {
        row("WRONG", WRONG, "", problem);
        for said in tried.with.to_string().lines() {
            row("", FAINT, "", said);
        }
    }
}

/// How it all went.
pub(crate) fn closing(good: usize, all: usize, took: Duration) {
    let style = if good == all { PASSED } else { WRONG };
    println!(
        "\n{style}{good} of {all} went as they should{style:#}, in {}. The lab is gone again.",
        seconds(took)
    );
}

/// Why nothing could be shown.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{WRONG}error:{WRONG:#} {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

fn row(label: &str, style: Style, word: &str, rest: &str) {
    if word.is_empty() {
        println!("   {label:<11} {style}{rest}{style:#}");
    } else {
        println!("   {label:<11} {style}{word:<7}{style:#} {rest}");
    }
}

/// The attempt as a person would type it.
fn line(attempt: &Attempt) -> String {
    let program = attempt.program.file_name().unwrap_or(attempt.program.as_os_str());
    // Flags that only keep a client quiet say nothing about what is tried.
    let noise = [
        "--silent",
        "--show-error",
        "--quiet",
        "--fail",
        "--insecure-policy",
        "--preserve-digests",
    ];
    let arguments = attempt
        .arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !noise.contains(argument));
    let line = std::iter::once(&*program.to_string_lossy())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ");
    line.replace(" --output /dev/null", "")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f32())
}

fn milliseconds(count: u128) -> String {
    format!("{count} ms")
}
