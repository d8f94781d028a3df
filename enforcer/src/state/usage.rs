//! What granted connections were for, so that it is known over a longer time than the daemon runs.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Folders;
use super::file::{self, Defect, WriteError};
use super::form::Format;

const FORMAT: Format = Format {
    name: "usage",
    version: 1,
};

/// What was saved last; `None` when nothing was.
///
/// # Errors
/// A [`Defect`]; then what was known is lost.
pub fn load<T: DeserializeOwned>(folders: &Folders) -> Result<Option<T>, Defect> {
    file::load(&folders.state, FORMAT)
}

/// Saves what is known. Waits for the disk.
///
/// # Errors
/// A [`WriteError`].
pub fn save(folders: &Folders, content: &impl Serialize) -> Result<(), WriteError> {
    file::save(&folders.state, FORMAT, content).map(drop)
}
