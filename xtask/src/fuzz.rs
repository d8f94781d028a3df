//! `cargo xtask fuzz`: the parsers against bytes that a fuzzer makes up, starting from the corpus that is kept.
//!
//! cargo-fuzz compiles the targets; they are started without it, since it would write what it finds into the kept
//! corpus. What a run finds stays in `target/fuzz`: the next run goes on from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::machine::Machine;
use crate::shell;

/// The targets of `fuzz/fuzz_targets`, each with its share of the time and its longest input in bytes.
const TARGETS: [Target; 3] = [
    Target {
        name: "client_hello",
        share: 3,
        longest: 4096,
    },
    Target {
        name: "hello_faults",
        share: 2,
        longest: 400,
    },
    Target {
        name: "packet",
        share: 1,
        longest: 200,
    },
];

struct Target {
    name: &'static str,
    share: u32,
    longest: u32,
}

/// Runs every target, for `seconds` together.
///
/// # Errors
/// When one finds an input that breaks what must hold: the message names the file that keeps it.
pub(crate) fn run(machine: &Machine, seconds: u32) -> Result<()> {
    let folder = machine.root.join("target/fuzz");
    build(machine, &folder)?;
    let shares: u32 = TARGETS.iter().map(|target| target.share).sum();
    for target in &TARGETS {
        let seconds = (seconds * target.share / shares).max(1);
        fuzz(machine, &folder, target, seconds)?;
    }
    Ok(())
}

/// Compiles the targets with the pinned stable compiler. Without a sanitizer: the parsers have no unsafe code, and
/// without it the fuzzer tries twice as much in the same time.
fn build(machine: &Machine, folder: &Path) -> Result<()> {
    shell::run(
        Command::new(machine.tools.join("bin/cargo-fuzz"))
            .args(["fuzz", "build", "--sanitizer", "none", "--target"])
            .arg(&machine.rust_host)
            .arg("--target-dir")
            .arg(folder)
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(&machine.root),
    )
    .context(Failure::new(
        "the fuzz targets can not be compiled",
        "cargo xtask setup installs cargo-fuzz; its fuzzer needs a C++ compiler (package g++)",
    ))
}

fn fuzz(machine: &Machine, folder: &Path, target: &Target, seconds: u32) -> Result<()> {
    let program = folder.join(&machine.rust_host).join("release").join(target.name);
    let kept = machine.root.join("fuzz/corpus").join(target.name);
    let found = folder.join("corpus").join(target.name);
    let inputs = folder.join("failures").join(target.name);
    for place in [&found, &inputs] {
        fs::create_dir_all(place).with_context(|| format!("{} cannot be made", place.display()))?;
    }
    let before = files_in(&inputs)?;
    // The fuzzer writes into the first corpus only. Of hello_faults none is kept: its bytes mean something else whenever
    // a fault is added.
    let corpora = [Some(&found), Some(&kept).filter(|kept| kept.is_dir())];
    let mut command = Command::new(&program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-artifact_prefix={}/", inputs.display()))
        .args(["-timeout=5", "-print_final_stats=1", "-verbosity=0"])
        .args(corpora.into_iter().flatten())
        .stdin(Stdio::null());
    eprintln!("    $ {}", shell::show(&command));
    // It speaks on standard error only, of which the number of inputs matters when all is well.
    let output = command
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let tried = words
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .with_context(|| format!("{} does not tell what it did", program.display()))?;
        eprintln!("    {} inputs in {seconds} s", tried.trim());
        return Ok(());
    }
    eprint!("{words}");
    let mut new = files_in(&inputs)?;
    new.retain(|file| !before.contains(file));
    let hint = match new.first() {
        Some(input) => format!(
            "again with: {} {}; once it is mended, keep the input in fuzz/corpus/{}",
            program.display(),
            input.display(),
            target.name
        ),
        None => "it left no input, so it did not start or was ended from outside; its own words are above"
            .to_owned(),
    };
    Err(Failure::new(
        format!(
            "the fuzz target {} found a fault ({})",
            target.name, output.status
        ),
        hint,
    )
    .into())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("{} cannot be read", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a folder of `fuzz`, without what is behind their dots.
    fn names_in(folder: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
        let mut names: Vec<_> = files_in(&folder)
            .unwrap()
            .iter()
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_fuzz_target_is_run() {
        assert_eq!(names_in("fuzz_targets"), TARGETS.map(|target| target.name));
    }

    #[test]
    fn every_kept_corpus_is_of_a_target() {
        for name in names_in("corpus") {
            assert!(TARGETS.iter().any(|target| target.name == name), "{name}");
        }
    }
}
