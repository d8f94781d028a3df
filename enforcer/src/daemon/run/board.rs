//! The run loop's side of the control socket: what it publishes, and the orders that it follows.

mod documents;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::error;

use self::documents::{by, denied_event, granted_event, hooks, outcome, refusal_words, refused};
use super::Daemon;
use super::changes;
use super::usage::Keeper;
use crate::control;
use crate::control::access::group_id;
use crate::control::history::{ENTRIES_MAX, GRANTED_ENTRIES_MAX, Moment};
use crate::control::model::{Outcome, Owner, ReloadOutcome};
use crate::control::server::Server;
use crate::control::usage::Use;
use crate::control::view::{Board, Findings, Metered, Order, Orders, Refusal, View};
use crate::daemon::denial::Denial;
use crate::daemon::granted::Granted;
use crate::daemon::names::History;
use crate::daemon::owner::Owners;
use crate::daemon::policy::{Policy, Told};
use crate::kernel::{Counters, Events, pins};
use crate::resolve::Snapshot;
use crate::state::{Folders, Instance};

/// How often the time is looked up at which what is pinned was attached.
const LOOK: Duration = Duration::from_secs(1);

/// What is known for others, and who is waiting.
pub(super) struct Control {
    board: Arc<Board>,
    orders: Orders,
    /// `None` for what keeps nothing, and so has no place for a socket.
    server: Option<Server>,
    owners: Owners,
    instance: Option<Instance>,
    started: Moment,
    /// The generation that was seen last, and when it came; `None` when it was found in the kernel.
    applied: (u64, Option<Moment>),
    /// When the programs were attached, and when that was looked up.
    attached: Option<(Option<Moment>, Instant)>,
    /// What the configuration calls the group, and its id.
    group: Option<(String, Result<u32, String>)>,
    refused: Option<Refusal>,
    /// What is counted for others.
    metered: Metered,
    /// What came of a reload that failed at once.
    outcome: Option<ReloadOutcome>,
    waiting: Vec<oneshot::Sender<ReloadOutcome>>,
    /// `None` for what keeps nothing.
    keeper: Option<Keeper>,
}

/// What was in force before a reload.
pub(super) struct Before {
    policy: Arc<Policy>,
    answers: Arc<Snapshot>,
}

impl Control {
    /// Listens for the instance, to root and to `group`; without an instance there is nobody to listen for.
    pub(super) fn start(instance: Option<&Instance>, group: Option<&str>) -> Self {
        let (board, orders) = Board::new();
        // One that there is not is told with the first view.
        if let Some(Ok(group)) = group.map(group_id) {
            board.set_group(group);
        }
        let server = instance.and_then(|instance| {
            let socket = control::socket(&Folders::of(instance).runtime);
            Server::start(socket, Arc::clone(&board))
                .inspect_err(|failed| {
                    error!("nobody can ask this daemon: no thread can be started ({failed})")
                })
                .ok()
        });
        Self {
            board,
            orders,
            server,
            owners: Owners::default(),
            instance: instance.cloned(),
            started: Moment::now(),
            applied: (0, None),
            attached: None,
            group: None,
            refused: None,
            metered: Metered::default(),
            outcome: None,
            waiting: Vec::new(),
            keeper: None,
        }
    }

    /// Looks whether the socket is still there for those who ask.
    pub(super) fn look(&self) {
        if let Some(server) = &self.server {
            server.look();
        }
    }

    /// The names of addresses, which whoever asks looks up as well.
    pub(super) fn names(&self) -> History {
        self.board.names.clone()
    }

    /// A policy of this generation was found in the kernel.
    pub(super) fn found(&mut self, generation: u64) {
        self.applied = (generation, None);
    }

