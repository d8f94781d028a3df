//! Configurations of tests: text that has no file beside it.

use std::path::Path;
use std::sync::Arc;

use super::{Config, Files, Severity, parse};

/// No file can be read.
pub(crate) struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &Path, _bytes_max: u64) -> Result<Arc<str>, String> {
        Err("there is none".into())
    }
}

/// The configuration in `text`, which may have warnings, as if it was that of `file`.
#[track_caller]
pub(crate) fn parsed(file: &str, text: &str) -> Config {
    let parsed = parse(Path::new(file), text, &NoFiles);
    let problems: Vec<_> = parsed
        .problems
        .iter()
        .map(|problem| problem.render(false))
        .collect();
    assert_eq!(
        parsed.count(Severity::Error),
        0,
        "{text}\n{}",
        problems.join("\n")
    );
    parsed.config.expect("it has no errors")
}
