//! The table that was in force last, as the kernel held it, so that a first start enforces before it has read anything else.
//!
//! A start takes what it grants from a configuration with its service tags and from the saved [`answers`].
//! With thousands of names that is hundreds of thousands of addresses to parse, judge, sort and lay out, while everything gets
//! out. The outcome is known: it is what the daemon before had in force. So an orderly end writes it down word by word
//! (`kernel::Image`), and the next start puts it back, attaches, and only then goes the long way. What that comes to replaces it.
//!
//! **What it must never do is grant what the long way would not.** So it is used only where the long way is bound to come to
//! the same, and for no longer than the long way takes:
//!
//! 1. *The same program*: version, layouts, and the very file on disk that runs. Another build may derive other grants from
//!    the same text, or lay them out otherwise.
//! 2. *The same configuration*, to the byte: one SHA-256 over its path and text, and the path and text of each file that it
//!    refers to. What the running daemon had read is what is digested at the end ([`SavedConfiguration`]), not what lies there
//!    by then. With the same text the same files are referred to.
//! 3. *The same answers*: the table names the first lines of the files `answers` that it goes with, and with them the length
//!    and the checksum of all that they say, number and moment included. It is written when both folders have what is in
//!    force. The next daemon writes answers anew as soon as it enforces, and from then on the table goes with none: one from
//!    long ago never comes back. In the runtime folder the answers may be gone (a reboot), and nothing may be in the journal:
//!    that would be newer.
//! 4. *No time has run out in it.* A last good answer has no end, and the long way grants it as well, however old it is. But
//!    an address that has left an answer is granted for a grace period only. The first end among these is the table's own
//!    ([`Head::left_ms`]), by the clock that ages saved answers: see [`super::clock`] for what is certain over a reboot.
//! 5. *Nothing else goes into grants.* Where the system's name servers do (their port is filtered, and the configuration
//!    names none), no table is saved: nobody knows what `/etc/resolv.conf` says at the next boot.
//! 6. *Nothing is in force yet.* What is pinned is newer than every file, and is taken over as ever.
//! 7. *Only in mode `enforce`*: audit mode holds nothing back, so there is nothing to be in time for.
//!
//! When any of this is not so, and when the file is damaged, cut off or of another version, it is not used, that is said once,
//! and the start is the long one. Nothing is pinned before the long way has come to its end: whatever ends the process until
//! then leaves nothing behind, as ever.
//!
//! **A power cut** leaves the table of the last orderly end, which by 3 goes with no answers that a daemon has saved since, or
//! none at all. The file is written as all others are, whole or not at all, and after the answers that it names are synced.
//! Should a disk keep the younger of two synced files and lose the elder, 3 finds it.
//!
//! **Damage and malice.** The checksum is against accidents. Whoever can write to the folder is root, and could detach. Nothing
//! that the kernel programs read from a table is trusted: positions are held against the bounds of the arrays.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::configuration::{read_path, write_path};
use super::file::{self, Defect, ReadError, WriteError};
use super::form::{self, FormError, Format};
use super::{Folders, Moment, SavedConfiguration, answers, journal};
use crate::config::{Files as _, SERVICE_TAGS_BYTES_MAX};
use crate::config_file::{FILE_BYTES_MAX, Folder};

const FORMAT: Format = Format {
    name: "table",
    version: 1,
};

/// What it takes to enforce by a table, apart from the table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The filtered ports.
    pub ports: Vec<u16>,
    /// What the programs are attached to; `None` for the root of cgroup v2.
    #[serde(serialize_with = "write_optional", deserialize_with = "read_optional")]
    pub cgroup: Option<PathBuf>,
}

/// What the table goes with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    program: String,
    /// SHA-256, hexadecimal.
    configuration: String,
    /// The files that the configuration refers to, as it writes them.
    files: Vec<Referred>,
    /// The answers in the state folder, and in the runtime folder.
    answers: [String; 2],
    /// When the answers were as they are in it.
    moment: Moment,
    /// How long from then until an address in it must not be granted any more, in milliseconds; `None` for never.
    left_ms: Option<u64>,
    scope: Scope,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Referred {
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    path: PathBuf,
}

/// A table that may be put back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SavedTable {
    /// What it is to be enforced on.
    pub scope: Scope,
    /// The table, as it was given to [`save`].
    pub image: Vec<u8>,
}

/// Why a table is not put back.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// The file can not be read.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// It is of other programs, or another layout.
    #[error("another enforcer saved it")]
    Program,
    /// The configuration is another one, or a file that it refers to.
    #[error("the configuration has changed since, or a file that it refers to")]
    Configuration,
    /// There are answers that it was not made of, or those are gone that it was made of.
    #[error("the saved answers are not those that it was made of")]
    Answers,
    /// An address was granted for a while only.
    #[error("an address in it was granted for a while only, and that has passed")]
    Expired,
}

/// Why no table was saved.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeepError {
    /// The file can not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What it goes with is not on disk.
    #[error("what it was made of could not be saved")]
    Unsaved,
}

