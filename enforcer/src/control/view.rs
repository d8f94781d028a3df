//! What the run loop publishes, and what it may be asked to do.
//!
//! A [`View`] never changes: whoever holds one sees one moment, and holds nobody up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::history::{History, Moment};
use super::model::{Hook, ReloadOutcome};
use crate::daemon::names;
use crate::daemon::policy::Policy;
use crate::kernel::{Counters, Damage};
use crate::resolve::Snapshot;
use crate::resolve::health::Standing;

/// Orders that wait for the run loop; more are refused at once.
const ORDERS_MAX: usize = 16;

/// The daemon at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The name of the instance.
    pub instance: String,
    /// The process.
    pub pid: u32,
    /// When the daemon was started.
    pub started: Moment,
    /// The configuration that it reads.
    pub file: PathBuf,
    /// The policy that is followed.
    pub policy: Arc<Policy>,
    /// The answers that are known.
    pub answers: Arc<Snapshot>,
    /// The generation in force.
    pub generation: u64,
    /// When it came into force; `None` when it was found in the kernel.
    pub applied: Option<Moment>,
    /// Spans of addresses that are granted.
    pub spans: usize,
    /// Where the programs are attached.
    pub cgroup: PathBuf,
    /// When they were attached first, over restarts of the daemon.
    pub attached: Option<Moment>,
    /// Every hook.
    pub hooks: Vec<Hook>,
    /// What the daemon found at its last look at itself.
    pub findings: Findings,
    /// Whom it asks.
    pub upstreams: Vec<Standing>,
    /// What was denied, at the last look.
    pub counters: Counters,
    /// Who may ask beside root: the group's id, or why its name has none.
    pub group: Option<Result<u32, String>>,
    /// The last reload, where it was refused.
    pub refused: Option<Refusal>,
}

/// What is not as it should be.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The cgroup was removed.
    pub is_gone: bool,
    /// What somebody has taken away.
    pub damages: Vec<Damage>,
    /// What the loaded programs get wrong.
    pub wrong: Option<String>,
    /// When enforcement ends unless it is confirmed, since boot (`CLOCK_BOOTTIME`).
    pub revert: Option<Duration>,
    /// Whether that time has come.
    pub has_reverted: bool,
    /// Whether a policy that was found in the kernel is in force, until every name has an answer.
    pub holds: bool,
    /// Whether denials are only counted, since their events can not be read.
    pub is_deaf: bool,
}

/// A reload that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When.
    pub moment: Moment,
    /// Why, in a sentence.
    pub why: String,
}

/// What the run loop may be asked to do.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again.
    Reload {
        /// Where the outcome goes.
        reply: oneshot::Sender<ReloadOutcome>,
    },
    /// Look again, and publish what is found.
    Refresh {
        /// Done.
        reply: oneshot::Sender<()>,
    },
}

/// Where the run loop and the others meet.
#[derive(Debug)]
pub struct Board {
    view: watch::Sender<Option<Arc<View>>>,
    orders: mpsc::Sender<Order>,
    /// The last events.
    pub history: History,
    /// Which names addresses were answered for; the run loop learns them.
    pub names: names::History,
    /// When the board was made.
    epoch: Instant,
    /// The last sign of life of the run loop, in milliseconds since then.
    alive_ms: AtomicU64,
}

/// Why an order was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// Too many wait already.
    #[error("the daemon has too many orders to follow already")]
    Busy,
    /// No answer in time.
    #[error("the run loop of the daemon does not answer")]
    Silent,
}

impl Board {
    /// An empty board, and where its orders come out.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let board = Self {
            view: watch::Sender::new(None),
            orders,
            history: History::default(),
            names: names::History::default(),
            epoch: Instant::now(),
            alive_ms: AtomicU64::new(0),
        };
        (Arc::new(board), ordered)
    }

    /// Publishes what is now; to be called by the run loop alone.
    pub fn publish(&self, view: View) {
        self.view.send_replace(Some(Arc::new(view)));
        self.alive();
    }

    /// The run loop is alive.
    pub fn alive(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.alive_ms.store(now, Ordering::Relaxed);
    }

    /// How long ago it said so.
    #[must_use]
    pub fn last_sign(&self) -> Duration {
        let then = Duration::from_millis(self.alive_ms.load(Ordering::Relaxed));
        self.epoch.elapsed().saturating_sub(then)
    }

    /// What was published last; `None` before the policy is in force.
    #[must_use]
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.borrow().clone()
    }

    /// As [`Self::view`], after the run loop was asked to look again. One that does not answer within `limit` changes
    /// nothing: what was published last is given.
    pub async fn newest(&self, limit: Duration) -> Option<Arc<View>> {
        // That it is late shows in its last sign of life.
        let _looked = self.order(limit, |reply| Order::Refresh { reply }).await;
        self.view()
    }

    /// Asks the run loop for something.
    ///
    /// # Errors
    /// An [`OrderError`].
    pub async fn order<T>(
        &self,
        limit: Duration,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, OrderError> {
        let (reply, replied) = oneshot::channel();
        self.orders.try_send(order(reply)).map_err(|_| OrderError::Busy)?;
        match tokio::time::timeout(limit, replied).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(OrderError::Silent),
        }
    }
}
