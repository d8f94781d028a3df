//! The answers of the moment, as the resolving task publishes them.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::policy::Policy;
use crate::resolve::failover::Watch;
use crate::resolve::health::Standing;
use crate::resolve::{SavedAnswers, Service, Snapshot};

/// A running resolver and its newest answers. Dropping it ends the asking.
pub(super) struct Answers {
    service: Service,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    upstreams: Watch,
}

impl Answers {
    /// Starts to ask for the names of `policy`.
    pub(super) fn start(policy: &Policy) -> anyhow::Result<Self> {
        Self::start_from(policy, &SavedAnswers::default())
    }

    /// As [`Self::start`], with what an earlier process knew: it is in the first answers.
    pub(super) fn start_from(policy: &Policy, saved: &SavedAnswers) -> anyhow::Result<Self> {
        let connected = policy.connect()?;
        let upstreams = connected.watch();
        let service = Service::start_from(
            policy.questions.clone(),
            &policy.config.resolver,
            connected,
            saved,
        );
        let snapshots = service.snapshots();
        Ok(Self {
            service,
            snapshots,
            upstreams,
        })
    }

    /// Asks for the names of `policy` from now on, and for those of `kept` as well; what is known of both is kept.
    pub(super) async fn switch(&mut self, policy: &Policy, kept: Option<&Policy>) -> anyhow::Result<()> {
        let upstreams = policy.connect()?;
        self.upstreams = upstreams.watch();
        // Of a name that both have, whatever one of them accepts is accepted: see `Question`.
        let kept = kept.map_or(&[][..], |kept| &kept.questions);
        let questions = [&policy.questions[..], kept].concat();
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

    /// As [`Self::settled`], or, when they change before that, the answers and `false`. Safe to cancel.
    pub(super) async fn settled_or_changed(&mut self, deadline: Instant) -> (Arc<Snapshot>, bool) {
        let limit = deadline.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            snapshot = self.service.settled(limit) => (snapshot, true),
            Ok(()) = self.snapshots.changed() => (self.newest(), false),
        }
    }

    /// The answers, once they have changed. Safe to cancel.
    pub(super) async fn changed(&mut self) -> Arc<Snapshot> {
        if self.snapshots.changed().await.is_err() {
            // The task has ended, which it does only with this value: nothing will ever change.
            std::future::pending::<()>().await;
        }
        self.newest()
    }

    /// How those are who are asked.
    pub(super) fn upstreams(&self) -> Vec<Standing> {
        self.upstreams.look()
    }

    /// The answers as they are now; right after the start what was saved of them.
    pub(super) fn newest(&mut self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow_and_update())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::names::ServerName;
    use crate::resolve::answer::{Answer, DnsName, Record, RecordData};
    use crate::resolve::failover::{Ask, Asking, Failover};
    use crate::resolve::{Family, FamilyState};

    /// An upstream that gives every name the same address.
    struct Friendly;

    impl Ask for Friendly {
        fn label(&self) -> &'static str {
            "friendly"
        }

        fn ask<'a>(&'a self, name: &'a DnsName, family: Family) -> Asking<'a> {
            let address = match family {
                Family::V4 => "198.51.100.1",
                Family::V6 => "2001:db8::1",
            };
            let record = Record {
                owner: name.clone(),
                ttl: 300,
                data: RecordData::Address(address.parse().unwrap()),
            };
            Box::pin(std::future::ready(Ok(Answer {
                records: vec![record],
                ..Answer::default()
            })))
        }
    }

    /// A policy with these names, whose own upstream nobody answers at: the loopback's discard port.
    fn policy(names: &[&str]) -> Policy {
        let rules = names.iter().map(|name| format!("[[allow]]\nname = \"{name}\"\n"));
        let text: String = rules
            .chain(["[resolver]\nservers = [\"127.0.0.1:9\"]\n".to_owned()])
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Policy::load_recorded(file.path()).1.unwrap().0
    }

    async fn answered(policy: &Policy) -> Answers {
        let resolver = &policy.config.resolver;
        let failover = Failover::new(vec![Box::new(Friendly)], resolver);
        let upstreams = failover.watch();
        let service = Service::start(policy.questions.clone(), resolver, failover);
        let snapshots = service.snapshots();
        let mut answers = Answers {
            service,
            snapshots,
            upstreams,
        };
        answers.settled(Instant::now() + Duration::from_secs(60)).await;
        answers
    }

    fn addresses(snapshot: &Snapshot, name: &str) -> usize {
        let name = ServerName::parse(name).unwrap();
        let known = snapshot.names.iter().find(|known| known.name == name);
        known.map_or(0, |known| known.addresses.len())
    }

    #[tokio::test]
    async fn what_is_kept_outlives_a_switch_to_another_policy_and_back() {
        let (old, new) = (
            policy(&["a.example.com", "b.example.com"]),
            policy(&["a.example.com"]),
        );
        let mut answers = answered(&old).await;
        answers.switch(&new, Some(&old)).await.unwrap();
        let (snapshot, is_settled) = answers.settled_or_changed(Instant::now()).await;
        assert!(is_settled, "nothing new has to be asked for");
        assert_eq!(addresses(&snapshot, "b.example.com"), 2);
        answers.switch(&old, None).await.unwrap();
        assert_eq!(addresses(&*answers.changed().await, "b.example.com"), 2);
        // Once nobody wants it any more, it goes.
        answers.switch(&new, None).await.unwrap();
        let snapshot = answers.changed().await;
        assert_eq!(addresses(&snapshot, "a.example.com"), 2);
        assert_eq!(addresses(&snapshot, "b.example.com"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_saved_is_there_before_anybody_was_asked() {
        let policy = policy(&["a.example.com"]);
        let snapshot = answered(&policy).await.newest();
        let saved = SavedAnswers::of(&snapshot, Instant::now().into_std());
        // Its own upstream is dead.
        let mut answers = Answers::start_from(&policy, &saved).unwrap();
        let snapshot = answers.newest();
        assert_eq!(addresses(&snapshot, "a.example.com"), 2);
        assert!(matches!(snapshot.names[0].v6, FamilyState::Restored { .. }));
        let settled = answers.settled(Instant::now() + Duration::from_secs(60)).await;
        assert_eq!(addresses(&settled, "a.example.com"), 2);
        assert!(matches!(settled.names[0].v6, FamilyState::Stale { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_seen_while_a_name_is_waited_for() {
        let (old, new) = (policy(&["a.example.com"]), policy(&["b.example.com"]));
        let mut answers = answered(&old).await;
        answers.switch(&new, Some(&old)).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let (snapshot, is_settled) = answers.settled_or_changed(deadline).await;
        assert!(!is_settled);
        assert_eq!(snapshot.names[0].v4, FamilyState::Unasked);
        assert_eq!(addresses(&snapshot, "a.example.com"), 2);
        while !answers.settled_or_changed(deadline).await.1 {}
        assert!(Instant::now() <= deadline);
    }
}
