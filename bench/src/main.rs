//! What the enforcer costs, beside what others cost, measured in the same run.
//!
//! `cargo xtask bench` builds and starts it. Each section is a module that adds its figures to one report.

mod program;
mod report;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use self::report::Report;

/// Measures, prints a table, and writes every figure to a file.
#[derive(Parser)]
#[command(name = "enforcer-bench")]
struct Arguments {
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.json")]
    report: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    program::run(&mut report, &[100, 10_000, 100_000])?;
    let text = serde_json::to_string_pretty(&report).context("the report can not be written as JSON")?;
    std::fs::write(&arguments.report, text)
        .with_context(|| format!("the report can not be written to {}", arguments.report.display()))
}
