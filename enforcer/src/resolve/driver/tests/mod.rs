//! An upstream in simulated time, for the tests of the task that asks it.

mod bounds;
mod fresh;
mod kept;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::answer::{Answer, AskError, DnsName, Record, RecordData};
use super::super::failover::{Ask, Asking};
use super::super::{Family, Sanity, Standing};
use super::*;
use crate::names::ServerName;

/// An upstream in simulated time: every name has the addresses it was given, IPv6 has none; a name without any is dead.
#[derive(Default)]
struct World {
    /// The address and TTL of each name.
    answers: Mutex<HashMap<String, (&'static str, u32)>>,
    asked: AtomicUsize,
    asked_v4: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

/// How long a good answer takes.
const QUICK: Duration = Duration::from_millis(20);
/// How long a dead name takes.
const TIMEOUT: Duration = Duration::from_secs(3);

impl World {
    fn new(names: &[(&str, &'static str, u32)]) -> Arc<Self> {
        let world = Arc::new(Self::default());
        for (name, address, ttl) in names {
            world.says(name, address, *ttl);
        }
        world
    }

    fn says(&self, name: &str, address: &'static str, ttl: u32) {
        self.answers
            .lock()
            .unwrap()
            .insert(name.to_owned(), (address, ttl));
    }

    fn dies(&self, name: &str) {
        self.answers.lock().unwrap().remove(name);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn failover(self: &Arc<Self>) -> Failover {
        Failover::new(vec![Box::new(self.clone())], &config())
    }
}

impl Ask for Arc<World> {
    fn label(&self) -> &'static str {
        "world"
    }

    fn ask<'a>(&'a self, name: &'a DnsName, family: Family) -> Asking<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.asked_v4
                .fetch_add(usize::from(family == Family::V4), Ordering::Relaxed);
            let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_under_way.fetch_max(now, Ordering::Relaxed);
            let known = self.answers.lock().unwrap().get(name.as_str()).copied();
            tokio::time::sleep(if known.is_some() { QUICK } else { TIMEOUT }).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            let Some((address, ttl)) = known else {
                return Err(AskError::Silent { after: TIMEOUT });
            };
            if family == Family::V6 {
                return Ok(Answer {
                    negative_ttl: Some(Duration::from_secs(ttl.into())),
                    ..Answer::default()
                });
            }
            Ok(Answer {
                records: vec![Record {
                    owner: name.clone(),
                    ttl,
                    data: RecordData::Address(address.parse().unwrap()),
                }],
                ..Answer::default()
            })
        })
    }
}

fn config() -> config::Resolver {
    config::Resolver {
        servers: vec![],
        timeout: TIMEOUT,
        ttl_min: Duration::from_secs(5),
        ttl_max: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        addresses_max: 8,
        chain_max: 4,
        concurrency: 4,
    }
}

fn questions(names: &[&str]) -> Vec<Question> {
    names
        .iter()
        .map(|name| Question {
            name: ServerName::parse(name).unwrap(),
            private_link: vec![],
            sanity: Sanity::default(),
        })
        .collect()
}

/// The addresses of a name, those that are retired with an `r`.
fn held(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let found = snapshot.names.iter().find(|known| known.name.as_str() == name);
    found
        .map(|known| {
            known
                .addresses
                .iter()
                .map(|known| match known.standing {
                    Standing::Current => known.address.to_string(),
                    Standing::Retired { .. } => format!("{} r", known.address),
                })
                .collect()
        })
        .unwrap_or_default()
}

const LIMIT: Duration = Duration::from_secs(10);

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
