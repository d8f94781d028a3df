//! The last good answers on disk: a copy in the state folder, one in the runtime folder, and the newest valid one counts.
//!
//! Answers are written often, and a state folder may be slow, full or worn out; what is in the runtime folder is enough
//! for a restart. Which copy is newer is told by the boot and its clock, then by a counter of the saves. What the
//! [`journal`] has that is newer than the newest copy counts on top of it; without a copy it does not count, since a few
//! names are no policy.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::file::{self, Defect, WriteError};
use super::form::Format;
use super::journal::{self, Record};
use super::{Folders, Moment};
use crate::names::ServerName;
use crate::resolve::saved::Streamed;
use crate::resolve::{Age, SavedAnswers, Snapshot};

const FORMAT: Format = Format {
    name: "answers",
    version: 2,
};

/// One save.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// Its number: each is higher than those that were readable when its process started.
    pub number: u64,
    /// When the answers were as they are here.
    pub moment: Moment,
    /// The answers.
    pub answers: SavedAnswers,
}

/// A [`Save`] as it is written: without a copy of the answers.
#[derive(Serialize)]
struct Writing<'a> {
    number: u64,
    moment: &'a Moment,
    answers: Streamed<'a>,
}

/// What is there to start from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// The newest valid copy.
    pub found: Option<Found>,
    /// Copies that can not be used.
    pub defects: Vec<Defect>,
    /// The highest number of a save that could be read.
    pub(super) number: u64,
    /// When the copy in the state folder was saved.
    pub(super) state: Option<Moment>,
    /// When the copy in the runtime folder was saved.
    pub(super) runtime: Option<Moment>,
}

/// Answers that an earlier process saved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The answers, as old as they are now.
    pub answers: SavedAnswers,
    /// Time since they were saved.
    pub age: Age,
    /// Where they were.
    pub path: PathBuf,
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.answers.names.len() {
            1 => "1 name".to_owned(),
            count => format!("{count} names"),
        };
        write!(
            out,
            "answers for {names}, saved {} ago in {}",
            self.age,
            self.path.display()
        )
    }
}

impl Loaded {
    /// The answers to start from; none where nothing was found.
    #[must_use]
    pub fn answers(&self) -> SavedAnswers {
        self.found
            .as_ref()
            .map(|found| found.answers.clone())
            .unwrap_or_default()
    }
}

/// The copies in the two folders, read at the same time: each may have hundreds of thousands of addresses.
fn copies(folders: &Folders) -> [Result<Option<Save>, Defect>; 2] {
    let of_state = || file::load(&folders.state, FORMAT);
    thread::scope(|scope| {
        let state = thread::Builder::new().name("reading".to_owned());
        let state = state.spawn_scoped(scope, of_state);
        let runtime = file::load(&folders.runtime, FORMAT);
        let state = state.ok().and_then(|reading| reading.join().ok());
        [state.unwrap_or_else(of_state), runtime]
    })
}

/// Reads what was saved, as it is at `now`.
#[must_use]
pub fn load(folders: &Folders, now: &Moment) -> Loaded {
    let [state, runtime] = copies(folders);
    let mut loaded = Loaded::default();
    let mut newest: Option<(Save, &Path)> = None;
    for (copy, folder) in [(state, &folders.state), (runtime, &folders.runtime)] {
        let save: Save = match copy {
            Ok(Some(save)) => save,
            Ok(None) => continue,
            Err(defect) => {
                loaded.defects.push(defect);
                continue;
            }
        };
        loaded.number = loaded.number.max(save.number);
        let moment = Some(save.moment.clone());
        if *folder == folders.state {
            loaded.state = moment;
        } else {
            loaded.runtime = moment;
        }
        let is_newer = newest
            .as_ref()
            .is_none_or(|(other, _)| compare(&save, other, now) == Ordering::Greater);
        if is_newer {
            newest = Some((save, folder));
        }
    }
    let (records, defect) = journal::load(&folders.runtime);
    loaded.defects.extend(defect);
    let numbers = records.iter().map(|record| record.number);
    loaded.number = numbers.fold(loaded.number, u64::max);
    loaded.found = newest.map(|(mut save, folder)| {
        let age = now.since(&save.moment);
        let mut found = Found {
            answers: std::mem::take(&mut save.answers).aged(age),
            age,
            path: folder.join(FORMAT.name),
        };
        found.go_on_with(records, &save, now);
        found
    });
    loaded
}

impl Found {
    /// Takes in the records that are newer than `save`, which these answers were.
    fn go_on_with(&mut self, records: Vec<Record>, save: &Save, now: &Moment) {
        let is_newer = |record: &Record| {
            let later = now.compare(&record.moment, &save.moment);
            later.then(record.number.cmp(&save.number)) == Ordering::Greater
        };
        let mut newer = records.into_iter().filter(is_newer).peekable();
        if newer.peek().is_none() {
            return;
        }
        let names = self.answers.names.iter().enumerate();
        let mut places: HashMap<ServerName, usize> =
            names.map(|(place, known)| (known.name.clone(), place)).collect();
        for Record { moment, names, .. } in newer {
            self.age = now.since(&moment);
            for known in (SavedAnswers { names }).aged(self.age).names {
                match places.get(&known.name) {
                    Some(place) => self.answers.names[*place] = known,
                    None => {
                        places.insert(known.name.clone(), self.answers.names.len());
                        self.answers.names.push(known);
                    }
                }
            }
        }
    }
}

/// Writes what `snapshot` knew at `at`, which is of the same clock as its times, as the save of this number and moment. The
/// bytes that it has.
///
/// # Errors
/// As for [`save`].
pub(super) fn save_snapshot(
    folder: &Path,
    number: u64,
    moment: &Moment,
    snapshot: &Snapshot,
    at: Instant,
) -> Result<usize, WriteError> {
    let answers = Streamed { snapshot, now: at };
    let writing = Writing {
        number,
        moment,
        answers,
    };
    file::save(folder, FORMAT, &writing)
}

/// Writes one copy.
///
/// # Errors
/// It can not be written; the one from before is as it was.
pub fn save(folder: &Path, save: &Save) -> Result<(), WriteError> {
    file::save(folder, FORMAT, save).map(drop)
}

/// Which copy is in `folder`, without reading it: see [`file::mark`].
pub(super) fn mark(folder: &Path) -> Option<String> {
    file::mark(folder, FORMAT)
}

/// Whether there is a copy in `folder`, of whatever content.
pub(super) fn is_there(folder: &Path) -> bool {
    folder.join(FORMAT.name).symlink_metadata().is_ok()
}

/// Which of two saves is the later one.
fn compare(one: &Save, other: &Save, now: &Moment) -> Ordering {
    now.compare(&one.moment, &other.moment)
        .then(one.number.cmp(&other.number))
}

#[cfg(test)]
mod tests;
