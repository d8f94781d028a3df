//! The thread of one folder.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::folding::{Folding, Work};
use super::mailbox::{Sleep, Slot};
use super::news::{Copies, Item};
use super::pace::Pace;
use super::{Flushed, Place, Tell};
use crate::resolve::saved::SavedName;
use crate::state::file::WriteError;
use crate::state::journal::Record;
use crate::state::{Moment, SavedConfiguration};

pub(super) use super::mailbox::{Changes, Mailbox, Stamped};

/// A write that takes longer is told.
pub(super) const SLOW: Duration = Duration::from_secs(30);

/// Where a thread writes to.
pub(super) trait Target: Send + 'static {
    /// Writes all of them.
    fn answers(&mut self, stamped: &Stamped) -> Result<(), WriteError>;
    /// What writes all of them in a thread of its own. What changes from here on is noted meanwhile.
    fn fold(&mut self, stamped: &Stamped) -> Work;
    /// Forgets what was noted before the last [`Self::fold`], which has written so many bytes.
    fn folded(&mut self, bytes: usize) -> Result<(), WriteError>;
    /// Begins to note what changes from here on, and forgets what was noted.
    fn begin_journal(&mut self) -> Result<(), WriteError>;
    /// Notes a change.
    fn journal(&mut self, record: &Record) -> Result<Added, WriteError>;
    fn configuration(&mut self, configuration: &SavedConfiguration) -> Result<(), WriteError>;
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Added {
    /// It is in the journal.
    Yes,
    /// It is, and all answers should be written soon.
    AndFull,
    /// There is no journal any more that it could be added to: all answers have to be written.
    No,
}

