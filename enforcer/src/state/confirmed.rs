//! The mark that somebody confirmed the first enforcement (`enforcer confirm`): he was not locked out by it.

use serde::{Deserialize, Serialize};

use super::Folders;
use super::file::{self, Defect, WriteError};
use super::form::Format;

const FORMAT: Format = Format {
    name: "confirmed",
    version: 1,
};

/// There is nothing to say beside that it is there.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Mark {}

/// Whether the mark is there.
///
/// # Errors
/// What is there is no mark; it counts as none.
pub fn is_set(folders: &Folders) -> Result<bool, Defect> {
    let mark: Option<Mark> = file::load(&folders.state, FORMAT)?;
    Ok(mark.is_some())
}

/// Makes the mark.
///
/// # Errors
/// It can not be written.
pub fn set(folders: &Folders) -> Result<(), WriteError> {
    file::save(&folders.state, FORMAT, &Mark {}).map(drop)
}

/// Takes the mark away, so that the next enforcement has to be confirmed. Whether there was one.
///
/// # Errors
/// It can not be removed.
pub fn remove(folders: &Folders) -> Result<bool, WriteError> {
    file::remove(&folders.state, FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::file::ReadError;
    use crate::state::form::FormError;

    #[test]
    fn the_mark_comes_and_goes() {
        let outer = tempfile::tempdir().unwrap();
        let folders = Folders {
            state: outer.path().join("state"),
            runtime: outer.path().join("runtime"),
        };
        assert_eq!(is_set(&folders), Ok(false));
        set(&folders).unwrap();
        set(&folders).unwrap();
        assert_eq!(is_set(&folders), Ok(true));
        assert!(!folders.runtime.exists());
        assert_eq!(remove(&folders), Ok(true));
        assert_eq!(remove(&folders), Ok(false));
        assert_eq!(is_set(&folders), Ok(false));
        // An empty file is no confirmation.
        std::fs::write(folders.state.join("confirmed"), b"").unwrap();
        assert_eq!(
            is_set(&folders).unwrap_err().why,
            ReadError::Form(FormError::NoHeader)
        );
    }
}
