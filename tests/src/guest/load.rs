//! Loading the programs, and what the kernel tells of them.

use anyhow::ensure;
use enforcer::kernel::{Enforcement, KernelError};

use super::{Line, tell};
use crate::vectors::PORTS;

/// Lines of the verifier's log that are told: its last ones say what it did not accept.
const LOG_LINES: usize = 40;
/// Instructions that the verifier may walk through in a program, of the million that the kernel allows
/// (`BPF_COMPLEXITY_LIMIT_INSNS`): what is left is for kernels that count more than those that are tried here.
const VERIFIED_MAX: u32 = 700_000;

/// Loads the programs; the error has the kernel's words.
pub(super) fn load() -> Result<Enforcement, String> {
    Enforcement::load(&PORTS).map_err(|error| words(&error))
}

/// The error, its causes, of a long log the end.
fn words(error: &KernelError) -> String {
    let mut lines = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        let all: Vec<&str> = text.lines().collect();
        lines.extend(
            all[all.len().saturating_sub(LOG_LINES)..]
                .iter()
                .map(|&line| line.to_owned()),
        );
        cause = error.source();
    }
    lines.join("\n")
}

/// Tells the programs that are loaded.
pub(super) fn tell_programs(enforcement: &Enforcement) -> anyhow::Result<()> {
    for (name, count) in enforcement.verified()? {
        let short = name.strip_prefix("enforcer_").unwrap_or(name);
        tell(&Line::Program(short, count));
        ensure!(
            count.is_none_or(|count| count <= VERIFIED_MAX),
            "the verifier walks through more than {VERIFIED_MAX} instructions of {name}"
        );
    }
    Ok(())
}
