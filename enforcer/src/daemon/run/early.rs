//! A start from the table that was in force last, and an end that saves it: see [`crate::state::table`].
//!
//! Whatever stands in its way is no error: the start is a longer one then, and tells by itself what is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::super::enforcing::Enforcing;
use super::health::since_boot;
use super::kept::Kept;
use super::{Daemon, Options};
use crate::config::{Capacity, Enforce, Mode};
use crate::kernel::{Ahead, Cgroup, Image, KernelError, LinkFound, MapsFound, Pins, pins};
use crate::resolve::{Snapshot, Standing};
use crate::state::table::{self, SavedTable, Scope, Unusable};
use crate::state::{Folders, Instance, Moment, confirmed};

/// How long the end of the process waits for the disk.
const LIMIT: Duration = Duration::from_secs(3);

/// What is in force before anything else was read.
pub(super) struct Early {
    pub(super) pins: Arc<Pins>,
    scope: Scope,
    capacity: Capacity,
    maps: MapsFound,
    links: Vec<LinkFound>,
    verifying: Verifying,
}

/// What an early start comes to.
pub(super) struct Enforced {
    pub(super) enforcing: Enforcing,
    pub(super) maps: MapsFound,
    pub(super) links: Vec<LinkFound>,
}

/// The kernel verifies the rest of the programs, in a thread. Dropping it waits, and what is enforced ends with it.
struct Verifying(Option<JoinHandle<(Enforcing, Result<(), KernelError>)>>);

impl Drop for Verifying {
    fn drop(&mut self) {
        let _ended = self.0.take().map(JoinHandle::join);
    }
}

impl Early {
    /// Puts the saved table into force where it may be, and nothing is in force yet.
    pub(super) fn start(instance: &Instance, options: &Options, ahead: &mut Option<Ahead>) -> Option<Self> {
        if pins::is_anything_pinned(instance.as_str()) {
            return None;
        }
        let folders = Folders::of(instance);
        let SavedTable { scope, image } = match table::load(&folders, &options.file, &Moment::now()) {
            Ok(saved) => saved?,
            Err(Unusable::Defect(defect)) => {
                error!("{defect}: it is not used; {}", defect.hint());
                return None;
            }
            Err(why) => {
                tell_unused(&why);
                return None;
            }
        };
        let Ok(image) = Image::from_bytes(&image) else {
            tell_unused(&"its words are no table");
            return None;
        };
        // What is wrong with either is told when it is needed again.
        let pins = Pins::open(instance.as_str()).ok()?;
        let cgroup = open(scope.cgroup.as_ref())?;
        let early = Self::enforce(Arc::new(pins), scope, &image, &cgroup, ahead, |enforcing| {
            if let Some(limit) = options.confirm
                && !confirmed::is_set(&folders).unwrap_or(false)
            {
                enforcing.set_revert(Some(since_boot() + limit));
            }
        });
        early.unwrap_or_else(|error| {
            warn!(
                "the table that was in force last can not be put back ({error}): the answers are read first"
            );
            None
        })
    }

    fn enforce(
        pins: Arc<Pins>,
        scope: Scope,
        image: &Image,
        cgroup: &Cgroup,
        ahead: &mut Option<Ahead>,
        limit: impl FnOnce(&mut Enforcing),
    ) -> Result<Option<Self>, KernelError> {
        if image.settings().mode != Mode::Enforce || pins::is_anything_in(pins.folder()) {
            return Ok(None);
        }
        let ahead = ahead.take().unwrap_or_else(Ahead::start);
        let Some((mut enforcing, maps)) = Enforcing::load_image(&scope.ports, image, &pins, ahead)? else {
            return Ok(None);
        };
        limit(&mut enforcing);
        let links = enforcing.attach(cgroup)?;
        info!("the table that was in force last is in force again, until it is known what it should be now");
        let verify = move || {
            let outcome = enforcing.verify_rest();
            (enforcing, outcome)
        };
        let verifying = thread::Builder::new().name("loading".to_owned()).spawn(verify);
        // Without a thread, what was enforced has just ended with the closure.
        let Ok(verifying) = verifying else {
            return Ok(None);
        };
        Ok(Some(Self {
            pins,
            scope,
            capacity: image.capacity(),
            maps,
            links,
            verifying: Verifying(Some(verifying)),
        }))
    }

    /// What it comes to, once all programs are verified, for a policy with these settings; `None` where these are not what the
    /// programs were loaded for, since somebody has changed the configuration at this very moment. Then nothing is enforced.
    ///
    /// # Errors
    /// The kernel refused a program; nothing is enforced then.
    pub(super) fn finish(mut self, mode: Mode, enforce: &Enforce) -> Result<Option<Enforced>, KernelError> {
        let joined = self.verifying.0.take().and_then(|thread| thread.join().ok());
        let Some((enforcing, outcome)) = joined else {
            return Ok(None);
        };
        outcome?;
        let is_this =
            mode == Mode::Enforce && self.scope == scope_of(enforce) && self.capacity == enforce.capacity;
        Ok(is_this.then_some(Enforced {
            enforcing,
            maps: self.maps,
            links: self.links,
        }))
    }
}

fn tell_unused(why: &dyn std::fmt::Display) {
    info!("the table that was in force last is not used ({why}): the answers are read first");
}

fn open(path: Option<&PathBuf>) -> Option<Cgroup> {
    path.map_or_else(Cgroup::root, |path| Cgroup::open(path)).ok()
}

fn scope_of(enforce: &Enforce) -> Scope {
    Scope {
        ports: enforce.ports.clone(),
        cgroup: enforce.cgroup.clone(),
    }
}

/// How long from `at` on the first address that is granted for a while only may be; `None` when there is none.
fn left(answers: &Snapshot, at: Instant) -> Option<Duration> {
    let addresses = answers.names.iter().flat_map(|known| known.addresses.iter());
    let ends = addresses.filter_map(|known| match known.standing {
        Standing::Current => None,
        Standing::Retired { until } => Some(until.saturating_duration_since(at)),
    });
    ends.min()
}

impl Daemon {
    /// Saves what is in force for the next start, where that can start with it. Everything else is saved.
    pub(super) async fn keep_table(&self, kept: &Kept) {
        if self.policy.config.mode != Mode::Enforce || self.policy.grants_by_system() {
            return;
        }
        // Of answers that are not those on disk there is none. From the moment that these have: the clock of the daemon stands
        // still while the machine is suspended, and the one that ages them does not.
        let Some((at, moment)) = kept.saved_at(&self.told) else {
            return;
        };
        let Some(image) = self.enforcing.image(&self.policy, &self.told) else {
            return;
        };
        let folders = kept.folders().clone();
        let (path, text) = (self.file.clone(), self.text.clone());
        let scope = scope_of(&self.policy.config.enforce);
        let left = (moment, left(&self.told, at));
        let (tell, told) = tokio::sync::oneshot::channel();
        let save = move || {
            let outcome = table::save(&folders, (&path, &text), scope, left, &image.to_bytes());
            // Whoever waited may have given up.
            let _told = tell.send(outcome);
        };
        if thread::Builder::new()
            .name("saver".to_owned())
            .spawn(save)
            .is_err()
        {
            return;
        }
        match tokio::time::timeout(LIMIT, told).await {
            Ok(Ok(Ok(()))) => debug!("the table in force is saved for the next start"),
            Ok(Ok(Err(failed))) => {
                warn!(
                    "the table in force is not saved ({failed}): after a reboot the answers are read first"
                );
            }
            Ok(Err(_)) => {}
            Err(_) => warn!("the table in force was not saved within {} s", LIMIT.as_secs()),
        }
    }
}
