//! Loads a configuration for a command, and shows what is wrong with it as a compiler would.

use std::path::Path;

use crate::config::{Config, Parsed, Severity};
use crate::config_file::{self, LoadError};
use crate::state::configuration::{self, Recorded};

use super::message::{Failure, tell};

/// Reads the configuration at `path`; what is wrong with what it says is in the result.
///
/// # Errors
/// The file can not be read.
pub(super) fn read(path: &Path) -> Result<Parsed, anyhow::Error> {
    config_file::load(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: LoadError) -> anyhow::Error {
    let message = format!("can not read the configuration `{}`", path.display());
    let hint = error.hint();
    Failure::new(message, hint, error).into()
}

/// Reads the configuration at `path` for use, after every problem has been shown on stderr.
///
/// # Errors
/// The file can not be read, or one of its problems is an error.
pub fn load(path: &Path) -> Result<Config, anyhow::Error> {
    usable(path, read(path)?)
}

/// As [`load`], with what it was made of.
///
/// # Errors
/// As for [`load`].
pub fn load_recorded(path: &Path) -> Result<(Config, Recorded), anyhow::Error> {
    let (parsed, recorded) = configuration::read(path).map_err(|error| unreadable(path, error))?;
    Ok((usable(path, parsed)?, recorded))
}

fn usable(path: &Path, parsed: Parsed) -> Result<Config, anyhow::Error> {
    show_problems(&parsed);
    let summary = count_words(&parsed);
    parsed.config.ok_or_else(|| {
        let message = format!(
            "the configuration `{}` can not be used: {summary}",
            path.display()
        );
        let hint = format!("mend it, and look again with `enforcer check {}`", path.display());
        Failure::msg(message, hint).into()
    })
}

/// Shows every problem on stderr, an empty line after each.
pub(super) fn show_problems(parsed: &Parsed) {
    for problem in &parsed.problems {
        // The writer takes the colours out where stderr is no terminal or NO_COLOR is set.
        tell(format_args!("{}\n", problem.render(true)));
    }
    if parsed.omitted > 0 {
        tell(format_args!("... and {} problems more", parsed.omitted));
    }
}

/// `2 errors, 1 warning`.
pub(super) fn count_words(parsed: &Parsed) -> String {
    let errors = plural(parsed.count(Severity::Error), "error");
    let warnings = plural(parsed.count(Severity::Warning), "warning");
    match parsed.omitted {
        0 => format!("{errors}, {warnings}"),
        omitted => format!("{errors}, {warnings}, {omitted} not shown"),
    }
}

/// `1 error`, `2 errors`.
pub(super) fn plural(count: usize, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {word}{ending}")
}
