//! What became known since the answers were last written whole: one record a change, each behind the other.
//!
//! An address is granted only once a restart would find it. To write all answers for each change of one name would cost
//! the whole policy each time, so the change alone is added to the end of this file, in one write(2). When the answers are
//! written whole, the file is left with what was added while they were. Records that the answers have do no harm: they are
//! older, and do not count.
//!
//! It is not synced: what is in the page cache survives the process, and the folder it is in does not survive the machine.
//! Where that is otherwise, a power cut leaves a tail that the checksums refuse. A record is in the form of a file of its
//! own ([`form`]). Everything before the first one that is not whole counts, and nothing behind it. A record that a killed
//! process did not finish was not granted either, and is no defect.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Moment;
use super::file::{self, Defect, ReadError, WriteError};
use super::form::{self, FILE_BYTES_MAX, FormError, Format};
use crate::resolve::saved::SavedName;

const FORMAT: Format = Format {
    name: "journal",
    version: 1,
};

/// What became known at one moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number among the saves.
    pub number: u64,
    /// When the names were as they are here.
    pub moment: Moment,
    /// The names that changed, each whole.
    pub names: Vec<SavedName>,
}

/// A journal that can be added to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Which file it is, to see when another one has its name.
    id: (u64, u64),
    /// Bytes of whole records.
    length: u64,
}

/// How adding a record ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Appended {
    /// It is there, and the journal has so many bytes now.
    Kept(u64),
    /// Somebody took the file away, or there is no room for the record: the answers have to be written whole.
    Over,
}

impl Journal {
    /// Begins the journal of `folder` anew: what it held is gone.
    ///
    /// # Errors
    /// A [`WriteError`]; then what it held may still be there, and is older than the answers.
    pub fn begin(folder: &Path) -> Result<Self, WriteError> {
        let path = folder.join(FORMAT.name);
        let begun = open(&path).and_then(|(file, id)| {
            file.set_len(0)?;
            Ok((file, id))
        });
        file::remove_leftovers(folder, FORMAT.name);
        match begun {
            Ok((file, id)) => Ok(Self {
                path,
                file,
                id,
                length: 0,
            }),
            Err(error) => Err(file::write_error(path, &error)),
        }
    }

    /// Bytes of whole records.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The journal of `folder`, which this is, without its first `length` bytes: those of records that the answers have by
    /// now. Whoever reads finds the one or the other.
    ///
    /// # Errors
    /// A [`WriteError`]; it may be as it was then, or as it should be.
    pub fn without(mut self, folder: &Path, length: u64) -> Result<Self, WriteError> {
        let rest = self.length.saturating_sub(length);
        let cut = || -> std::io::Result<Vec<u8>> {
            if rest == 0 {
                self.file.set_len(0)?;
                return Ok(Vec::new());
            }
            let mut bytes = vec![0; usize::try_from(rest).map_err(std::io::Error::other)?];
            self.file.read_exact_at(&mut bytes, length)?;
            Ok(bytes)
        };
        let bytes = cut().map_err(|error| file::write_error(self.path.clone(), &error))?;
        if rest != 0 {
            file::replace(folder, FORMAT.name, &bytes)?;
            let (file, id) =
                open(&self.path).map_err(|error| file::write_error(self.path.clone(), &error))?;
            (self.file, self.id) = (file, id);
        }
        self.length = rest;
        Ok(self)
    }

    /// Adds `record` to the end.
    ///
    /// # Errors
    /// A [`WriteError`]; the journal is as it was, or ends with a part of the record, which nobody reads.
    pub fn append(&mut self, record: &Record) -> Result<Appended, WriteError> {
        let is_here = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.id);
        let Ok(bytes) = form::encode(FORMAT, record) else {
            return Ok(Appended::Over);
        };
        let length = self.length.saturating_add(bytes.len() as u64);
        if !is_here || length > FILE_BYTES_MAX as u64 {
            return Ok(Appended::Over);
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // What follows a part of a record would not be read. Whoever is told of the error does not add to it either.
            let _ = self.file.set_len(self.length);
            return Err(file::write_error(self.path.clone(), &error));
        }
        self.length = length;
        Ok(Appended::Kept(length))
    }
}

/// The file to add to, made where it is missing, and which it is.
fn open(path: &Path) -> std::io::Result<(File, (u64, u64))> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    Ok((file, (metadata.dev(), metadata.ino())))
}

/// The whole records of the journal in `folder`, in their order, and what is wrong with the others.
#[must_use]
pub fn load(folder: &Path) -> (Vec<Record>, Option<Defect>) {
    let path = folder.join(FORMAT.name);
    match file::read(&path) {
        Ok(Some(bytes)) => {
            let (records, why) = decode(&bytes);
            let why = why.map(ReadError::Form);
            (records, why.map(|why| Defect { path, why }))
        }
        Ok(None) => (Vec::new(), None),
        Err(why) => (Vec::new(), Some(Defect { path, why })),
    }
}

/// Whether there is nothing in the journal of `folder`, or none.
pub(super) fn is_empty(folder: &Path) -> bool {
    match fs::symlink_metadata(folder.join(FORMAT.name)) {
        Ok(metadata) => metadata.is_file() && metadata.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn decode(mut bytes: &[u8]) -> (Vec<Record>, Option<FormError>) {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        match form::decode_first(FORMAT, bytes) {
            Ok((record, rest)) => {
                records.push(record);
                bytes = rest;
            }
            Err(FormError::Unfinished) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
    (records, None)
}

#[cfg(test)]
mod tests;
