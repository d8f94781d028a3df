//! The task that keeps names resolved: it owns the book, the schedule and the upstreams, and tells what is known.
//!
//! It sleeps until a question is due, an answer comes, a grace period ends or it is told something; when none of it
//! happens it takes no time at all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use crate::config;
use crate::names::ServerName;

use super::answer::Settled;
use super::book::{Book, Limits, Next};
use super::failover::Failover;
use super::schedule::{Key, Pace, Schedule};
use super::{Family, FamilyState, NameSnapshot, Question, SavedAnswers, Snapshot};

/// Snapshots follow each other no faster than this; the first after a pause comes at once. What thousands of names answer
/// one by one goes to the kernel together, and a client waits no longer for it than its own resolver takes to answer.
const PUBLISH_INTERVAL_MIN: Duration = Duration::from_millis(5);
/// The same where the addresses are those of before and only their times are new, for which nobody waits.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(250);

/// The running task. Dropping it stops the task as well, without waiting for it.
pub struct Service {
    orders: mpsc::Sender<Told>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    task: JoinHandle<()>,
}

/// What a running task is told.
enum Told {
    Order(Box<Order>),
    Answer { key: Key, answer: Settled },
}

/// New questions for a running task.
struct Order {
    questions: Vec<Question>,
    limits: Limits,
    pace: Pace,
    upstreams: Arc<Failover>,
    /// Told when the order is followed and a snapshot of it is out.
    followed: Option<oneshot::Sender<()>>,
}

impl Order {
    fn new(questions: Vec<Question>, resolver: &config::Resolver, upstreams: Failover) -> Self {
        Self {
            questions,
            limits: resolver.into(),
            pace: resolver.into(),
            upstreams: Arc::new(upstreams),
            followed: None,
        }
    }
}

impl Service {
    /// Starts to resolve `questions`, and keeps on. The first questions are sent at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(questions: Vec<Question>, resolver: &config::Resolver, upstreams: Failover) -> Self {
        Self::start_from(questions, resolver, upstreams, &SavedAnswers::default())
    }

    /// As [`Self::start`], with what an earlier process knew: see [`Book::restore`]. It is in the first snapshot, which
    /// is there when this returns, and everything is asked for at once all the same.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start_from(
        questions: Vec<Question>,
        resolver: &config::Resolver,
        upstreams: Failover,
        saved: &SavedAnswers,
    ) -> Self {
        let order = Order::new(questions, resolver, upstreams);
        let mut book = Book::new(order.questions.clone(), order.limits);
        book.restore(saved, now());
        let (tell, snapshots) = watch::channel(Arc::new(book.snapshot()));
        let (orders, receive) = mpsc::channel(1);
        let driver = Driver::new(order, book, tell, fastrand::Rng::new());
        Self {
            orders,
            snapshots,
            task: tokio::spawn(driver.run(receive)),
        }
    }

    /// What is known, and what becomes known: every change is seen, though not every state in between.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Replaces questions, limits and upstreams. What is known of names that stay is kept, and they keep their place in
    /// the schedule; questions under way are still answered by the old upstreams. When this returns, the newest snapshot
    /// has the new questions, new names as [`FamilyState::Unasked`].
    pub async fn reload(&self, questions: Vec<Question>, resolver: &config::Resolver, upstreams: Failover) {
        let (tell, followed) = oneshot::channel();
        let mut order = Order::new(questions, resolver, upstreams);
        order.followed = Some(tell);
        // The task ends only after this sender is gone, so that the order is always received and followed.
        let _ = self.orders.send(Told::Order(Box::new(order))).await;
        let _ = followed.await;
    }

    /// Hands the task an answer that it did not ask for, as if an upstream had given it just now.
    pub async fn take_in(&self, name: ServerName, family: Family, answer: Settled) {
        let key = Key { name, family };
        // As in `reload`.
        let _ = self.orders.send(Told::Answer { key, answer }).await;
    }

    /// Waits until every name has been asked for once in both families, whatever came of it, but no longer than `limit`.
    /// What is not known by then is [`FamilyState::Failed`] in the snapshot that is returned, and what was restored
    /// [`FamilyState::Stale`]; the task goes on asking.
    pub async fn settled(&self, limit: Duration) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.clone();
        let settled = snapshots.wait_for(|snapshot| snapshot.is_settled());
        if let Ok(Ok(snapshot)) = tokio::time::timeout(limit, settled).await {
            return snapshot.clone();
        }
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let error = format!("no answer within the time limit of {} s", limit.as_secs_f32());
        let names = snapshot.names.iter().map(|name| {
            if name.v4.is_settled() && name.v6.is_settled() {
                return Arc::clone(name);
            }
            let mut name = NameSnapshot::clone(name);
            for state in [&mut name.v4, &mut name.v6] {
                *state = state.given_up(error.clone());
            }
            Arc::new(name)
        });
        Arc::new(Snapshot {
            names: names.collect(),
        })
    }

    /// Stops the task; questions under way are given up. What was told last stays readable in the receivers.
    pub async fn stop(self) {
        let Self {
            orders,
            snapshots: _,
            task,
        } = self;
        drop(orders);
        // It can only have panicked, which has been reported by then.
        let _ = task.await;
    }
}

