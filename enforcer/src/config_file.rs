//! Reads configurations, and what they refer to, from the file system.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::config::{self, Files, Parsed};

/// Most bytes of a configuration, and of a file that it refers to.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// It is a folder.
    #[error("it is a directory")]
    Directory,
    /// The user may not read it.
    #[error("permission denied")]
    Permission,
    /// It has more than [`FILE_BYTES_MAX`].
    #[error("it is larger than {} KiB", FILE_BYTES_MAX / 1024)]
    TooLarge,
    /// It starts with the byte order mark of UTF-16.
    #[error("it is UTF-16, not UTF-8")]
    Utf16,
    /// It is not UTF-8.
    #[error("it is not UTF-8 at byte {offset} (line {line})")]
    NotUtf8 {
        /// Offset from 0 of the first byte that is wrong.
        offset: usize,
        /// Its line, from 1.
        line: usize,
    },
    /// Reading failed in another way.
    #[error(transparent)]
    Io(std::io::Error),
}

impl LoadError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing => "check the path",
            Self::Directory => "name the file in it",
            Self::Permission => "run as a user who may read it",
            Self::TooLarge => "is this the right file?",
            Self::Utf16 => {
                "convert it, for example with `iconv -f UTF-16 -t UTF-8`; older PowerShells write UTF-16 with `>`"
            }
            Self::NotUtf8 { .. } => "save it as UTF-8",
            Self::Io(_) => "try to read it with `cat`",
        }
    }
}

/// The folder of a configuration: what its relative paths are relative to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder that `file` is in.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self {
            path: file.parent().unwrap_or(Path::new("")).to_owned(),
        }
    }
}

impl Files for Folder {
    fn read(&self, path: &Path) -> Result<String, String> {
        read_text(&self.path.join(path)).map_err(|error| match &error {
            LoadError::Utf16 => format!("{error} ({})", error.hint()),
            _ => error.to_string(),
        })
    }
}

/// Reads the configuration at `path`, whatever is wrong with what it says.
///
/// # Errors
/// The file itself can not be read.
pub fn load(path: &Path) -> Result<Parsed, LoadError> {
    let text = read_text(path)?;
    Ok(config::parse(path, &text, &Folder::of(path)))
}

fn read_text(path: &Path) -> Result<String, LoadError> {
    let file = File::open(path).map_err(from_io)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, also one that says nothing of its size.
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(from_io)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(LoadError::TooLarge);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(LoadError::Utf16);
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        LoadError::NotUtf8 {
            offset,
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
        }
    })
}

fn from_io(error: std::io::Error) -> LoadError {
    match error.kind() {
        ErrorKind::NotFound => LoadError::Missing,
        ErrorKind::IsADirectory => LoadError::Directory,
        ErrorKind::PermissionDenied => LoadError::Permission,
        _ => LoadError::Io(error),
    }
}
