//! Saves what the daemon knows, beside it: nothing here keeps the daemon waiting, not even a disk that hangs.
//!
//! Each folder has a thread of its own with room for one save: a newer one replaces the one that waits. The thread of the
//! runtime folder adds each change to a [journal](super::journal) besides, and has all answers written by a thread beside it
//! while it does: who waits for a change waits for that one record. What goes wrong is told when it begins, when it
//! changes and when it is over; enforcement does not depend on any of it.

mod folding;
mod mailbox;
mod news;
mod pace;
mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::folding::Work;
use self::news::Copies;
use self::worker::{Added, Changes, Mailbox, Stamped, Target, Worker};
use super::answers;
use super::configuration;
use super::file::WriteError;
use super::journal::{Appended, Journal, Record};
use super::{Folders, Loaded, Moment, SavedConfiguration};
use crate::resolve::Snapshot;

pub use news::News;

/// What is told of the saving; called from the saver's threads as well.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// One of the folders.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    State,
    Runtime,
}

impl Place {
    const BOTH: [Self; 2] = [Self::State, Self::Runtime];

    /// Changes of what is granted are written no faster than this. The state folder may be on flash, and holds what
    /// counts only after a reboot; an orderly one flushes.
    fn interval(self) -> Duration {
        match self {
            Self::State => Duration::from_secs(10),
            Self::Runtime => Duration::from_secs(1),
        }
    }

    fn folder(self, folders: &Folders) -> &Path {
        match self {
            Self::State => &folders.state,
            Self::Runtime => &folders.runtime,
        }
    }
}

/// The threads. Dropping it ends each after what it is doing; what waits is not written: see [`Self::flush`].
pub struct Saver {
    mailboxes: [Arc<Mailbox>; 2],
    folders: Folders,
    given: Mutex<Given>,
    /// A moment of this boot.
    boot: Moment,
    copies: Arc<Copies>,
    tell: Tell,
}

/// What was given to be saved.
struct Given {
    /// The number of the last save.
    number: u64,
    snapshot: Arc<Snapshot>,
    /// When it was given, by both clocks; `None` before the first.
    at: Option<(Instant, Moment)>,
}

/// Not everything could be saved in time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("what was learnt last is not saved: {}", .0.join("; "))]
pub struct FlushError(Vec<String>);

impl Saver {
    /// Starts the threads. `loaded` is what the folders held: saves are counted on from there.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start(folders: &Folders, loaded: &Loaded, tell: Tell) -> io::Result<Self> {
        let target = |place: Place| FolderTarget {
            folder: place.folder(folders).to_owned(),
            journal: None,
            fold_at: 0,
            folded: 0,
        };
        Self::start_with(folders, loaded, tell, Place::BOTH.map(target))
    }

    fn start_with<T: Target>(
        folders: &Folders,
        loaded: &Loaded,
        tell: Tell,
        targets: [T; 2],
    ) -> io::Result<Self> {
        let boot = Moment::now();
        let copies = Arc::new(Copies::new(folders, loaded));
        let saver = Self {
            mailboxes: Default::default(),
            folders: folders.clone(),
            given: Mutex::new(Given {
                number: loaded.number,
                snapshot: Arc::default(),
                at: None,
            }),
            boot,
            copies,
            tell,
        };
        for ((place, mailbox), target) in Place::BOTH.into_iter().zip(&saver.mailboxes).zip(targets) {
            let worker = Worker::new(
                place,
                Arc::clone(mailbox),
                target,
                Arc::clone(&saver.copies),
                saver.boot.clone(),
                Arc::clone(&saver.tell),
            );
            std::thread::Builder::new()
                .name("saver".to_owned())
                .spawn(move || worker.run())?;
        }
        Ok(saver)
    }

    /// Saves what `snapshot` knows, soon. To be called at once when it has come: times are taken now. Never blocks, and costs
    /// what is different from the snapshot before.
    pub fn save(&self, snapshot: Arc<Snapshot>) {
        let (stamped, changes) = {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            given.number = given.number.saturating_add(1);
            let changes = Changes::between(&given.snapshot, &snapshot);
            given.snapshot = Arc::clone(&snapshot);
            let stamped = Stamped {
                snapshot,
                at: tokio::time::Instant::now().into_std(),
                number: given.number,
                moment: self.boot.later(),
            };
            given.at = Some((stamped.at, stamped.moment.clone()));
            (stamped, changes)
        };
        let [state, runtime] = &self.mailboxes;
        state.put_answers(stamped.clone(), changes.without_names());
        runtime.put_answers(stamped, changes);
        self.tell_slow(Instant::now());
    }

    /// When `snapshot` was given to be saved, by the clock of its times and by the one that ages what is saved; `None` unless it
    /// is what was given last.
    #[must_use]
    pub fn given_at(&self, snapshot: &Arc<Snapshot>) -> Option<(Instant, Moment)> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given
            .at
            .clone()
            .filter(|_| Arc::ptr_eq(&given.snapshot, snapshot))
    }

    /// Saves a configuration that came into force as the last good one, soon. Never blocks.
    pub fn save_configuration(&self, configuration: SavedConfiguration) {
        let [state, _] = &self.mailboxes;
        state.put_configuration(configuration);
    }

    /// Waits until everything given so far is written, but no longer than `limit`. One folder that has the answers is
    /// enough; whether both have them.
    ///
    /// # Errors
    /// Neither folder has them, or the state folder lacks a configuration; in words for a log.
    pub async fn flush(&self, limit: Duration) -> Result<bool, FlushError> {
        let deadline = tokio::time::Instant::now() + limit;
        let waiting = self.mailboxes.each_ref().map(|mailbox| mailbox.flush());
        let mut failures = Vec::new();
        let mut is_answers_saved = false;
        let mut is_configuration_lost = false;
        for (place, waiting) in Place::BOTH.into_iter().zip(waiting) {
            let folder = place.folder(&self.folders).display();
            match tokio::time::timeout_at(deadline, waiting).await {
                Ok(Ok(Flushed {
                    answers,
                    configuration,
                })) => {
                    is_answers_saved |= answers.is_ok();
                    is_configuration_lost |= configuration.is_err();
                    failures.extend([configuration, answers].into_iter().filter_map(Result::err));
                }
                Ok(Err(_)) => failures.push(format!("the thread for {folder} has ended")),
                Err(_) => {
                    is_configuration_lost |= place == Place::State && self.mailboxes[0].has_configuration();
                    failures.push(format!(
                        "{folder} was not written within {} s",
                        limit.as_secs_f32()
                    ));
                }
            }
        }
        if is_answers_saved && !is_configuration_lost {
            return Ok(failures.is_empty());
        }
        failures.dedup();
        Err(FlushError(failures))
    }

    /// Waits until what is granted with the answers given so far is where a restart looks for it, in the runtime folder, but
    /// no longer than `limit`, and not at all while the wait before this one is not over. Whether it is; why it is not is told
    /// by the thread.
    pub async fn keep(&self, limit: Duration) -> bool {
        let [_, runtime] = &self.mailboxes;
        let Some(kept) = runtime.keep() else {
            return true;
        };
        if runtime.is_late() {
            return false;
        }
        match tokio::time::timeout(limit, kept).await {
            Ok(kept) => kept.unwrap_or(false),
            Err(_) => {
                runtime.is_waited_for_in_vain();
                false
            }
        }
    }

    /// Tells, once each time, that writing to a folder takes suspiciously long at `now`.
    fn tell_slow(&self, now: Instant) {
        for (place, mailbox) in Place::BOTH.into_iter().zip(&self.mailboxes) {
            if mailbox.is_newly_slow(now) {
                (self.tell)(self.copies.slow(place, &self.boot.later()));
            }
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.close();
        }
    }
}

