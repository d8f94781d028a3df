//! Files that are either the old ones or the new ones, whatever happens while they are written.
//!
//! A new content goes to a file of another name, which is synced and renamed over the old one; then the folder is synced.
//! So a reader never sees a part, also after a power failure. What a killed process left behind is removed by the next
//! one that writes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::form::{self, FILE_BYTES_MAX, FormError, Format};

/// Why a file could not be written. The old one, if there is any, is as it was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// Something else has the folder's name.
    #[error("{} is no folder", .0.display())]
    NotFolder(PathBuf),
    /// The folder is not there and can not be made.
    #[error("the folder {} can not be made: {why}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why, in words.
        why: String,
    },
    /// The file.
    #[error("{} can not be written: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        why: String,
    },
}

/// Why a file could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// It leads elsewhere, where somebody else may write.
    #[error("it is a symbolic link, which enforcer does not write")]
    Symlink,
    /// It is a folder, a pipe, a socket or a device.
    #[error("it is no regular file")]
    NotRegular,
    /// The user may not read it.
    #[error("permission denied")]
    Permission,
    /// Reading failed in another way.
    #[error("{0}")]
    Io(String),
    /// It was read, and is not what was written.
    #[error(transparent)]
    Form(#[from] FormError),
}

/// A file that is there and can not be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{} can not be used: {why}", .path.display())]
pub struct Defect {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: ReadError,
}

impl Defect {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.why {
            ReadError::Permission => "run as root",
            ReadError::Io(_) => "look for errors of the disk in the kernel's log (`dmesg`)",
            ReadError::Symlink | ReadError::NotRegular => "move it away; enforcer writes a new one",
            ReadError::Form(FormError::OtherVersion { .. }) => {
                "an enforcer of another version wrote it; this one writes it anew"
            }
            ReadError::Form(_) => "nothing has to be done: enforcer writes it anew",
        }
    }
}

/// Writes `content` as the file that is named as its `format`, in `folder`, which is made where it is missing. The bytes
/// that it has.
///
/// # Errors
/// A [`WriteError`].
pub fn save(folder: &Path, format: Format, content: &impl Serialize) -> Result<usize, WriteError> {
    let path = folder.join(format.name);
    let bytes = form::encode(format, content).map_err(|error| WriteError::File {
        path,
        why: error.to_string(),
    })?;
    replace(folder, format.name, &bytes)?;
    Ok(bytes.len())
}

/// Reads what [`save`] wrote; `None` when there is no such file.
///
/// # Errors
/// A [`Defect`].
pub fn load<T: DeserializeOwned>(folder: &Path, format: Format) -> Result<Option<T>, Defect> {
    let path = folder.join(format.name);
    let content = read(&path).and_then(|bytes| match bytes {
        Some(bytes) => Ok(Some(form::decode(format, &bytes)?)),
        None => Ok(None),
    });
    content.map_err(|why| Defect { path, why })
}

/// Which content the file that is named as its `format` has: its first line and its length, which the line promises. `None`
/// when there is no such file, or it is of another format or length.
pub(super) fn mark(folder: &Path, format: Format) -> Option<String> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(folder.join(format.name)).ok()?;
    let length = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
    let mut start = Vec::new();
    file.take(form::HEADER_BYTES_MAX as u64)
        .read_to_end(&mut start)
        .ok()?;
    let line = form::first_line(format, &start)?;
    let promised: u64 = line.split(' ').nth(3)?.parse().ok()?;
    (length == line.len() as u64 + 1 + promised).then(|| line.to_owned())
}

/// As [`save`], of bytes as they are.
///
/// # Errors
/// A [`WriteError`].
pub(super) fn save_bytes(folder: &Path, format: Format, content: &[u8]) -> Result<(), WriteError> {
    let bytes = form::encode_bytes(format, content).map_err(|error| WriteError::File {
        path: folder.join(format.name),
        why: error.to_string(),
    })?;
    replace(folder, format.name, &bytes)
}

/// Removes the file that is named as its `format`. Whether there was one.
///
/// # Errors
/// A [`WriteError`].
pub fn remove(folder: &Path, format: Format) -> Result<bool, WriteError> {
    let path = folder.join(format.name);
    let result = match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => Err(error),
        Ok(()) => sync_folder(folder),
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) => Err(WriteError::File {
            path,
            why: words(&error),
        }),
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    let mut options = OpenOptions::new();
    // Opening a pipe would wait for its writer; without effect on regular files (open(2)).
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(from_io(&error)),
    };
    if !file.metadata().map_err(|error| from_io(&error))?.is_file() {
        return Err(ReadError::NotRegular);
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large.
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| from_io(&error))?;
    Ok(Some(bytes))
}

pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
    make_folder(folder)?;
    // Another process may be writing a file of this name: it has a temporary file of its own.
    let temporary = folder.join(format!("{}{}.new", leftover_prefix(name), process::id()));
    let path = folder.join(name);
    remove_leftovers(folder, name);
    let result = write_synced(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, &path))
        .and_then(|()| sync_folder(folder));
    result.map_err(|error| {
        // A part of it must not keep a full disk full. It may not be there, or no longer.
        let _ = fs::remove_file(&temporary);
        WriteError::File {
            path,
            why: words(&error),
        }
    })
}

fn make_folder(folder: &Path) -> Result<(), WriteError> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(WriteError::NotFolder(folder.to_owned())),
        // Whatever is wrong, making it meets it too.
        Err(_) => {}
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let synced = made.and_then(|()| folder.parent().map_or(Ok(()), sync_folder));
    synced.map_err(|error| WriteError::Folder {
        path: folder.to_owned(),
        why: words(&error),
    })
}

/// How the temporary files of `name` begin. No file of another format begins so, since formats have letters only.
fn leftover_prefix(name: &str) -> String {
    format!(".{name}.")
}

/// Takes away what killed processes left. What can not be taken away is in nobody's way.
pub(super) fn remove_leftovers(folder: &Path, name: &str) {
    let prefix = leftover_prefix(name);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn from_io(error: &io::Error) -> ReadError {
    match error.kind() {
        ErrorKind::PermissionDenied => ReadError::Permission,
        _ => match error.raw_os_error() {
            // O_NOFOLLOW on a symbolic link (open(2)).
            Some(libc::ELOOP) => ReadError::Symlink,
            // A socket, or a device without a driver (open(2)).
            Some(libc::ENXIO) => ReadError::NotRegular,
            _ => ReadError::Io(error.to_string()),
        },
    }
}

/// What was met while `path` was written.
pub(super) fn write_error(path: PathBuf, error: &io::Error) -> WriteError {
    WriteError::File {
        path,
        why: words(error),
    }
}

/// What an error means, without the number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "the disk is full".to_owned(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is no folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
