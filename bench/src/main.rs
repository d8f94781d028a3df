//! What the enforcer costs, beside what others cost, measured in the same run.
//!
//! `cargo xtask bench` builds and starts it. Each section is a module that adds its figures to one report; `targets` holds
//! them against what is to be reached, `growth` looks how each grows with its size, and the rest shows them.

mod change;
mod command;
mod daemon;
mod graphs;
mod growth;
mod hello;
mod helper;
mod machine;
mod names;
mod object;
mod order;
mod policy;
mod prefixes;
mod process;
mod program;
mod raw;
mod readme;
mod replace;
mod report;
mod section;
mod send;
mod sizes;
mod start;
mod statistics;
mod svg;
mod table;
mod targets;
mod throughput;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use self::report::Report;
use self::section::Section;
use self::sizes::Sizes;

/// Measures, prints a table, and writes every figure to a file.
#[derive(Parser)]
#[command(name = "enforcer-bench")]
struct Arguments {
    #[command(subcommand)]
    helper: Option<Helper>,
    /// Only this section; may be given several times
    #[arg(long, value_name = "SECTION")]
    only: Vec<Section>,
    /// Small sizes and few samples: whether everything runs, not how fast
    #[arg(long)]
    quick: bool,
    /// Where the figures go; graphs go beside it
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.json")]
    report: PathBuf,
    /// Put the figures into README.md and the graphs into docs
    #[arg(long, conflicts_with_all = ["only", "quick"])]
    readme: bool,
}

/// What the bench starts itself as, for processes of its own.
#[derive(Subcommand)]
enum Helper {
    /// Sends packets when it is told to
    #[command(hide = true)]
    Send(send::sender::Arguments),
    /// Opens connections when it is told to
    #[command(hide = true)]
    Connect,
    /// Sends until it is refused
    #[command(hide = true)]
    Knock,
    /// Holds both ends of a session, and sends when it is told to
    #[command(hide = true)]
    Session,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.helper {
        Some(Helper::Send(send)) => send::sender::run(send).map(|()| true),
        Some(Helper::Connect) => hello::client::run().map(|()| true),
        Some(Helper::Knock) => start::knock::run().map(|()| true),
        Some(Helper::Session) => throughput::session::run().map(|()| true),
        None => run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether every section gave its figures.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let begin = Instant::now();
    let sizes = Sizes::new(arguments.quick);
    let mut report = Report::new(machine::Machine::find(), arguments.quick);
    enforcer_lab::sweep();
    for &section in Section::ALL {
        if !arguments.only.is_empty() && !arguments.only.contains(&section) {
            continue;
        }
        let begin = Instant::now();
        eprintln!("{}. {} ...", section.number(), section.title());
        if let Err(error) = section.run(&mut report, &sizes) {
            tell(&error);
            report.failures.push(format!("{}: {error:#}", section.title()));
        }
        eprintln!("   {:.1} s", begin.elapsed().as_secs_f32());
    }
    report.growth = growth::of(&report.figures);
    report.targets = targets::of(&report);
    report.seconds = begin.elapsed().as_secs_f64();
    write(&report, &arguments.report)?;
    print!("{}", table::text(&report));
    println!("every figure is in {}", arguments.report.display());
    if arguments.readme {
        readme::write(&report, Path::new("."))?;
    }
    Ok(report.failures.is_empty())
}

/// Writes the figures, and beside them the graphs.
fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let text = serde_json::to_string_pretty(report).context("the report cannot be written as JSON")?;
    std::fs::write(file, text)
        .with_context(|| format!("the report cannot be written to {}", file.display()))?;
    for graph in graphs::of(report) {
        let path = folder.join(graph.file_name());
        std::fs::write(&path, graph.svg())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// An error, its causes, and what to do.
fn tell(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("hint: the bench loads programs and makes network namespaces: run it as root");
    }
}
