//! Instances of the enforcer whose pins are the test's own.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cleanup::{self, Guard, Made};

/// Where the pins of all instances are.
pub(crate) const PINS: &str = "/sys/fs/bpf/enforcer";

/// A name for `--instance`. Dropping it removes the pins, which ends what was attached.
pub struct Instance {
    name: String,
    _guard: Guard,
}

impl Instance {
    /// One whose name ends in `label`.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub fn new(label: &str) -> Result<Self> {
        let name = cleanup::unique_name(label);
        let guard = Guard::new(Made::Folder(Path::new(PINS).join(&name)))?;
        Ok(Self { name, _guard: guard })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its pins are.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(&self.name)
    }
}