/// Resolves `questions` once: all of them at a time, within the configured concurrency, for no longer than `limit`. What
/// is missing by then is [`FamilyState::Failed`].
pub async fn resolve_once(
    questions: Vec<Question>,
    resolver: &config::Resolver,
    upstreams: Failover,
    limit: Duration,
) -> Snapshot {
    let service = Service::start(questions, resolver, upstreams);
    let snapshot = service.settled(limit).await;
    service.stop().await;
    Arc::unwrap_or_clone(snapshot)
}

/// The body of the task.
struct Driver {
    book: Book,
    schedule: Schedule,
    upstreams: Arc<Failover>,
    tell: watch::Sender<Arc<Snapshot>>,
    told: Option<Instant>,
    unsaid: bool,
    urgent: bool,
    asking: JoinSet<Result<Settled, String>>,
    asked: HashMap<Id, Key>,
}

impl Driver {
    /// `tell` holds the book's snapshot already.
    fn new(order: Order, mut book: Book, tell: watch::Sender<Arc<Snapshot>>, random: fastrand::Rng) -> Self {
        book.take_dirty();
        book.take_urgent();
        let mut schedule = Schedule::new(order.pace, random);
        schedule.set_names(book.names(), order.pace, now());
        Self {
            book,
            schedule,
            upstreams: order.upstreams,
            tell,
            told: None,
            unsaid: false,
            urgent: false,
            asking: JoinSet::new(),
            asked: HashMap::new(),
        }
    }