    /// The next order. Safe to cancel.
    pub(super) async fn next_order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // The board lives as long as this does.
            None => std::future::pending().await,
        }
    }

    /// Whose the cgroup of what was judged is.
    pub(super) fn owner(&mut self, cgroup: u64, pid: Option<u32>) -> Owner {
        self.owners.of(cgroup, pid)
    }

    /// Keeps a denial for those who ask.
    pub(super) fn note(&mut self, denial: &Denial, rule_at: Option<String>, owner: &Owner) {
        let told = &mut self.metered.told;
        *(if denial.audit {
            &mut told.audit
        } else {
            &mut told.denied
        }) += 1;
        let moment = Moment::now().back_to(denial.attempt.time);
        let event = denied_event(denial, rule_at, owner.clone(), moment);
        self.board.history.push(moment, event);
    }

    /// Keeps a granted connection for those who ask, and what it was for.
    pub(super) fn note_granted(&self, granted: &Granted, owner: &Owner) {
        let moment = Moment::now().back_to(granted.attempt.time);
        let event = granted_event(granted, owner.clone(), moment);
        self.board.usage.note(Use {
            name: granted.name(),
            rule_at: granted.rule_at.as_deref(),
            time: &event.time,
            by: &by(&granted.attempt.process, owner),
        });
        self.board.history.push(moment, event);
    }

    /// Keeps how many granted connections were not told of, by what the kernel has counted now and had before.
    pub(super) fn note_suppressed_granted(&self, counted: u64, before: u64) {
        self.board.usage.note_suppressed(counted);
        let more = counted.saturating_sub(before);
        if more > 0 {
            self.board.history.push_suppressed_granted(Moment::now(), more);
        }
    }

    /// Begins to keep what granted connections are for; `counted` as for [`Self::note_suppressed_granted`].
    pub(super) fn open_usage(&mut self, counted: u64) {
        let usage = &self.board.usage;
        usage.begin(Moment::now().text(), counted);
        let folders = self.instance.as_ref().map(Folders::of);
        self.keeper = folders.map(|folders| Keeper::open(folders, usage));
    }

    /// Saves it when it is time.
    pub(super) async fn keep_usage(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.look(&self.board.usage).await;
        }
    }

    /// Saves the last of it.
    pub(super) async fn keep_last_usage(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.end(&self.board.usage).await;
        }
    }

    /// Keeps how many denials were not told of.
    pub(super) fn note_suppressed(&self, reason: &str, count: u64) {
        self.board.history.push_suppressed(Moment::now(), reason, count);
    }

    /// Counts denials.
    pub(super) fn count(&mut self, news: &Counters) {
        self.metered.totals.add(news);
    }

    /// Counts a reload.
    pub(super) fn count_reload(&mut self, is_applied: bool) {
        let reloads = &mut self.metered.reloads;
        if is_applied {
            reloads.applied += 1;
            reloads.last = Some(Moment::now());
        } else {
            reloads.refused += 1;
        }
    }

    /// The file could not be used, and what is in force is another policy.
    pub(super) fn is_refused(&mut self, why: String) {
        let moment = Moment::now();
        self.refused = Some(Refusal { moment, why });
    }

    fn attached(&mut self) -> Option<Moment> {
        let Some(instance) = &self.instance else {
            return Some(self.started);
        };
        if let Some((attached, looked)) = self.attached
            && looked.elapsed() < LOOK
        {
            return attached;
        }
        let since = pins::attached_since(instance.as_str());
        let wall = since.and_then(|since| Timestamp::try_from(since).ok());
        let attached = wall.map(|wall| Moment {
            monotonic: Duration::ZERO,
            wall,
        });
        self.attached = Some((attached, Instant::now()));
        attached
    }

    fn group(&mut self, group: Option<&String>) -> Option<Result<u32, String>> {
        let group = group?;
        // One that was not there may be by now.
        let is_known = |(known, id): &(String, Result<u32, String>)| known == group && id.is_ok();
        if !self.group.as_ref().is_some_and(is_known) {
            self.group = Some((group.clone(), group_id(group)));
        }
        self.group.as_ref().map(|(_, id)| id.clone())
    }
}

