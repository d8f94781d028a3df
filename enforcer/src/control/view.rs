//! What the run loop publishes, and what it may be asked to do.
//!
//! A [`View`] never changes: whoever holds one sees one moment, and holds nobody up.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::history::{History, Moment};
use super::model::{Hook, ReloadOutcome};
use super::usage::Usage;
use crate::daemon::names;
use crate::daemon::policy::Policy;
use crate::kernel::{Counters, Damage};
use crate::resolve::Snapshot;
use crate::resolve::health::Standing;

/// Reloads that wait for the run loop; more are refused at once.
const RELOADS_MAX: usize = 16;

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
    /// What is counted for metrics.
    pub metered: Metered,
}

/// What is counted for metrics. Whatever counts up here never goes back as long as the daemon lives.
#[derive(Clone, Debug, Default)]
pub struct Metered {
    /// What was denied in all: what was found in the kernel at the start, and everything since.
    pub totals: Counters,
    /// Events that were read.
    pub told: Told,
    /// Reloads.
    pub reloads: Reloads,
    /// How many of the spans of addresses are of IPv6.
    pub spans_v6: usize,
    /// Why nobody can connect to the configured port.
    pub port_trouble: Option<String>,
}

/// Events by verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Something was denied.
    pub denied: u64,
    /// It would have been.
    pub audit: u64,
}

/// Reloads by outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reloads {
    /// A policy came into force.
    pub applied: u64,
    /// What there was before stays.
    pub refused: u64,
    /// When one was last applied.
    pub last: Option<Moment>,
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
    /// Look again, and publish what is found, for all who have asked so far.
    Refresh {
        /// Whom it is done for.
        reply: Looked,
    },
}

/// Where orders come out. Reloads, which are root's, have places of their own; whoever only asks joins the others who do.
#[derive(Debug)]
pub struct Orders {
    reloads: mpsc::Receiver<Order>,
    asked: watch::Receiver<u64>,
    looked: watch::Sender<u64>,
}

/// Those who want to know what is now.
#[derive(Debug)]
pub struct Looked {
    /// The number of the last one.
    number: u64,
    tell: watch::Sender<u64>,
}

impl Orders {
    /// The next order; `None` once nobody can give one. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Order> {
        tokio::select! {
            biased;
            order = self.reloads.recv() => order,
            Ok(()) = self.asked.changed() => {
                let number = *self.asked.borrow_and_update();
                let tell = self.looked.clone();
                Some(Order::Refresh { reply: Looked { number, tell } })
            }
        }
    }
}

impl Looked {
    /// What was found is published.
    pub fn done(self) {
        self.tell.send_replace(self.number);
    }
}

/// Where the run loop and the others meet.
#[derive(Debug)]
pub struct Board {
    view: watch::Sender<Option<Arc<View>>>,
    reloads: mpsc::Sender<Order>,
    /// How many have wanted to know what is now, and for how many of them the run loop has looked.
    asked: watch::Sender<u64>,
    looked: watch::Sender<u64>,
    /// Who may ask beside root before there is a view.
    group: OnceLock<u32>,
    /// The last events.
    pub history: History,
    /// What granted connections were for.
    pub usage: Usage,
    /// Which names addresses were answered for; the run loop learns them.
    pub names: names::History,
    /// When the board was made.
    epoch: Instant,
    /// The last sign of life of the run loop, in milliseconds since then.
    alive_ms: AtomicU64,
    /// Why nobody can connect to the configured port.
    port_trouble: Mutex<Option<String>>,
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
    pub fn new() -> (Arc<Self>, Orders) {
        let (reloads, ordered) = mpsc::channel(RELOADS_MAX);
        let (asked, looked) = (watch::Sender::new(0), watch::Sender::new(0));
        let orders = Orders {
            reloads: ordered,
            asked: asked.subscribe(),
            looked: looked.clone(),
        };
        let board = Self {
            view: watch::Sender::new(None),
            reloads,
            asked,
            looked,
            group: OnceLock::new(),
            history: History::default(),
            usage: Usage::default(),
            names: names::History::default(),
            epoch: Instant::now(),
            alive_ms: AtomicU64::new(0),
            port_trouble: Mutex::default(),
        };
        (Arc::new(board), orders)
    }

    /// Says who may ask, before there is a view that does. Once.
    pub fn set_group(&self, group: u32) {
        // The first word holds: it is that of the start.
        let _kept = self.group.set(group);
    }

    /// Who may ask beside root.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        match self.view() {
            Some(view) => view.group.clone()?.ok(),
            None => self.group.get().copied(),
        }
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

    /// What is published, as it changes.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Option<Arc<View>>> {
        self.view.subscribe()
    }

    /// Why nobody can connect to the configured port; `None` when anybody can, or none is configured.
    #[must_use]
    pub fn port_trouble(&self) -> Option<String> {
        let trouble = self.port_trouble.lock();
        // Nothing panics while it is held.
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says so, to be told by the run loop.
    pub fn set_port_trouble(&self, trouble: Option<String>) {
        let mut known = self.port_trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *known = trouble;
    }

    /// As [`Self::view`], after the run loop was asked to look again. One that does not answer within `limit` changes
    /// nothing: what was published last is given.
    pub async fn newest(&self, limit: Duration) -> Option<Arc<View>> {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        if !self.asked.is_closed() {
            let mut looked = self.looked.subscribe();
            // That it is late shows in its last sign of life.
            let _looked = tokio::time::timeout(limit, looked.wait_for(|looked| *looked >= number)).await;
        }
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
        self.reloads
            .try_send(order(reply))
            .map_err(|_| OrderError::Busy)?;
        match tokio::time::timeout(limit, replied).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(OrderError::Silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn those_who_ask_are_joined_and_take_no_place_from_a_reload() {
        let (board, mut orders) = Board::new();
        let crowd: Vec<_> = (0..100)
            .map(|_| {
                let board = Arc::clone(&board);
                tokio::spawn(async move { board.newest(LIMIT).await.is_none() })
            })
            .collect();
        // On the one thread of this test: all of them have asked.
        tokio::task::yield_now().await;
        let reload = {
            let board = Arc::clone(&board);
            tokio::spawn(async move { board.order(LIMIT, |reply| Order::Reload { reply }).await })
        };
        tokio::task::yield_now().await;
        let Some(Order::Reload { reply }) = orders.recv().await else {
            panic!("a reload comes first, whoever else is there");
        };
        drop(reply);
        assert!(reload.await.unwrap().is_err());
        let Some(Order::Refresh { reply }) = orders.recv().await else {
            panic!("somebody has asked");
        };
        reply.done();
        for one in crowd {
            assert!(one.await.unwrap(), "all of them are answered by one look");
        }
        let none = tokio::time::timeout(Duration::ZERO, orders.recv()).await;
        assert!(none.is_err(), "there is nothing left to do");
    }

    #[tokio::test]
    async fn who_asks_during_a_look_gets_the_next_one() {
        let (board, mut orders) = Board::new();
        let ask = |board: &Arc<Board>| {
            let board = Arc::clone(board);
            tokio::spawn(async move { board.newest(LIMIT).await.is_none() })
        };
        let first = ask(&board);
        let Some(Order::Refresh { reply }) = orders.recv().await else {
            panic!("somebody has asked");
        };
        let second = ask(&board);
        tokio::task::yield_now().await;
        reply.done();
        assert!(first.await.unwrap());
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "what he asked after was not looked at");
        let Some(Order::Refresh { reply }) = orders.recv().await else {
            panic!("somebody has asked");
        };
        reply.done();
        assert!(second.await.unwrap());
    }
}