/// Those who wait for the thread.
struct Waiters {
    flushes: Vec<oneshot::Sender<Flushed>>,
    keeps: Vec<oneshot::Sender<bool>>,
    is_folded: bool,
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
    /// The newest answers, as long as they are not written whole.
    answers: Option<Stamped>,
    /// Whether they grant something else than what was written whole.
    is_change: bool,
    /// What of that is not in the journal either.
    unkept: Changes,
    /// Whether changes can be added to a journal.
    has_journal: bool,
    /// Why they can not be, unless somebody took the journal away.
    journal_error: Option<WriteError>,
    /// Whether the journal is to be folded into the answers.
    is_full: bool,
    /// While that is done beside this thread.
    folding: Option<Folding>,
    configuration: Option<SavedConfiguration>,
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
            // Nothing was written by this process.
            is_change: true,
            unkept: Changes::default(),
            has_journal: false,
            journal_error: None,
            is_full: false,
            folding: None,
            configuration: None,
        }
    }

    /// Runs until the mailbox is closed.
    pub(super) fn run(mut self) {
        while let Some(waiters) = self.wait() {
            let Waiters {
                flushes,
                keeps,
                is_folded,
            } = waiters;
            self.keep();
            if is_folded {
                self.end_fold();
            }
            // Where writing fails, changes that come by the second do not each try it again.
            let must_keep = !keeps.is_empty() && !self.unkept.is_empty() && !self.pace.is_failing();
            let is_asked = !flushes.is_empty() || must_keep;
            let is_due = is_asked || self.is_due(Instant::now());
            let is_begun = is_due && !is_asked && self.begin_fold();
            let flushed = (is_due && !is_begun).then(|| self.write());
            let is_kept = self.unkept.is_empty();
            let was_slow = {
                let mut slot = self.mailbox.lock();
                slot.busy = None;
                slot.folds = self.folding.as_ref().map(|folding| folding.began);
                slot.is_late = false;
                slot.is_unkept = !is_kept;
                slot.is_configuration_held = self.configuration.is_some();
                self.folding.is_none() && std::mem::take(&mut slot.is_slow_told)
            };
            if was_slow {
                (self.tell)(self.copies.quick_again(self.place));
            }
            // Whoever asked for it may have given up waiting.
            if let Some(flushed) = flushed {
                for flush in flushes {
                    let _ = flush.send(flushed.clone());
                }
            }
            for keep in keeps {
                let _ = keep.send(is_kept);
            }
        }
        self.end_fold();
    }

    /// Waits until there is something to do, and takes what has come; `None` at the end.
    fn wait(&mut self) -> Option<Waiters> {
        let mailbox = Arc::clone(&self.mailbox);
        let mut slot = mailbox.lock();
        loop {
            if slot.is_closed {
                return None;
            }
            self.take(&mut slot);
            let now = Instant::now();
            let can_keep = self.has_journal && !self.unkept.is_empty();
            let is_asked = !slot.flushes.is_empty() || !slot.keeps.is_empty();
            if can_keep || is_asked || slot.is_folded || self.is_due(now) {
                slot.busy = Some(now);
                return Some(Waiters {
                    flushes: std::mem::take(&mut slot.flushes),
                    keeps: std::mem::take(&mut slot.keeps),
                    is_folded: std::mem::take(&mut slot.is_folded),
                });
            }
            let due = self.due().flatten();
            slot.sleep = Some(Sleep {
                has_end: due.is_some(),
                knows_change: self.is_change && self.answers.is_some(),
                is_for_changes: self.place == Place::Runtime,
            });
            slot = match due {
                Some(time) => {
                    let limit = time.saturating_duration_since(now);
                    let waited = mailbox.wake.wait_timeout(slot, limit);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => mailbox.wake.wait(slot).unwrap_or_else(PoisonError::into_inner),
            };
            slot.sleep = None;
        }
    }

    fn take(&mut self, slot: &mut Slot) {
        if let Some(configuration) = slot.configuration.take() {
            self.configuration = Some(configuration);
            slot.is_configuration_held = true;
        }
        if let Some(stamped) = slot.answers.take() {
            self.answers = Some(stamped);
        }
        let changes = std::mem::take(&mut slot.changes);
        self.is_change |= !changes.is_empty();
        if self.place == Place::Runtime {
            self.unkept.and_then(changes);
        }
        slot.is_unkept = !self.unkept.is_empty();
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due.is_none_or(|time| time <= now))
    }

    /// When to write what can not be added to the journal: `None` when there is nothing, `Some(None)` at once.
    fn due(&self) -> Option<Option<Instant>> {
        // What the journal has needs not be written once more before its time.
        let is_kept = self.has_journal && self.unkept.is_empty();
        let can_wait = is_kept && self.folding.is_some();
        let answers = self.answers.as_ref().filter(|_| !can_wait).map(|_| {
            if self.is_full && !self.pace.is_failing() {
                return None;
            }
            self.pace.due(self.is_change && !is_kept)
        });
        let configuration = self.configuration.as_ref().map(|_| self.pace.retry());
        // `None`, at once, is the lesser.
        [answers, configuration].into_iter().flatten().min()
    }

    /// Adds what is new to the journal, where there is one.
    fn keep(&mut self) {
        if !self.has_journal || self.unkept.is_empty() {
            return;
        }
        let Some(record) = self.record() else {
            self.has_journal = false;
            return;
        };
        match self.target.journal(&record) {
            Ok(added @ (Added::Yes | Added::AndFull)) => {
                self.is_full |= added == Added::AndFull;
                self.unkept = Changes::default();
                let news = self.copies.written(self.place, Item::Journal, None);
                self.tell(news);
            }
            Ok(Added::No) => self.has_journal = false,
            Err(error) => {
                self.has_journal = false;
                self.journal_error = Some(error);
            }
        }
    }

    /// `None` when too much changed for one.
    fn record(&self) -> Option<Record> {
        let stamped = self.answers.as_ref()?;
        Some(Record {
            number: stamped.number,
            moment: stamped.moment.clone(),
            names: self
                .unkept
                .names()?
                .iter()
                .map(|known| SavedName::of(known, stamped.at))
                .collect(),
        })
    }

    /// Has everything written beside this thread, where the journal has all that is new: nobody waits for that, and what
    /// changes until it is written goes to the journal. Whether it is so.
    fn begin_fold(&mut self) -> bool {
        let is_kept = self.has_journal && self.unkept.is_empty();
        let Some(stamped) = self.answers.clone() else {
            return false;
        };
        if !is_kept || self.folding.is_some() || self.configuration.is_some() {
            return false;
        }
        let work = self.target.fold(&stamped);
        match Folding::start(work, stamped, self.is_change, &self.mailbox) {
            Ok(folding) => {
                self.is_change = false;
                self.folding = Some(folding);
                true
            }
            // It is written by this thread then.
            Err(_) => false,
        }
    }

    /// Waits until what is written beside this thread is written, if anything is.
    fn end_fold(&mut self) {
        let Some(folding) = self.folding.take() else {
            return;
        };
        let (number, moment) = (folding.stamped.number, folding.stamped.moment.clone());
        let (began, was_change) = (folding.began, folding.is_change);
        let result = folding.join();
        self.mailbox.lock().is_folded = false;
        let noted = result.clone().map(drop);
        let noted = self.note(Item::Answers, noted, Some(&moment));
        self.pace.tried(noted.is_ok(), began, Instant::now());
        let Ok(bytes) = result else {
            self.is_change |= was_change;
            return;
        };
        self.is_full = false;
        self.answers = self.answers.take().filter(|newest| newest.number != number);
        if let Err(error) = self.target.folded(bytes) {
            // The journal still has all of it, and is begun anew once everything is written.
            self.has_journal = false;
            self.is_change = true;
            self.journal_error = Some(error);
        }
    }

    fn write(&mut self) -> Flushed {
        self.end_fold();
        let began = Instant::now();
        let configuration = match &self.configuration {
            Some(configuration) => {
                let result = self.target.configuration(configuration);
                self.note(Item::Configuration, result, None)
            }
            None => Ok(()),
        };
        if configuration.is_ok() {
            self.configuration = None;
        }
        let answers = match &self.answers {
            Some(stamped) => {
                let result = self.target.answers(stamped);
                self.note(Item::Answers, result, Some(&stamped.moment))
            }
            None => Ok(()),
        };
        if answers.is_ok() && self.answers.take().is_some() {
            self.is_change = false;
            self.is_full = false;
            self.unkept = Changes::default();
            self.begin_journal();
        }
        // Where nothing can be written, that is what is told.
        self.journal_error = None;
        self.pace
            .tried(answers.is_ok() && configuration.is_ok(), began, Instant::now());
        Flushed {
            answers,
            configuration,
        }
    }

    fn begin_journal(&mut self) {
        if self.place != Place::Runtime {
            return;
        }
        let begun = self.target.begin_journal();
        self.has_journal = begun.is_ok();
        let error = self.journal_error.take().or(begun.err());
        if let Some(error) = error {
            let news = self
                .copies
                .failed(self.place, Item::Journal, &error.to_string(), &self.boot.later());
            self.tell(news);
        }
    }

    /// Tells what is new about how writing ended, of answers as they were at `moment`.
    fn note(
        &self,
        item: Item,
        result: Result<(), WriteError>,
        moment: Option<&Moment>,
    ) -> Result<(), String> {
        let result = result.map_err(|error| error.to_string());
        let news = match &result {
            Ok(()) => self.copies.written(self.place, item, moment),
            Err(error) => self.copies.failed(self.place, item, error, &self.boot.later()),
        };
        self.tell(news);
        result
    }

    fn tell(&self, news: Option<super::News>) {
        if let Some(news) = news {
            (self.tell)(news);
        }
    }
}
