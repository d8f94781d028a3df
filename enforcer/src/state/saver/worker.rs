//! The thread of one folder, and the room in front of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::news::{Copies, Item};
use super::pace::Pace;
use super::{Flushed, Place, Tell, Waiting};
use crate::resolve::{SavedAnswers, Snapshot};
use crate::state::answers::Save;
use crate::state::file::WriteError;
use crate::state::{Moment, SavedConfiguration};

/// A write that takes longer is told.
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// Where a thread writes to.
pub(super) trait Target: Send + 'static {
    fn answers(&mut self, save: &Save) -> Result<(), WriteError>;
    fn configuration(&mut self, configuration: &SavedConfiguration) -> Result<(), WriteError>;
}

/// Answers, and both clocks when they were as they are.
#[derive(Clone)]
pub(super) struct Stamped {
    pub(super) snapshot: Arc<Snapshot>,
    /// Of the clock that the snapshot's times are of.
    pub(super) at: Instant,
    pub(super) number: u64,
    pub(super) moment: Moment,
}

/// What waits for a thread: the newest of each kind.
#[derive(Default)]
pub(super) struct Mailbox {
    slot: Mutex<Slot>,
    wake: Condvar,
}

#[derive(Default)]
struct Slot {
    answers: Option<Stamped>,
    configuration: Option<SavedConfiguration>,
    /// A configuration is with the thread, and not written yet.
    is_configuration_held: bool,
    flushes: Vec<oneshot::Sender<Flushed>>,
    is_closed: bool,
    /// Since when the thread has been writing.
    busy: Option<Instant>,
    is_slow_told: bool,
}

impl Mailbox {
    pub(super) fn put_answers(&self, stamped: Stamped) {
        self.change(|slot| slot.answers = Some(stamped));
    }

    pub(super) fn put_configuration(&self, configuration: SavedConfiguration) {
        self.change(|slot| slot.configuration = Some(configuration));
    }

    pub(super) fn flush(&self) -> Waiting {
        let (tell, waiting) = oneshot::channel();
        self.change(|slot| slot.flushes.push(tell));
        waiting
    }

    pub(super) fn close(&self) {
        self.change(|slot| slot.is_closed = true);
    }

    /// Whether a configuration is not written yet.
    pub(super) fn has_configuration(&self) -> bool {
        let slot = self.lock();
        slot.configuration.is_some() || slot.is_configuration_held
    }

    /// Whether what is being written takes longer than [`SLOW`], the first time that this is asked.
    pub(super) fn is_newly_slow(&self, now: Instant) -> bool {
        let mut slot = self.lock();
        let is_slow = slot
            .busy
            .is_some_and(|since| now.saturating_duration_since(since) >= SLOW);
        is_slow && !std::mem::replace(&mut slot.is_slow_told, true)
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
pub(super) struct Worker<T> {
    place: Place,
    mailbox: Arc<Mailbox>,
    target: T,
    copies: Arc<Copies>,
    boot: Moment,
    tell: Tell,
    pace: Pace,
    /// What is to be written.
    answers: Option<Save>,
    configuration: Option<SavedConfiguration>,
    /// What was written last.
    written: Option<SavedAnswers>,
}

impl<T: Target> Worker<T> {
    pub(super) fn new(
        place: Place,
        mailbox: Arc<Mailbox>,
        target: T,
        copies: Arc<Copies>,
        boot: Moment,
        tell: Tell,
    ) -> Self {
        Self {
            place,
            mailbox,
            target,
            copies,
            boot,
            tell,
            pace: Pace::new(place.interval()),
            answers: None,
            configuration: None,
            written: None,
        }
    }

    /// Runs until the mailbox is closed.
    pub(super) fn run(mut self) {
        while let Some(flushes) = self.wait() {
            let flushed = self.write();
            self.pace.tried(
                flushed.answers.is_ok() && flushed.configuration.is_ok(),
                Instant::now(),
            );
            let was_slow = {
                let mut slot = self.mailbox.lock();
                slot.busy = None;
                slot.is_configuration_held = self.configuration.is_some();
                std::mem::take(&mut slot.is_slow_told)
            };
            if was_slow {
                (self.tell)(self.copies.quick_again(self.place));
            }
            for flush in flushes {
                // Whoever asked for it may have given up waiting.
                let _ = flush.send(flushed.clone());
            }
        }
    }

    /// Waits until there is something to do, and takes what has come; `None` at the end.
    fn wait(&mut self) -> Option<Vec<oneshot::Sender<Flushed>>> {
        let mailbox = Arc::clone(&self.mailbox);
        let mut slot = mailbox.lock();
        loop {
            if slot.is_closed {
                return None;
            }
            if let Some(configuration) = slot.configuration.take() {
                self.configuration = Some(configuration);
                slot.is_configuration_held = true;
            }
            if let Some(stamped) = slot.answers.take() {
                // It takes a while with many names, for which nobody has to wait.
                drop(slot);
                self.answers = Some(Save {
                    number: stamped.number,
                    moment: stamped.moment,
                    answers: SavedAnswers::of(&stamped.snapshot, stamped.at),
                });
                slot = mailbox.lock();
                continue;
            }
            let now = Instant::now();
            let due = self.due();
            let is_due = due.is_some_and(|due| due.is_none_or(|time| time <= now));
            if is_due || !slot.flushes.is_empty() {
                slot.busy = Some(now);
                return Some(std::mem::take(&mut slot.flushes));
            }
            slot = match due.flatten() {
                Some(time) => {
                    let limit = time.saturating_duration_since(now);
                    let waited = mailbox.wake.wait_timeout(slot, limit);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => mailbox.wake.wait(slot).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// When to write: `None` when there is nothing, `Some(None)` at once.
    fn due(&self) -> Option<Option<Instant>> {
        let answers = self.answers.as_ref().map(|save| {
            let same = |written: &SavedAnswers| written.grants_as(&save.answers);
            self.pace.due(!self.written.as_ref().is_some_and(same))
        });
        let configuration = self.configuration.as_ref().map(|_| self.pace.retry());
        // `None`, at once, is the lesser.
        [answers, configuration].into_iter().flatten().min()
    }

    fn write(&mut self) -> Flushed {
        let configuration = match &self.configuration {
            Some(configuration) => self.target.configuration(configuration),
            None => Ok(()),
        };
        let configuration = self.note(Item::Configuration, configuration, self.configuration.is_some());
        if configuration.is_ok() {
            self.configuration = None;
        }
        let answers = match &self.answers {
            Some(save) => self.target.answers(save),
            None => Ok(()),
        };
        let answers = self.note(Item::Answers, answers, self.answers.is_some());
        if answers.is_ok()
            && let Some(save) = self.answers.take()
        {
            self.written = Some(save.answers);
        }
        Flushed {
            answers,
            configuration,
        }
    }

    /// Tells what is new about how writing ended.
    fn note(&self, item: Item, result: Result<(), WriteError>, was_written: bool) -> Result<(), String> {
        let result = result.map_err(|error| error.to_string());
        let news = match &result {
            Ok(()) if was_written => {
                let saved = self.answers.as_ref().filter(|_| item == Item::Answers);
                self.copies
                    .written(self.place, item, saved.map(|save| &save.moment))
            }
            Ok(()) => None,
            Err(error) => self.copies.failed(self.place, item, error, &self.boot.later()),
        };
        if let Some(news) = news {
            (self.tell)(news);
        }
        result
    }
}