/// How a flush ended in one folder. In words, where something is not written.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Flushed {
    answers: Result<(), String>,
    configuration: Result<(), String>,
}

type Waiting = oneshot::Receiver<Flushed>;

/// Bytes of a journal from which on it is folded into the answers, however few those are.
const FOLD_MIN: u64 = 1 << 20;
/// Bytes of a journal from which on it is folded, however many those are.
const FOLD_MAX: u64 = 8 << 20;

/// A folder on disk.
struct FolderTarget {
    folder: PathBuf,
    journal: Option<Journal>,
    /// The journal is folded when it has so many bytes: as many as make it no more than twice the work of writing them.
    fold_at: u64,
    /// Bytes that it had when all answers began to be written.
    folded: u64,
}

fn write(folder: &Path, stamped: &Stamped) -> Result<usize, WriteError> {
    let Stamped {
        snapshot,
        at,
        number,
        moment,
    } = stamped;
    answers::save_snapshot(folder, *number, moment, snapshot, *at)
}

impl FolderTarget {
    /// Answers of so many bytes are written.
    fn has_written(&mut self, bytes: usize) {
        self.fold_at = (2 * bytes as u64).clamp(FOLD_MIN, FOLD_MAX);
    }
}

impl Target for FolderTarget {
    fn answers(&mut self, stamped: &Stamped) -> Result<(), WriteError> {
        let bytes = write(&self.folder, stamped)?;
        self.has_written(bytes);
        Ok(())
    }

    fn fold(&mut self, stamped: &Stamped) -> Work {
        self.folded = self.journal.as_ref().map_or(0, Journal::length);
        let (folder, stamped) = (self.folder.clone(), stamped.clone());
        Box::new(move || write(&folder, &stamped))
    }

    fn folded(&mut self, bytes: usize) -> Result<(), WriteError> {
        self.has_written(bytes);
        if let Some(journal) = self.journal.take() {
            self.journal = Some(journal.without(&self.folder, self.folded)?);
        }
        Ok(())
    }

    fn begin_journal(&mut self) -> Result<(), WriteError> {
        self.journal = None;
        self.journal = Some(Journal::begin(&self.folder)?);
        Ok(())
    }

    fn journal(&mut self, record: &Record) -> Result<Added, WriteError> {
        let Some(journal) = &mut self.journal else {
            return Ok(Added::No);
        };
        match journal.append(record) {
            Ok(Appended::Kept(bytes)) if bytes < self.fold_at => Ok(Added::Yes),
            Ok(Appended::Kept(_)) => Ok(Added::AndFull),
            Ok(Appended::Over) => {
                self.journal = None;
                Ok(Added::No)
            }
            Err(error) => {
                self.journal = None;
                Err(error)
            }
        }
    }

    fn configuration(&mut self, configuration: &SavedConfiguration) -> Result<(), WriteError> {
        configuration::save(&self.folder, configuration)
    }
}

#[cfg(test)]
mod tests;
