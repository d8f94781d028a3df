//! What runs inside a virtual machine of `cargo xtask vm`: the programs are loaded, the vectors run, and a short lab.
//!
//! It needs nothing of the machine around it but `ip` and the enforcer. What it finds it tells on standard output, one
//! [`Line`] each; the other end is `xtask/src/vm/console.rs`.

mod ending;
mod hammered;
mod load;
mod machine;
mod network;
mod object;
mod pinned;
mod scenes;
mod verdicts;
mod visit;

use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

/// What every line of the protocol begins with; the kernel's own words stand between them.
const MARK: &str = "@vm";

/// One thing that was found.
enum Line<'a> {
    /// All programs are loaded.
    Loaded,
    /// A program, and how many instructions its verification took, where the kernel tells.
    Program(&'a str, Option<u32>),
    /// How many vectors got their verdict, and how many there are.
    Vectors(usize, usize),
    /// How many scenes of the lab went as they must, and how many there are.
    Lab(usize, usize),
    /// How many lookups saw whole policies while these changed, and how many CPUs there are.
    Hammer(u64, usize),
    /// Denied sessions are ended: their clients knew after so many milliseconds at most.
    Ended(u64),
    /// A step of the scenario with systemd: whether it went well, its name, and its figures or its error.
    Step(bool, &'a str, &'a str),
    /// This boot is done and the next may begin, once the machine has turned itself off.
    Next,
    /// The power is to be taken away, now.
    Cut,
    /// Something went wrong.
    Failed(&'a str),
    /// Something worth knowing.
    Note(&'a str),
    /// Everything was tried.
    End,
}

impl Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded => write!(out, "{MARK} loaded"),
            Self::Program(name, Some(count)) => write!(out, "{MARK} program {name} {count}"),
            Self::Program(name, None) => write!(out, "{MARK} program {name} -"),
            Self::Vectors(good, all) => write!(out, "{MARK} vectors {good} {all}"),
            Self::Lab(good, all) => write!(out, "{MARK} lab {good} {all}"),
            Self::Hammer(lookups, cpus) => write!(out, "{MARK} hammer {lookups} {cpus}"),
            Self::Ended(took_ms) => write!(out, "{MARK} ended {took_ms}"),
            Self::Step(true, name, words) => write!(out, "{MARK} passed {name}: {words}"),
            Self::Step(false, name, words) => write!(out, "{MARK} missed {name}: {words}"),
            Self::Next => write!(out, "{MARK} next"),
            Self::Cut => write!(out, "{MARK} cut"),
            Self::Failed(words) => write!(out, "{MARK} failed {words}"),
            Self::Note(words) => write!(out, "{MARK} note {words}"),
            Self::End => write!(out, "{MARK} end"),
        }
    }
}

fn tell(line: &Line<'_>) {
    println!("{line}");
}

/// Tells an error, each of its lines on one.
fn tell_failure(words: impl Display) {
    for line in words.to_string().lines().filter(|line| !line.trim().is_empty()) {
        tell(&Line::Failed(line));
    }
}

/// Runs what the arguments say:
/// - `run [MODULE ..]`: everything, as the first process of a virtual machine starts it; the modules with which sessions
///   can be ended are loaded on the way
/// - `object FILE [WORD]`: loads the programs of an object, or those with the word in their name, and shows what the
///   verifier says
/// - `machine early|serve|drive`: the parts of the scenario on a machine with systemd
/// - `visit CA NAME@ADDRESS:PORT ..`: TLS sessions, each under a server name
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", ref modules @ ..] => {
            run(modules);
            Ok(())
        }
        ["object", file] => object::load(Path::new(file), ""),
        ["object", file, word] => object::load(Path::new(file), word),
        ["machine", ref part @ ..] => machine::run(part),
        ["visit", ca, ref sessions @ ..] => visit::visit(Path::new(ca), sessions),
        _ => Err(anyhow::anyhow!(
            "usage: guest run [MODULE ..] | object FILE [WORD] | machine PART | visit CA NAME@ADDRESS:PORT .."
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything; what fails is told and does not keep the rest from being tried.
fn run(modules: &[&str]) {
    // The ring of the first test and the maps of the second do not have to fit side by side.
    match load::load() {
        Ok(mut enforcement) => {
            tell(&Line::Loaded);
            told(load::tell_programs(&enforcement));
            told(verdicts::run(&mut enforcement));
            told(hammered::run(&mut enforcement));
        }
        Err(error) => tell_failure(error),
    }
    told(pinned::run());
    told(ending::run(modules));
    told(scenes::run());
    tell(&Line::End);
}

fn told(outcome: Result<()>) {
    if let Err(error) = outcome {
        tell_failure(format_args!("{error:#}"));
    }
}
