//! The file of `--report`: opened before anything is started, written when the command has ended.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::daemon::report::Report;

/// An open report file. Dropped without a report, it leaves no new empty file behind.
pub(super) struct ReportFile {
    file: File,
    path: PathBuf,
    is_ours: bool,
}

impl ReportFile {
    /// Opens it, so that a bad path costs no build. An older report stays until there is a new one.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let created = File::options().write(true).create_new(true).open(path);
        let (opened, is_ours) = match created {
            // `create` as well: a link may lead to a file that is not there yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let existing = File::options()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path);
                (existing, false)
            }
            other => (other, true),
        };
        let file = opened.map_err(|error| {
            Failure::new(
                format!(
                    "the report {} can not be opened; nothing was started",
                    path.display()
                ),
                "give `--report` a file in a folder that exists and is writable",
                error,
            )
        })?;
        let path = path.to_owned();
        Ok(Self { file, path, is_ours })
    }

    /// Writes `report` in place of what is there.
    pub(super) fn write(mut self, report: &Report) -> anyhow::Result<()> {
        self.is_ours = false;
        self.replace(report).map_err(|error| {
            Failure::new(
                format!("the report could not be written to {}", self.path.display()),
                format!(
                    "the command has run, and its status was {}; make room there, or give `--report` another file",
                    report.status
                ),
                error,
            )
            .into()
        })
    }

    fn replace(&mut self, report: &Report) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        // A pipe or terminal can not be cut, and needs not.
        let _not_a_file = self.file.set_len(0);
        self.file.write_all(&text)
    }
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        if self.is_ours {
            let _stays_empty = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_report_a_new_file_goes_and_an_old_one_stays() {
        let folder = std::env::temp_dir().join(format!("enforcer-report.{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (new, old) = (folder.join("new.json"), folder.join("old.json"));
        std::fs::write(&old, "{}").unwrap();
        drop(ReportFile::open(&new).unwrap());
        drop(ReportFile::open(&old).unwrap());
        let (is_new_there, old_text) = (new.exists(), std::fs::read_to_string(&old).unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!is_new_there);
        assert_eq!(old_text, "{}");
    }
}
