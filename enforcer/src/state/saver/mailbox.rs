//! The room in front of a saver's thread: the newest of each kind waits in it, however long the thread takes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::worker::SLOW;
use super::{Flushed, Waiting};
use crate::resolve::{NameSnapshot, Snapshot};
use crate::state::{Moment, SavedConfiguration};

/// More names than this at a time are written with all the others.
const NAMES_MAX: usize = 16_384;

/// Answers, and both clocks when they were as they are.
#[derive(Clone)]
pub(super) struct Stamped {
    pub(super) snapshot: Arc<Snapshot>,
    /// Of the clock that the snapshot's times are of.
    pub(super) at: Instant,
    pub(super) number: u64,
    pub(super) moment: Moment,
}

/// What is granted otherwise than before.
#[derive(Clone)]
pub(super) enum Changes {
    /// With these names, as they are now; a later one of the same name counts.
    Names(Vec<Arc<NameSnapshot>>),
    /// With more than can be said.
    Many,
}

impl Default for Changes {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl Changes {
    /// Names of which other addresses are held in `new` than in `old`.
    pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let Some(changes) = new.names.changes_since(&old.names) else {
            return Self::Many;
        };
        let changes = changes.into_iter().filter(|(old, new)| !new.holds_as(old));
        Self::Names(changes.map(|(_, new)| Arc::clone(new)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// The names, when they are known.
    pub(super) fn names(&self) -> Option<&[Arc<NameSnapshot>]> {
        match self {
            Self::Names(names) => Some(names),
            Self::Many => None,
        }
    }

    /// The same for somebody who only has to know whether there is a change.
    pub(super) fn without_names(&self) -> Self {
        if self.is_empty() {
            Self::default()
        } else {
            Self::Many
        }
    }

    /// Adds what changed later.
    pub(super) fn and_then(&mut self, later: Self) {
        match (&mut *self, later) {
            (Self::Names(names), Self::Names(later)) if names.len() + later.len() <= NAMES_MAX => {
                names.extend(later);
            }
            (_, later) if later.is_empty() => {}
            _ => *self = Self::Many,
        }
    }
}

/// What waits for a thread: the newest of each kind.
#[derive(Default)]
pub(super) struct Mailbox {
    slot: Mutex<Slot>,
    pub(super) wake: Condvar,
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) answers: Option<Stamped>,
    /// Everything that changed since the thread took the answers last.
    pub(super) changes: Changes,
    /// The thread has a change that it has not kept.
    pub(super) is_unkept: bool,
    pub(super) configuration: Option<SavedConfiguration>,
    /// A configuration is with the thread, and not written yet.
    pub(super) is_configuration_held: bool,
    pub(super) flushes: Vec<oneshot::Sender<Flushed>>,
    pub(super) keeps: Vec<oneshot::Sender<bool>>,
    pub(super) is_closed: bool,
    /// Since when the thread has been writing.
    pub(super) busy: Option<Instant>,
    pub(super) is_slow_told: bool,
    /// Since when a thread beside it has been writing.
    pub(super) folds: Option<Instant>,
    /// That one has ended.
    pub(super) is_folded: bool,
    /// How the thread sleeps, while it does.
    pub(super) sleep: Option<Sleep>,
    /// What the thread is writing was waited for in vain.
    pub(super) is_late: bool,
}

/// For what a thread that sleeps has to be woken.
#[derive(Clone, Copy)]
pub(super) struct Sleep {
    /// It wakes by itself, and finds what there is then.
    pub(super) has_end: bool,
    /// It has to write because of a change already.
    pub(super) knows_change: bool,
    /// It adds each change to the journal.
    pub(super) is_for_changes: bool,
}

impl Mailbox {
    pub(super) fn put_answers(&self, stamped: Stamped, changes: Changes) {
        let mut slot = self.lock();
        let is_news = slot.sleep.is_some_and(|sleep| {
            !sleep.has_end || (!changes.is_empty() && (sleep.is_for_changes || !sleep.knows_change))
        });
        slot.answers = Some(stamped);
        slot.changes.and_then(changes);
        drop(slot);
        if is_news {
            self.wake.notify_one();
        }
    }

    pub(super) fn put_configuration(&self, configuration: SavedConfiguration) {
        self.change(|slot| slot.configuration = Some(configuration));
    }

    pub(super) fn flush(&self) -> Waiting {
        let (tell, waiting) = oneshot::channel();
        self.change(|slot| slot.flushes.push(tell));
        waiting
    }

    /// Tells whether every change so far is kept, once it was tried; `None` when they all are.
    pub(super) fn keep(&self) -> Option<oneshot::Receiver<bool>> {
        let (tell, waiting) = oneshot::channel();
        {
            let mut slot = self.lock();
            if slot.changes.is_empty() && !slot.is_unkept {
                return None;
            }
            // While a disk hangs nobody takes them out, and those who waited have given up.
            slot.keeps.retain(|keep| !keep.is_closed());
            slot.keeps.push(tell);
        }
        self.wake.notify_one();
        Some(waiting)
    }

    /// Whether the thread is still at what was waited for in vain.
    pub(super) fn is_late(&self) -> bool {
        self.lock().is_late
    }

    /// A wait for the thread was given up.
    pub(super) fn is_waited_for_in_vain(&self) {
        let mut slot = self.lock();
        slot.is_late = slot.busy.is_some();
    }

    /// The thread beside the thread has ended.
    pub(super) fn fold_has_ended(&self) {
        self.change(|slot| slot.is_folded = true);
    }

    pub(super) fn close(&self) {
        self.change(|slot| slot.is_closed = true);
    }

    /// Whether a configuration is not written yet.
    pub(super) fn has_configuration(&self) -> bool {
        let slot = self.lock();
        slot.configuration.is_some() || slot.is_configuration_held
    }

    /// Whether anything that is being written takes longer than [`SLOW`], the first time that this is asked.
    pub(super) fn is_newly_slow(&self, now: Instant) -> bool {
        let mut slot = self.lock();
        let mut since = [slot.busy, slot.folds].into_iter().flatten();
        let is_slow = since.any(|since| now.saturating_duration_since(since) >= SLOW);
        is_slow && !std::mem::replace(&mut slot.is_slow_told, true)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }
}