    /// Runs until the sender of `orders` is gone.
    async fn run(mut self, mut orders: mpsc::Receiver<Told>) {
        loop {
            self.ask_what_is_due();
            self.book.sweep(now());
            self.publish(now());
            let wake = self.wake();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Told::Order(order)) => self.follow(*order),
                    Some(Told::Answer { key, answer }) => {
                        self.book.settle(&key.name, key.family, Ok(answer), now());
                    }
                    None => return,
                },
                Some(ended) = self.asking.join_next_with_id() => {
                    self.take_in(ended);
                    // What has ended meanwhile goes into the same snapshot.
                    while let Some(ended) = self.asking.try_join_next_with_id() {
                        self.take_in(ended);
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    fn ask_what_is_due(&mut self) {
        while let Some(key) = self.schedule.due(now()) {
            let upstreams = self.upstreams.clone();
            let asked = key.clone();
            let task = self.asking.spawn(async move {
                upstreams
                    .resolve(&asked.name, asked.family)
                    .await
                    .map_err(|error| error.to_string())
            });
            self.asked.insert(task.id(), key);
        }
    }

    fn take_in(&mut self, ended: Result<(Id, Result<Settled, String>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (
                error.id(),
                Err("internal error: the question was not finished".to_owned()),
            ),
        };
        let Some(key) = self.asked.remove(&id) else {
            return;
        };
        let before = self.book.state(&key.name, key.family).map(Condition::of);
        let next = self.book.settle(&key.name, key.family, outcome, now());
        self.schedule.done(&key, next, now());
        report(&key, before, self.book.state(&key.name, key.family), next);
    }

    fn follow(&mut self, order: Order) {
        let changed = self.book.set_questions(order.questions, order.limits);
        self.schedule.set_names(self.book.names(), order.pace, now());
        for name in &changed {
            self.schedule.hurry(name, now());
        }
        if !self.upstreams.labels().eq(order.upstreams.labels()) {
            // What the old ones could not answer does not wait out its back-off.
            let failing: Vec<_> = self.book.failing().cloned().collect();
            for name in &failing {
                self.schedule.hurry(name, now());
            }
        }
        self.upstreams = order.upstreams;
        self.told = None;
        self.publish(now());
        if let Some(tell) = order.followed {
            // Whoever asked for it may have given up waiting.
            let _ = tell.send(());
        }
    }

    fn publish(&mut self, now: Instant) {
        self.unsaid |= self.book.take_dirty();
        self.urgent |= self.book.take_urgent();
        // With nothing under way there is nothing to wait for.
        let may = self.schedule.running() == 0 || self.told.is_none_or(|told| now >= told + self.interval());
        if self.unsaid && may {
            self.unsaid = false;
            self.urgent = false;
            self.told = Some(now);
            self.tell.send_replace(Arc::new(self.book.snapshot()));
        }
    }

    /// How long what is to be told now waits after what was told last.
    fn interval(&self) -> Duration {
        if self.urgent {
            PUBLISH_INTERVAL_MIN
        } else {
            REFRESH_INTERVAL_MIN
        }
    }

    fn wake(&self) -> Option<Instant> {
        let publish = self
            .told
            .filter(|_| self.unsaid)
            .map(|told| told + self.interval());
        [self.schedule.wake(), self.book.sweep_at(), publish]
            .into_iter()
            .flatten()
            .min()
    }
}

/// A state without its times and words, to see whether it changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Condition {
    Unknown,
    Good,
    Bad,
}

impl Condition {
    fn of(state: &FamilyState) -> Self {
        match state {
            FamilyState::Unasked | FamilyState::Restored { .. } => Self::Unknown,
            FamilyState::Fresh | FamilyState::Empty => Self::Good,
            FamilyState::Stale { .. } | FamilyState::Failed { .. } => Self::Bad,
        }
    }
}

/// Logs when a name starts to fail and when it recovers, not every question.
fn report(key: &Key, before: Option<Condition>, after: Option<&FamilyState>, next: Next) {
    let Some(after) = after else {
        return;
    };
    let Key { name, family } = key;
    match (before, Condition::of(after)) {
        (Some(Condition::Bad), Condition::Good) => tracing::info!(%name, %family, "resolves again"),
        (Some(Condition::Bad), Condition::Bad) => {}
        (_, Condition::Bad) => match after {
            FamilyState::Stale { error, .. } => {
                tracing::warn!(%name, %family, "does not resolve, its last addresses stay: {error}");
            }
            FamilyState::Failed { error } => tracing::warn!(%name, %family, "does not resolve: {error}"),
            FamilyState::Unasked | FamilyState::Restored { .. } | FamilyState::Fresh | FamilyState::Empty => {
            }
        },
        (_, Condition::Unknown | Condition::Good) => {
            tracing::debug!(%name, %family, ?next, "resolved");
        }
    }
}

/// Never, without a time.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Tokio's clock, which is the monotonic one, and a simulated one in tests.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