impl Daemon {
    /// Shows others what is now.
    pub(super) fn publish(&mut self) {
        let generation = self.enforcing.generation();
        if self.control.applied.0 != generation {
            self.control.applied = (generation, Some(Moment::now()));
        }
        let findings = Findings {
            holds: self.holds,
            is_deaf: self.events.is_none(),
            ..self.health.findings()
        };
        let view = View {
            instance: self
                .control
                .instance
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            pid: std::process::id(),
            started: self.control.started,
            // Whoever asks may be in another folder.
            file: std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone()),
            policy: Arc::clone(&self.policy),
            answers: Arc::clone(&self.told),
            generation,
            applied: self.control.applied.1,
            spans: self.enforcing.spans(),
            cgroup: self.cgroup.path().to_owned(),
            attached: self.control.attached(),
            hooks: hooks(&findings, self.kept.is_some()),
            findings,
            upstreams: self.answers.upstreams(),
            counters: self.counted.clone(),
            group: self.control.group(self.policy.config.control.group.as_ref()),
            refused: self.control.refused.clone(),
            metered: Metered {
                spans_v6: self.enforcing.spans_v6(),
                port_trouble: self.control.board.port_trouble(),
                ..self.control.metered.clone()
            },
        };
        self.control.board.publish(view);
    }

    /// Does what somebody wants.
    pub(super) async fn obey(&mut self, order: Order) {
        match order {
            Order::Refresh { reply } => {
                // What happened before the question belongs into the answer.
                for _ in 0..ENTRIES_MAX + GRANTED_ENTRIES_MAX {
                    let Some(event) = self.events.as_mut().and_then(Events::try_next) else {
                        break;
                    };
                    self.tell_event(Ok(event));
                }
                self.tell_suppressed();
                // How much is granted is of this generation as well.
                self.enforcing.look();
                self.publish();
                reply.done();
            }
            Order::Reload { reply } => {
                self.control.outcome = None;
                self.start_reload().await;
                match self.control.outcome.take() {
                    Some(refused) => {
                        let _told = reply.send(refused);
                    }
                    None => self.control.waiting.push(reply),
                }
            }
        }
    }

    /// What is in force now, for who waits for a reload; `None` when nobody does.
    pub(super) fn before_reload(&self) -> Option<Before> {
        (!self.control.waiting.is_empty()).then(|| Before {
            policy: Arc::clone(&self.policy),
            answers: Arc::clone(&self.told),
        })
    }

    /// A reload was refused before anything was asked for.
    pub(super) fn note_refused(&mut self, failed: &anyhow::Error, problems: &[Told]) {
        self.control.is_refused(refusal_words(failed, problems));
        self.control.count_reload(false);
        self.control.outcome = Some(refused(self.enforcing.generation(), failed, problems));
    }

    /// A reload has come to its end: tells who waits for it.
    pub(super) fn tell_reloaded(
        &mut self,
        before: Option<&Before>,
        failed: Option<&anyhow::Error>,
        problems: &[Told],
    ) {
        self.control.count_reload(failed.is_none());
        match failed {
            Some(failed) => self.control.is_refused(refusal_words(failed, problems)),
            None => self.control.refused = None,
        }
        if self.control.waiting.is_empty() {
            return;
        }
        let generation = self.enforcing.generation();
        let outcome = match (failed, before) {
            (Some(failed), _) => refused(generation, failed, problems),
            (None, before) => {
                let lines = before.map(|before| {
                    changes::between(&before.policy, &before.answers, &self.policy, &self.told)
                });
                let mut lines = lines.unwrap_or_default();
                let omitted = lines.len().saturating_sub(ReloadOutcome::CHANGES_MAX);
                lines.truncate(ReloadOutcome::CHANGES_MAX);
                ReloadOutcome {
                    outcome: Outcome::Applied,
                    changes: lines,
                    omitted: omitted as u64,
                    ..outcome(generation, problems)
                }
            }
        };
        for reply in self.control.waiting.drain(..) {
            let _told = reply.send(outcome.clone());
        }
    }
}

/// What is said of a file that could not be used at the start.
pub(super) fn replaced_by_saved(file: &Path) -> String {
    format!(
        "`{}` has errors; the configuration that was in force last is enforced instead",
        file.display()
    )
}
