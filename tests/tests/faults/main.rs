//! The fault table: each row under load, and a line of counts for each. Needs root.
//!
//! Without arguments at a size that ends within minutes; `cargo xtask soak` gives larger ones. A word selects the rows
//! whose key it is part of.

mod control;
mod report;
mod rows;
mod stage;

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use enforcer_lab::faults::FAULTS;

use report::Line;
use rows::ROWS;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) kills: u64,
    pub(crate) upgrades: u64,
    pub(crate) reloads: u64,
    /// What chance begins with, so that a run can be had again.
    pub(crate) seed: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            kills: 25,
            upgrades: 12,
            reloads: 12,
            seed: 4,
        }
    }
}

/// What a row shares with whoever prints its line, also when it panics.
pub(crate) type Shared = Rc<RefCell<Line>>;

/// Does a row; it holds unless this panics.
pub(crate) type Work = fn(&Sizes, &Shared);

fn main() -> ExitCode {
    let (sizes, words) = match arguments() {
        Ok(arguments) => arguments,
        Err(word) => {
            eprintln!(
                "error: {word}\nhint: faults [--kills N] [--upgrades N] [--reloads N] [--seed N] [ROW...]; the rows are {}",
                rows().map(|(key, ..)| key).collect::<Vec<_>>().join(" ")
            );
            return ExitCode::from(2);
        }
    };
    let chosen =
        rows().filter(|(key, ..)| words.is_empty() || words.iter().any(|word| key.contains(word.as_str())));
    println!("{}", report::head());
    let mut lines = Vec::new();
    for (key, title, work) in chosen {
        let line = run(key, title, work, &sizes);
        println!("{line}");
        lines.push(line);
    }
    match report::write(sizes.seed, &lines) {
        Ok(path) => println!("seed {}; {}", sizes.seed, path.display()),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    if lines.iter().any(|line| line.problem.is_some()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The instrument first, then the table.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, Work)> {
    let faults = FAULTS.iter().map(|fault| {
        let row = ROWS.iter().find(|(key, _)| *key == fault.key);
        let (_, work) = row.unwrap_or_else(|| panic!("the row `{}` has no test", fault.key));
        (fault.key, fault.title, *work)
    });
    control::ROWS.into_iter().chain(faults)
}

fn run(key: &'static str, title: &'static str, work: Work, sizes: &Sizes) -> Line {
    let shared = Shared::default();
    let begin = Instant::now();
    // Its words go to standard error; the line has them as well.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(sizes, &shared)));
    let mut line = shared.take();
    line.key = key;
    line.title = title;
    line.took = begin.elapsed();
    if let Err(panic) = outcome {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
        line.problem = Some(words.unwrap_or_else(|| "it panicked without a word".to_owned()));
    }
    line
}

/// Sizes and words; what cargo gives to every test program is let be.
fn arguments() -> Result<(Sizes, Vec<String>), String> {
    let (mut sizes, mut words) = (Sizes::default(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |place: &mut u64| {
            let value = arguments.next().ok_or(format!("{argument} wants a number"))?;
            *place = value.parse().map_err(|_| format!("`{value}` is not a number"))?;
            Ok::<_, String>(())
        };
        match argument.as_str() {
            "--kills" => number(&mut sizes.kills)?,
            "--upgrades" => number(&mut sizes.upgrades)?,
            "--reloads" => number(&mut sizes.reloads)?,
            "--seed" => number(&mut sizes.seed)?,
            "--nocapture" | "--no-capture" | "--quiet" | "-q" => {}
            other if other.starts_with('-') => return Err(format!("`{other}` is not known")),
            _ => words.push(argument),
        }
    }
    Ok((sizes, words))
}
