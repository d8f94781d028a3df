//! Writing all answers beside the thread of a folder, which goes on to note what changes meanwhile.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::mailbox::{Mailbox, Stamped};
use crate::state::file::WriteError;

/// Writes all answers; how many bytes those are.
pub(super) type Work = Box<dyn FnOnce() -> Result<usize, WriteError> + Send>;

/// Answers that a thread of their own is writing.
pub(super) struct Folding {
    pub(super) stamped: Stamped,
    /// Whether they grant something else than what was written whole before.
    pub(super) is_change: bool,
    pub(super) began: Instant,
    thread: JoinHandle<Result<usize, WriteError>>,
}

/// Says that the thread has ended, however it does.
struct Ending(Arc<Mailbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fold_has_ended();
    }
}

impl Folding {
    /// Has a thread do `work`, which writes `stamped`. The mailbox is told when it has ended.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(super) fn start(
        work: Work,
        stamped: Stamped,
        is_change: bool,
        mailbox: &Arc<Mailbox>,
    ) -> io::Result<Self> {
        let ending = Ending(Arc::clone(mailbox));
        let thread = thread::Builder::new().name("folding".to_owned()).spawn(move || {
            let _ending = ending;
            work()
        })?;
        Ok(Self {
            stamped,
            is_change,
            began: Instant::now(),
            thread,
        })
    }

    /// Waits until it has ended; how it did.
    pub(super) fn join(self) -> Result<usize, WriteError> {
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
