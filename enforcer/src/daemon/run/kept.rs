//! What a service keeps beyond its process: pins in the kernel, answers and configuration on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tracing::{error, info, warn};

use super::super::failure;
use super::super::policy::Policy;
use crate::kernel::Pins;
use crate::resolve::{SavedAnswers, Snapshot};
use crate::state::configuration::Recorded;
use crate::state::saver::News;
use crate::state::{Folders, Instance, Moment, SavedConfiguration, Saver, answers, configuration, confirmed};

/// How long the end of the process waits for a disk.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// How long new answers wait for the runtime folder, which is in memory as a rule, before they come into force.
const KEEP_LIMIT: Duration = Duration::from_millis(500);

/// The pins and folders of an instance.
pub(super) struct Kept {
    pub(super) pins: Arc<Pins>,
    folders: Folders,
    saver: Saver,
}

impl Kept {
    /// Takes the instance, unless its pins are taken, and what its last process saved.
    pub(super) fn open(
        instance: &Instance,
        pins: Option<Arc<Pins>>,
    ) -> anyhow::Result<(Self, Option<SavedAnswers>)> {
        let pins = match pins {
            Some(pins) => pins,
            None => Arc::new(Pins::open(instance.as_str()).map_err(failure::of_kernel)?),
        };
        let folders = Folders::of(instance);
        let mut loaded = answers::load(&folders, &Moment::now());
        for defect in &loaded.defects {
            error!("{defect}: it is not used; {}", defect.hint());
        }
        let found = loaded
            .found
            .take()
            .filter(|found| !found.answers.names.is_empty());
        if let Some(found) = &found {
            info!("{found}");
        }
        let saved = found.map(|found| found.answers);
        let saver = Saver::start(&folders, &loaded, Arc::new(tell)).context("no thread can be started")?;
        let kept = Self { pins, folders, saver };
        Ok((kept, saved))
    }

    /// Whether `recorded` is known to be another configuration than the one that came into force last.
    pub(super) fn is_changed(&self, recorded: &SavedConfiguration) -> bool {
        // What can not be read has been told when it was needed, or will be replaced.
        configuration::load(&self.folders).is_ok_and(|last| last.is_some_and(|last| last != *recorded))
    }

    /// Saves what is known now.
    pub(super) fn save(&self, snapshot: &Arc<Snapshot>) {
        self.saver.save(Arc::clone(snapshot));
    }

    /// Waits until what was saved survives the process, but not for long: who is killed between granting an address and
    /// saving it would take it away again with the next start, from connections that use it.
    pub(super) async fn keep(&self) {
        // What is wrong with the folder is told by the saver, and no reason not to grant.
        let _kept = self.saver.keep(KEEP_LIMIT).await;
    }

    /// Saves the configuration that has come into force.
    pub(super) fn save_configuration(&self, recorded: SavedConfiguration) {
        self.saver.save_configuration(recorded);
    }

    /// Waits for the disk, but not for long. Whether everything is where it belongs.
    pub(super) async fn flush(&self) -> bool {
        self.saver.flush(FLUSH_LIMIT).await.unwrap_or_else(|failed| {
            warn!("{failed}");
            false
        })
    }

    /// When `snapshot` was saved, by its own clock and by the one that ages it on disk; `None` unless it was saved last.
    pub(super) fn saved_at(&self, snapshot: &Arc<Snapshot>) -> Option<(Instant, Moment)> {
        self.saver.given_at(snapshot)
    }

    /// Where everything is saved.
    pub(super) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Whether somebody has confirmed that the enforcement does not lock him out.
    pub(super) fn is_confirmed(&self) -> bool {
        confirmed::is_set(&self.folders).unwrap_or_else(|defect| {
            error!("{defect}: it counts as not confirmed; {}", defect.hint());
            false
        })
    }

    /// Remembers that somebody has.
    pub(super) fn confirm(&self) {
        if let Err(failed) = confirmed::set(&self.folders) {
            warn!(
                "that it was confirmed can not be saved ({failed}): after a restart it has to be confirmed again"
            );
        }
    }
}

fn tell(news: News) {
    if news.is_bad {
        warn!("{}", news.text);
    } else {
        info!("{}", news.text);
    }
}

/// The policy of `file`; where that has errors, the one that was in force last. With what it was made of, and whether
/// that is of the file and to be saved.
pub(super) fn policy(file: &Path, instance: &Instance) -> anyhow::Result<(Policy, Recorded, bool)> {
    let (problems, outcome) = Policy::load_recorded(file);
    let outcome = outcome.and_then(|(policy, recorded)| {
        // What is too large without any answer will not fit with them either.
        policy.fits(&Snapshot::default())?;
        Ok((policy, recorded))
    });
    let failed = match outcome {
        Ok((policy, recorded)) => {
            problems.iter().for_each(|problem| warn!("{problem}"));
            return Ok((policy, recorded, true));
        }
        Err(failed) => failed,
    };
    problems.iter().for_each(|problem| error!("{problem}"));
    let saved = configuration::load(&Folders::of(instance)).unwrap_or_else(|defect| {
        error!("{defect}: it is not used; {}", defect.hint());
        None
    });
    let Some(saved) = saved.filter(|saved| saved.path == file) else {
        return Err(failed.context(crate::cli::Failure::msg(
            format!("`{}` can not be enforced", file.display()),
            format!(
                "mend it, and look again with `enforcer check {}`; what an earlier run has pinned stays in force",
                file.display()
            ),
        )));
    };
    let (_, policy) = Policy::of_saved(&saved);
    let policy = policy.context("neither can the configuration that was in force last")?;
    error!(
        "`{}` can not be used ({failed:#}): the configuration that was in force last is enforced instead; mend the file \
         and reload",
        file.display()
    );
    let recorded = Recorded::of_saved(saved);
    Ok((policy, recorded, false))
}
