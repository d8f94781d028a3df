//! Keeps what granted connections were for on disk, out of the run loop's way.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::warn;

use crate::control::usage::{Change, Saved, Usage};
use crate::state::file::WriteError;
use crate::state::{Folders, usage};

/// How often times and counts are saved. What was never used before is saved at the next look.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long the last save may take.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// Saves it, one save at a time.
pub(super) struct Keeper {
    folders: Folders,
    saved: Instant,
    saving: Option<JoinHandle<Result<(), WriteError>>>,
    /// Whether it is known that it can not be saved.
    has_failed: bool,
}

impl Keeper {
    /// Goes on with what an earlier daemon has saved; without that it begins now.
    pub(super) fn open(folders: Folders, known: &Usage) -> Self {
        match usage::load::<Saved>(&folders) {
            Ok(Some(saved)) => known.go_on(saved),
            Ok(None) => {}
            Err(defect) => warn!(
                "{defect}: since when what is granted is used begins anew; {}",
                defect.hint()
            ),
        }
        Self {
            folders,
            saved: Instant::now(),
            saving: None,
            has_failed: false,
        }
    }

    /// Saves what has changed, when it is time. Does not wait.
    pub(super) async fn look(&mut self, known: &Usage) {
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        self.finish().await;
        let is_due = self.saved.elapsed() >= INTERVAL;
        let change = if is_due { Change::Known } else { Change::New };
        self.save(known, change);
    }

    /// Saves the last of it.
    pub(super) async fn end(&mut self, known: &Usage) {
        let last = async {
            self.finish().await;
            self.save(known, Change::Known);
            self.finish().await;
        };
        if tokio::time::timeout(LAST_LIMIT, last).await.is_err() {
            warn!(
                "what was used of what is granted could not be saved in time: the last minute of it is lost"
            );
        }
    }

    fn save(&mut self, known: &Usage, change: Change) {
        let Some(saved) = known.to_save(change) else {
            return;
        };
        self.saved = Instant::now();
        let folders = self.folders.clone();
        self.saving = Some(tokio::task::spawn_blocking(move || usage::save(&folders, &saved)));
    }

    async fn finish(&mut self) {
        let Some(saving) = self.saving.take() else { return };
        match saving.await {
            Ok(Ok(())) => self.has_failed = false,
            Ok(Err(failed)) if !self.has_failed => {
                self.has_failed = true;
                warn!("what was used of what is granted can not be saved ({failed}): a restart forgets it");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
