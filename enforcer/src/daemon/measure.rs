//! The way of an answer to the kernel, to be measured: from the answer in hand to the kernel using it.
//!
//! ```text
//! AnswerPath::open(&config, &folders, known)?           the programs are loaded, attached to nothing, pinned nowhere
//! path.bring(&name, &addresses)? -> Duration            one change
//! path.bring_all(&[(name, addresses)])? -> Duration     many, one behind the other, until the last is in force
//! ```
//!
//! It is the daemon's own way with the daemon's own parts: the task that owns the book, which is handed an answer as if it
//! had asked for it, the channel between the two tasks, the journal in the runtime folder and the wait for it, the exchange
//! in the table, the publication. What is missing is what comes before, a name server, and what comes after, the log.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::watch;

use super::enforcing::Enforcing;
use super::names::{History, turns};
use super::policy::Policy;
use crate::names::ServerName;
use crate::resolve::answer::{DnsName, Settled};
use crate::resolve::failover::{Ask, Asking, Failover};
use crate::resolve::saved::{SavedAddress, SavedFamily, SavedName};
use crate::resolve::{Family, SavedAnswers, Service, Snapshot};
use crate::state::{Folders, Loaded, Saver};

/// How long anything may take before it counts as failed.
const LIMIT: Duration = Duration::from_secs(60);
/// The TTL of every answer: none is asked for again while it is measured.
const TTL: Duration = Duration::from_secs(3600);

/// An upstream that never answers, and that nobody waits for.
struct Silent;

impl Ask for Silent {
    fn label(&self) -> &'static str {
        "nobody"
    }

    fn ask<'a>(&'a self, _: &'a DnsName, _: Family) -> Asking<'a> {
        Box::pin(std::future::pending())
    }
}

/// A policy that follows answers which it is handed.
pub struct AnswerPath {
    runtime: tokio::runtime::Runtime,
    inner: Inner,
}

struct Inner {
    policy: Policy,
    service: Service,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    enforcing: Enforcing,
    saver: Saver,
    history: History,
    told: Arc<Snapshot>,
}

impl AnswerPath {
    /// Brings the policy of `config` into force with these addresses of its names. The journal is written to
    /// `folders.runtime`, which is in memory as a rule.
    ///
    /// # Errors
    /// The configuration has errors, the programs can not be loaded, or the addresses do not fit.
    pub fn open(
        config: &Path,
        folders: &Folders,
        known: impl IntoIterator<Item = (ServerName, Vec<IpAddr>)>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime can be made")?;
        let policy = Policy::load(config)?;
        let saved = SavedAnswers {
            names: known.into_iter().map(saved).collect(),
        };
        let mut enforcing = Enforcing::load(&policy)?;
        let saver = Saver::start(folders, &Loaded::default(), Arc::new(drop))?;
        let mut inner = runtime.block_on(async {
            let resolver = &policy.config.resolver;
            let upstreams = Failover::new(vec![Box::new(Silent)], resolver);
            let service = Service::start_from(policy.questions.clone(), resolver, upstreams, &saved);
            let mut snapshots = service.snapshots();
            let told = Arc::clone(&snapshots.borrow_and_update());
            enforcing.update(&policy, &told)?;
            anyhow::Ok(Inner {
                policy,
                service,
                snapshots,
                enforcing,
                saver,
                history: History::default(),
                told,
            })
        })?;
        inner.history.learn(&Snapshot::default(), &inner.told);
        inner.saver.save(Arc::clone(&inner.told));
        runtime.block_on(inner.saver.flush(LIMIT))?;
        Ok(Self { runtime, inner })
    }

    /// Hands over an answer with these addresses for one family of `name`, and waits until the kernel uses it: how long that
    /// took. The addresses must be others than before.
    ///
    /// # Errors
    /// It does not fit, the name is not asked for, or nothing came into force within a minute.
    pub fn bring(&mut self, name: &ServerName, addresses: &[IpAddr]) -> Result<Duration> {
        self.bring_all(&[(name.clone(), addresses.to_vec())])
    }

    /// As [`Self::bring`] for many answers, which are handed over as fast as they are taken: how long it took until all of
    /// them were in force.
    ///
    /// # Errors
    /// As for [`Self::bring`].
    pub fn bring_all(&mut self, changes: &[(ServerName, Vec<IpAddr>)]) -> Result<Duration> {
        let (last, last_addresses) = changes.last().context("there is nothing to bring")?;
        let place = self.inner.told.names.iter().position(|known| known.name == *last);
        let place = place.with_context(|| format!("`{last}` is not asked for"))?;
        let settled: Vec<_> = changes
            .iter()
            .map(|(name, addresses)| (name.clone(), settled(addresses)))
            .collect();
        let inner = &mut self.inner;
        self.runtime.block_on(async {
            let before = Instant::now();
            let mut settled = settled.into_iter();
            let mut next = settled.next();
            loop {
                let snapshot = tokio::select! {
                    () = hand_over(&inner.service, next.as_ref()) => {
                        next = settled.next();
                        continue;
                    }
                    Ok(()) = inner.snapshots.changed() => Arc::clone(&inner.snapshots.borrow_and_update()),
                    () = tokio::time::sleep(LIMIT) => anyhow::bail!("nothing came into force within {LIMIT:?}"),
                };
                inner.follow(&snapshot).await?;
                let held = &snapshot.names[place].addresses;
                let is_there = |address: &IpAddr| held.iter().any(|known| known.address == *address);
                if next.is_none() && last_addresses.iter().all(is_there) {
                    return Ok(before.elapsed());
                }
            }
        })
    }

    /// The generation in force.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner.enforcing.generation()
    }
}

impl Inner {
    /// As the run loop does it.
    async fn follow(&mut self, snapshot: &Arc<Snapshot>) -> Result<()> {
        self.history.learn(&self.told, snapshot);
        let turns = turns(&self.told, snapshot, Instant::now());
        ensure!(
            turns.iter().all(|turn| !turn.is_bad),
            "an answer was refused: {turns:?}"
        );
        self.told = Arc::clone(snapshot);
        self.saver.save(Arc::clone(snapshot));
        ensure!(self.saver.keep(LIMIT).await, "the journal can not be written");
        self.enforcing.update(&self.policy, snapshot)?;
        Ok(())
    }
}

async fn hand_over(service: &Service, answer: Option<&(ServerName, (Family, Settled))>) {
    match answer {
        Some((name, (family, settled))) => service.take_in(name.clone(), *family, settled.clone()).await,
        None => std::future::pending().await,
    }
}

fn settled(addresses: &[IpAddr]) -> (Family, Settled) {
    let family = match addresses.first() {
        Some(IpAddr::V6(_)) => Family::V6,
        _ => Family::V4,
    };
    let settled = Settled::Addresses {
        chain: Vec::new(),
        addresses: addresses.to_vec(),
        ttl: TTL,
    };
    (family, settled)
}

fn saved((name, addresses): (ServerName, Vec<IpAddr>)) -> SavedName {
    let family = |is_wanted: fn(&IpAddr) -> bool| SavedFamily {
        age: None,
        chain: Vec::new(),
        addresses: addresses
            .iter()
            .filter(|address| is_wanted(address))
            .map(|address| SavedAddress {
                address: *address,
                ttl_left_ms: u64::MAX,
                grace_left_ms: None,
            })
            .collect(),
    };
    SavedName {
        v4: family(IpAddr::is_ipv4),
        v6: family(IpAddr::is_ipv6),
        name,
    }
}
