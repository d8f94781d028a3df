//! The answers of the moment, as the resolving task publishes them.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::policy::Policy;
use crate::resolve::{Service, Snapshot};

/// A running resolver and its newest answers. Dropping it ends the asking.
pub(super) struct Answers {
    service: Service,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Answers {
    /// Starts to ask for the names of `policy`.
    pub(super) fn start(policy: &Policy) -> anyhow::Result<Self> {
        let service = Service::start(
            policy.questions.clone(),
            &policy.config.resolver,
            policy.connect()?,
        );
        let snapshots = service.snapshots();
        Ok(Self { service, snapshots })
    }

    /// Asks for the names of `policy` from now on; what is known of names that stay is kept.
    pub(super) async fn switch(&self, policy: &Policy) -> anyhow::Result<()> {
        let upstreams = policy.connect()?;
        let questions = policy.questions.clone();
        self.service
            .reload(questions, &policy.config.resolver, upstreams)
            .await;
        Ok(())
    }

    /// The newest answers, once every name has been asked for or at `deadline`; what is missing then counts as failed.
    /// Safe to cancel.
    pub(super) async fn settled(&mut self, deadline: Instant) -> Arc<Snapshot> {
        let snapshot = self
            .service
            .settled(deadline.saturating_duration_since(Instant::now()))
            .await;
        self.snapshots.mark_unchanged();
        snapshot
    }

    /// The answers, once they have changed. Safe to cancel.
    pub(super) async fn changed(&mut self) -> Arc<Snapshot> {
        if self.snapshots.changed().await.is_err() {
            // The task has ended, which it does only with this value: nothing will ever change.
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.snapshots.borrow_and_update())
    }
}
