//! Reads configurations, and what they refer to, from the file system.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
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
    /// It is a pipe, a socket or a device, which may have no end or keep its reader waiting.
    #[error("it is no regular file")]
    NotRegular,
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
            Self::NotRegular => "write it to a file, and name that",
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
        open_regular(&self.path.join(path))
            .and_then(read_text)
            .map_err(|error| match &error {
                LoadError::Utf16 => format!("{error} ({})", error.hint()),
                _ => error.to_string(),
            })
    }
}

/// Reads the configuration at `path`, whatever is wrong with what it says.
///
/// It may be a pipe, as in `enforcer check <(generate)`: whoever names one waits for it. What a configuration refers to
/// may not, or a reload could wait for ever.
///
/// # Errors
/// The file itself can not be read.
pub fn load(path: &Path) -> Result<Parsed, LoadError> {
    Ok(config::parse(path, &read(path)?, &Folder::of(path)))
}

/// The text of the configuration at `path`, which may be a pipe as for [`load`].
///
/// # Errors
/// The file can not be read.
pub fn read(path: &Path) -> Result<String, LoadError> {
    read_text(File::open(path).map_err(from_io)?)
}

fn open_regular(path: &Path) -> Result<File, LoadError> {
    // Opening a pipe would wait for its writer; without effect on regular files (open(2)).
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(from_io)?;
    let kind = file.metadata().map_err(from_io)?.file_type();
    if kind.is_file() || kind.is_dir() {
        Ok(file)
    } else {
        Err(LoadError::NotRegular)
    }
}

fn read_text(file: File) -> Result<String, LoadError> {
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
        // A socket (open(2), ENXIO).
        _ if error.raw_os_error() == Some(libc::ENXIO) => LoadError::NotRegular,
        _ => LoadError::Io(error),
    }
}
