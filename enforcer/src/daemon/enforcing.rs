//! A policy in force: what the kernel holds, and how it follows the answers.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Mode;
use crate::endpoints::GrantedName;
use crate::kernel::{
    Cgroup, Counters, Damage, Enforcement, Events, KernelError, LinkFound, MapsFound, Pins, Settings,
    WrongVerdict, self_check,
};
use crate::policy::plan::{Actual, Change, Granted};
use crate::policy::table::{Range, TableError};
use crate::resolve::Snapshot;

use super::policy::Policy;

/// Programs in the kernel and what they were told last.
pub(super) struct Enforcing {
    enforcement: Enforcement,
    published: Option<Published>,
}

/// What was published last.
struct Published {
    generation: u64,
    settings: Settings,
    ranges: Vec<Range>,
    names: Vec<GrantedName>,
}

impl Published {
    fn is(&self, ranges: &[Range], names: &[GrantedName], settings: Settings) -> bool {
        self.ranges == ranges && self.names == names && self.settings == settings
    }
}

/// A policy that has just changed.
pub(super) struct Update {
    /// Its generation.
    pub(super) generation: u64,
    /// What is different.
    pub(super) change: Change,
}

/// Why a policy could not be changed. The old one is in force unchanged.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpdateError {
    /// It does not fit.
    #[error("the grants do not fit the kernel's table")]
    Table(#[from] TableError),
    /// The kernel refused.
    #[error("the kernel did not take the policy")]
    Kernel(#[from] KernelError),
}

impl Enforcing {
    /// Loads the programs for the ports of `policy`. Nothing is judged yet.
    pub(super) fn load(policy: &Policy) -> Result<Self, KernelError> {
        let enforce = &policy.config.enforce;
        Ok(Self {
            enforcement: Enforcement::load_with(&enforce.ports, enforce.capacity)?,
            published: None,
        })
    }

    /// As [`Self::load`], going on with what is pinned.
    pub(super) fn load_pinned(policy: &Policy, pins: &Arc<Pins>) -> Result<(Self, MapsFound), KernelError> {
        let enforce = &policy.config.enforce;
        let (enforcement, found) = Enforcement::load_pinned(&enforce.ports, enforce.capacity, pins)?;
        let enforcing = Self {
            enforcement,
            published: None,
        };
        Ok((enforcing, found))
    }

    /// Takes the policy that is in the maps for what was published last; whether there is one.
    pub(super) fn adopt(&mut self) -> Result<bool, KernelError> {
        self.published = self.enforcement.policy()?.map(|loaded| Published {
            generation: loaded.generation.0,
            settings: loaded.settings,
            ranges: loaded.ranges,
            names: loaded.names,
        });
        Ok(self.published.is_some())
    }

    /// Makes the kernel hold what `policy` grants with `answers`; `None` when it already does.
    pub(super) fn update(
        &mut self,
        policy: &Policy,
        answers: &Snapshot,
    ) -> Result<Option<Update>, UpdateError> {
        let desired = policy.desired(answers)?;
        let settings = policy.settings();
        let actual = match &self.published {
            Some(published) if published.is(&desired.ranges, &policy.names, settings) => return Ok(None),
            Some(published) => Actual::Loaded {
                generation: published.generation,
                mode: published.settings.mode,
                granted: Granted {
                    ranges: &published.ranges,
                    names: &published.names,
                },
            },
            None => Actual::Nothing,
        };
        let change = Change::between(policy.granted(&desired), actual, settings.mode);
        let generation = self.enforcement.publish(&desired.table, settings).0;
        self.published = Some(Published {
            generation,
            settings,
            ranges: desired.ranges,
            names: policy.names.clone(),
        });
        Ok(Some(Update { generation, change }))
    }

    /// Judges everything in `cgroup` from now on. Only after a policy has been published.
    pub(super) fn attach(&mut self, cgroup: &Cgroup) -> Result<Vec<LinkFound>, KernelError> {
        debug_assert!(
            self.published.is_some(),
            "without a policy everything would be denied"
        );
        self.enforcement.attach(cgroup.as_fd(), cgroup.path())
    }

    /// What somebody has taken away of what is attached and pinned.
    pub(super) fn damages(&self, cgroup: &Cgroup) -> Vec<Damage> {
        self.enforcement.damages(cgroup.id())
    }

    /// Puts it back.
    pub(super) fn repair(&mut self, cgroup: &Cgroup) -> Result<(), KernelError> {
        self.enforcement.repair(cgroup.as_fd(), cgroup.path())
    }

    /// What the loaded programs get wrong of what was published last.
    pub(super) fn self_check(&mut self, policy: &Policy) -> Result<Option<WrongVerdict>, KernelError> {
        let ranges = self
            .published
            .as_ref()
            .map_or(&[][..], |published| &published.ranges);
        match policy.config.enforce.ports.first() {
            Some(port) => self_check(&self.enforcement.probe()?, ranges, *port),
            None => Ok(None),
        }
    }

    /// When enforcement ends by itself; time since boot.
    pub(super) fn revert(&self) -> Option<Duration> {
        self.enforcement.revert()
    }

    /// Sets that time.
    pub(super) fn set_revert(&mut self, revert: Option<Duration>) {
        self.enforcement.set_revert(revert);
    }

    /// The generation in force.
    pub(super) fn generation(&self) -> u64 {
        self.enforcement.generation().0
    }

    /// The denials that the kernel tells of. Once only.
    pub(super) fn take_events(&mut self) -> Result<Events, KernelError> {
        self.enforcement.take_events()
    }

    /// What was counted since the programs were loaded.
    pub(super) fn counters(&self) -> Result<Counters, KernelError> {
        self.enforcement.counters()
    }

    /// How many spans of addresses are granted.
    pub(super) fn spans(&self) -> usize {
        self.published
            .as_ref()
            .map_or(0, |published| published.ranges.len())
    }
}

/// The mode as a configuration writes it.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
    }
}