/// Saves the table that is in force with the newest answers, which both folders have, and with the configuration that the
/// state folder has, which is `path` with `text`. `left` is how long, from `moment` on, which is that of the answers, the first
/// address in it may still be granted.
///
/// # Errors
/// [`KeepError`]; then there is no table, or one that goes with other answers.
pub fn save(
    folders: &Folders,
    (path, text): (&Path, &str),
    scope: Scope,
    (moment, left): (Moment, Option<Duration>),
    image: &[u8],
) -> Result<(), KeepError> {
    let saved = super::configuration::load(folders).ok().flatten();
    let saved = saved.filter(|saved| saved.path == path && saved.text == text);
    let program = program();
    let marks = [&folders.state, &folders.runtime].map(|folder| answers::mark(folder));
    let (Some(configuration), Some(program), [Some(state), Some(runtime)], true) =
        (saved, program, marks, journal::is_empty(&folders.runtime))
    else {
        remove(folders)?;
        return Err(KeepError::Unsaved);
    };
    let head = Head {
        program,
        configuration: digest(&configuration),
        files: configuration
            .files
            .into_keys()
            .map(|path| Referred { path })
            .collect(),
        answers: [state, runtime],
        moment,
        left_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        scope,
    };
    let mut bytes = serde_json::to_vec(&head).map_err(|_| KeepError::Unsaved)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(image);
    Ok(file::save_bytes(&folders.state, FORMAT, &bytes)?)
}

/// Removes what was saved, which is not in force any more.
///
/// # Errors
/// [`WriteError`]; it goes with no answers of later all the same.
pub fn remove(folders: &Folders) -> Result<(), WriteError> {
    file::remove(&folders.state, FORMAT).map(drop)
}

/// The table to start with when the configuration is the file `path`; `None` where none was saved.
///
/// # Errors
/// [`Unusable`]
pub fn load(folders: &Folders, path: &Path, now: &Moment) -> Result<Option<SavedTable>, Unusable> {
    let at = folders.state.join(FORMAT.name);
    let defect = |why: ReadError| Defect {
        path: at.clone(),
        why,
    };
    let Some(bytes) = file::read(&at).map_err(defect)? else {
        return Ok(None);
    };
    let (head, image) = parts(&bytes).map_err(|why| defect(why.into()))?;
    if Some(head.program) != program() {
        return Err(Unusable::Program);
    }
    let [state, runtime] = [&folders.state, &folders.runtime].map(|folder| answers::mark(folder));
    let [saved_state, saved_runtime] = head.answers;
    let is_same_runtime = match runtime {
        Some(runtime) => runtime == saved_runtime,
        None => !answers::is_there(&folders.runtime),
    };
    if state != Some(saved_state) || !is_same_runtime || !journal::is_empty(&folders.runtime) {
        return Err(Unusable::Answers);
    }
    let passed = now.since(&head.moment).duration.as_millis();
    if head.left_ms.is_some_and(|left| passed >= u128::from(left)) {
        return Err(Unusable::Expired);
    }
    let configuration = found(path, head.files).ok_or(Unusable::Configuration)?;
    if digest(&configuration) != head.configuration {
        return Err(Unusable::Configuration);
    }
    Ok(Some(SavedTable {
        scope: head.scope,
        image: image.to_vec(),
    }))
}

fn parts(bytes: &[u8]) -> Result<(Head, &[u8]), FormError> {
    let content = form::decode_bytes(FORMAT, bytes)?;
    let end = content.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| FormError::Content("it has one part".to_owned()))?;
    Ok((form::from_json(&content[..end])?, &content[end + 1..]))
}

/// What lies there now; `None` where something can not be read. A configuration that is a pipe is somebody else's to read.
fn found(path: &Path, files: Vec<Referred>) -> Option<SavedConfiguration> {
    let folder = Folder::of(path);
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let text = folder.read(Path::new(path.file_name()?), FILE_BYTES_MAX).ok()?;
    let files = files.into_iter().map(|Referred { path }| {
        let text = folder.read(&path, SERVICE_TAGS_BYTES_MAX).ok()?;
        Some((path, text))
    });
    Some(SavedConfiguration {
        path: path.to_owned(),
        text: text.as_ref().to_owned(),
        files: files.collect::<Option<_>>()?,
    })
}

/// The SHA-256 of all that a configuration is made of, each part behind its length.
fn digest(configuration: &SavedConfiguration) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(configuration.path.as_os_str().as_encoded_bytes());
    add(configuration.text.as_bytes());
    for (path, text) in &configuration.files {
        add(path.as_os_str().as_encoded_bytes());
        add(text.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This program: its version, the layouts that it knows, and which file it is. Without the number of the disk, which a reboot
/// may change. `None` where it can not be told.
fn program() -> Option<String> {
    use enforcer_common::{abi, flow};
    // Also of a file that another one has taken the place of.
    let file = fs::metadata("/proc/self/exe").ok()?;
    Some(format!(
        "{} {} {} {} {} {}.{} {}.{}",
        env!("CARGO_PKG_VERSION"),
        abi::VERSION,
        flow::VERSION,
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ))
}

fn write_optional<S: serde::Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let path = path.clone().map(|path| Referred { path });
    path.serialize(serializer)
}

fn read_optional<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<Referred>::deserialize(deserializer)?;
    Ok(path.map(|Referred { path }| path))
}

#[cfg(test)]
mod tests;
