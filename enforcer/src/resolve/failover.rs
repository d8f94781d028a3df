//! Asks the upstreams for a name, one after the other, until one gives an answer that can be used.
//!
//! NXDOMAIN and "no such records" are answers. Everything else makes the next upstream be asked; which one is asked first
//! the next time is for [`super::health`] to say. Nothing here knows how an upstream is asked: that is [`Ask`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config;
use crate::names::ServerName;

use super::Family;
use super::answer::{Answer, AskError, DnsName, Settled};
use super::chain;
use super::health::{Blame, Health, Standing};

/// How often the target of a CNAME is asked for when an answer stops there. Recursive resolvers never do; forwarders in
/// front of split zones do.
const FOLLOW_MAX: usize = 8;

/// One upstream.
pub trait Ask: Send + Sync {
    /// How it is called in messages: its address and its transport.
    fn label(&self) -> &str;

    /// Asks one question. Ends within the upstream's own time-out; can be dropped at any time.
    fn ask<'a>(&'a self, name: &'a DnsName, family: Family) -> Asking<'a>;
}

/// A question under way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, AskError>> + Send + 'a>>;

/// The upstreams in the order of preference.
pub struct Failover {
    upstreams: Vec<Box<dyn Ask>>,
    health: Arc<Mutex<Health>>,
    chain_max: usize,
    records_max: usize,
}

/// No upstream gave an answer that can be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolveError {
    /// Each upstream that was asked, and what came of it.
    pub tried: Vec<(String, AskError)>,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return out.write_str("no name server is configured");
        }
        for (index, (label, error)) in self.tried.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(out, "{separator}{label}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ResolveError {}

impl Failover {
    /// Asks `upstreams` in this order, under the limits of the configuration.
    #[must_use]
    pub fn new(upstreams: Vec<Box<dyn Ask>>, resolver: &config::Resolver) -> Self {
        let trial = resolver.timeout.max(Duration::from_secs(1)) * 2;
        Self {
            health: Arc::new(Mutex::new(Health::new(upstreams.len(), trial))),
            upstreams,
            chain_max: resolver.chain_max,
            // Twice what can be used, for records beside the chain (signatures are left out before).
            records_max: resolver
                .addresses_max
                .saturating_add(resolver.chain_max)
                .saturating_mul(2),
        }
    }

    /// The upstreams' labels in the order of preference.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.upstreams.iter().map(|upstream| upstream.label())
    }

    /// Looks at the upstreams from elsewhere, as long as somebody wants to.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            labels: self.labels().map(str::to_owned).collect(),
            health: Arc::clone(&self.health),
        }
    }

    /// Resolves one family of `name`.
    ///
    /// # Errors
    /// When no upstream gave an answer that can be used, with what each of them did.
    pub async fn resolve(&self, name: &ServerName, family: Family) -> Result<Settled, ResolveError> {
        let name = DnsName::from(name);
        let order = self.health().order(now());
        let mut failed = Vec::new();
        let mut tried = Vec::new();
        for index in order {
            let upstream = &*self.upstreams[index];
            match self.ask_whole(upstream, &name, family).await {
                Ok(settled) => {
                    self.health().learn(index, &failed, now());
                    return Ok(settled);
                }
                Err(error) => {
                    failed.extend(blame(&error).map(|blame| (index, blame)));
                    tried.push((upstream.label().to_owned(), error));
                }
            }
        }
        Err(ResolveError { tried })
    }

    /// Asks one upstream, and again for the end of the chain as long as its answers stop at a CNAME.
    async fn ask_whole(
        &self,
        upstream: &dyn Ask,
        name: &DnsName,
        family: Family,
    ) -> Result<Settled, AskError> {
        let mut records = Vec::new();
        let mut question = name.clone();
        let mut followed = 0;
        loop {
            let answer = upstream.ask(&question, family).await?;
            records.extend(answer.records);
            if records.len() > self.records_max {
                return Err(AskError::TooLarge {
                    count: records.len(),
                    max: self.records_max,
                });
            }
            let walk = chain::walk(name, family, &records, self.chain_max)?;
            if !walk.addresses.is_empty() {
                return Ok(Settled::Addresses {
                    chain: walk.chain,
                    addresses: walk.addresses,
                    ttl: Duration::from_secs(walk.ttl.unwrap_or(0).into()),
                });
            }
            let stops_short = !answer.missing
                && answer.negative_ttl.is_none()
                && walk.chain.last().is_some_and(|end| *end != question);
            if !stops_short || followed == FOLLOW_MAX {
                return Ok(Settled::Nothing {
                    chain: walk.chain,
                    missing: answer.missing,
                    ttl: answer.negative_ttl,
                });
            }
            question = walk.chain.last().unwrap_or(name).clone();
            followed += 1;
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }
}

fn lock(health: &Mutex<Health>) -> MutexGuard<'_, Health> {
    // What a panicking task left is still a fair guess at the upstreams' health.
    health.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the upstreams of a [`Failover`] are.
#[derive(Clone, Debug)]
pub struct Watch {
    labels: Vec<String>,
    health: Arc<Mutex<Health>>,
}

impl Watch {
    /// Each upstream in the order of preference, now.
    #[must_use]
    pub fn look(&self) -> Vec<Standing> {
        let aside = lock(&self.health).aside(now());
        self.labels
            .iter()
            .cloned()
            .zip(aside)
            .map(|(label, aside)| Standing { label, aside })
            .collect()
    }
}

/// Whether an upstream is to blame, should another one know better.
fn blame(error: &AskError) -> Option<Blame> {
    match error {
        AskError::Silent { .. } | AskError::Unreachable(_) | AskError::Garbage(_) => Some(Blame::Dead),
        AskError::Code(_) | AskError::Referral => Some(Blame::Refusing),
        // About the name.
        AskError::Chain(_) | AskError::TooLarge { .. } => None,
    }
}

/// Tokio's clock, which is the monotonic one, and a simulated one in tests.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
