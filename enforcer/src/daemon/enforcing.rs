//! A policy in force: what the kernel holds, and how it follows the answers.
//!
//! The way of an answer to the kernel, which is [`Enforcing::update`], costs what is different: names whose entries are
//! other ones than before, the addresses that these had and have, the blocks of the table that hold them. Everything is
//! worked out anew at the start, for another policy, and when in doubt.

mod count;

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Mode;
use crate::endpoints::GrantedName;
use crate::kernel::{
    Ahead, Cgroup, Counters, Damage, Enforcement, Events, Image, KernelError, LinkFound, Loaded, MapsFound,
    Pins, Settings, Trial, WrongVerdict, self_check,
};
use crate::policy::plan::{Actual, Change, Granted};
use crate::policy::table::{Changed, Range, Table, TableError};
use crate::resolve::Snapshot;

use super::policy::{Edition, Policy};
use count::spans_beyond;

/// Programs in the kernel and what they were told last.
pub(super) struct Enforcing {
    enforcement: Enforcement,
    /// What was published last. What was adopted is not in it.
    table: Table,
    published: Option<Published>,
    survey: Option<Survey>,
}

/// What was published last.
struct Published {
    settings: Settings,
    from: From,
}

/// Where what was published came from.
enum From {
    /// From another process.
    Another(Loaded),
    /// From a policy with these answers.
    Policy {
        edition: Edition,
        answers: Arc<Snapshot>,
    },
}

/// A look at the whole table of this generation.
struct Survey {
    generation: u64,
    spans: usize,
    spans_v6: usize,
    trial: Trial,
}

impl Survey {
    fn of_ranges(generation: u64, ranges: &[Range]) -> Self {
        Self {
            generation,
            spans: ranges.len(),
            spans_v6: ranges.iter().filter(|range| range.first.is_ipv6()).count(),
            trial: Trial::of(ranges),
        }
    }

    /// The same without a list of all ranges, which is large where many names change.
    fn of_table(generation: u64, table: &Table) -> Self {
        Self {
            generation,
            spans: table.range_count(),
            spans_v6: table.range_count_v6(),
            trial: Trial::with(table.first(), |address| table.grants(address)),
        }
    }
}

/// A policy that has just changed.
pub(super) struct Update {
    /// Its generation.
    pub(super) generation: u64,
    /// How many spans of addresses are granted that were not.
    pub(super) added: usize,
    /// How many are not any more.
    pub(super) removed: usize,
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
        let enforcement = Enforcement::load_with(&enforce.ports, enforce.capacity)?;
        Ok(Self::with(enforcement))
    }

    /// As [`Self::load`], going on with what is pinned.
    pub(super) fn load_pinned(policy: &Policy, pins: &Arc<Pins>) -> Result<(Self, MapsFound), KernelError> {
        let enforce = &policy.config.enforce;
        let (enforcement, found) = Enforcement::load_pinned(&enforce.ports, enforce.capacity, pins)?;
        Ok((Self::with(enforcement), found))
    }

    /// As [`Self::load_pinned`], for a start: where nothing is enforced yet, what takes long may be left to
    /// [`Self::load_rest`], and what is attached before is enforced all the same. Not in audit mode, which holds nothing back.
    pub(super) fn load_first(
        policy: &Policy,
        pins: &Arc<Pins>,
        ahead: Ahead,
    ) -> Result<(Self, MapsFound), KernelError> {
        if policy.config.mode != Mode::Enforce {
            return Self::load_pinned(policy, pins);
        }
        let enforce = &policy.config.enforce;
        let (enforcement, found) = Enforcement::load_first(&enforce.ports, enforce.capacity, pins, ahead)?;
        Ok((Self::with(enforcement), found))
    }

    /// As [`Self::load_first`] for a policy of which only what was in force is known; `None` where something is pinned, which
    /// counts then.
    pub(super) fn load_image(
        ports: &[u16],
        image: &Image,
        pins: &Arc<Pins>,
        ahead: Ahead,
    ) -> Result<Option<(Self, MapsFound)>, KernelError> {
        let (mut enforcement, found) = Enforcement::load_first(ports, image.capacity(), pins, ahead)?;
        if !enforcement.is_unfinished() {
            return Ok(None);
        }
        enforcement.put_back(image)?;
        Ok(Some((Self::with(enforcement), found)))
    }

    /// What is in force, when it is what `policy` grants with `answers` and nothing else.
    pub(super) fn image(&self, policy: &Policy, answers: &Arc<Snapshot>) -> Option<Image> {
        let Published { settings, from } = self.published.as_ref()?;
        let From::Policy {
            edition,
            answers: with,
        } = from
        else {
            return None;
        };
        let is_this =
            *edition == policy.edition() && *settings == policy.settings() && Arc::ptr_eq(with, answers);
        // Without it the next start is a longer one, and nothing else.
        is_this.then(|| self.enforcement.image().ok().flatten()).flatten()
    }

    /// Has the kernel verify what [`Self::load_rest`] loads.
    pub(super) fn verify_rest(&mut self) -> Result<(), KernelError> {
        self.enforcement.verify_rest()
    }

    /// Loads what [`Self::load_first`] has left, once all is attached. Nothing is enforced any more when that fails.
    pub(super) fn load_rest(&mut self) -> Result<(), KernelError> {
        self.enforcement.load_rest()
    }

    fn with(enforcement: Enforcement) -> Self {
        Self {
            table: Table::new(enforcement.capacity()),
            enforcement,
            published: None,
            survey: None,
        }
    }

    /// Takes the policy that is in the maps for what was published last; whether there is one.
    pub(super) fn adopt(&mut self) -> Result<bool, KernelError> {
        // Whoever wrote it has left nothing of what this process wrote: a new table is written whole.
        self.table = Table::new(self.enforcement.capacity());
        self.published = self.enforcement.policy()?.map(|loaded| Published {
            settings: loaded.settings,
            from: From::Another(loaded),
        });
        self.survey = None;
        Ok(self.published.is_some())
    }

    /// Makes the kernel hold what `policy` grants with `answers`; `None` when it already does.
    pub(super) fn update(
        &mut self,
        policy: &Policy,
        answers: &Arc<Snapshot>,
    ) -> Result<Option<Update>, UpdateError> {
        if let Some(changed) = self.exchange(policy, answers) {
            let changed = changed?;
            self.follow(policy, answers);
            if changed.is_empty() {
                return Ok(None);
            }
            return Ok(Some(Update {
                generation: self.publish(policy.settings())?,
                added: spans_beyond(&changed.added, &changed.removed),
                removed: spans_beyond(&changed.removed, &changed.added),
            }));
        }
        self.replace(policy, answers)
    }

    /// Changes the table by what is different since the answers that were followed last; `None` when that can not be told.
    fn exchange(&mut self, policy: &Policy, answers: &Snapshot) -> Option<Result<Changed, TableError>> {
        let Published {
            settings,
            from: From::Policy {
                edition,
                answers: before,
            },
        } = self.published.as_ref()?
        else {
            return None;
        };
        if *edition != policy.edition() || *settings != policy.settings() {
            return None;
        }
        let (removed, added) = policy.difference(&answers.names.changes_since(&before.names)?);
        if removed.is_empty() && added.is_empty() {
            return Some(Ok(Changed::default()));
        }
        match self.table.exchange(&removed, &added) {
            Err(TableError::NotThere { .. }) => None,
            outcome => Some(outcome),
        }
    }

    /// Works everything out anew.
    fn replace(&mut self, policy: &Policy, answers: &Arc<Snapshot>) -> Result<Option<Update>, UpdateError> {
        let settings = policy.settings();
        let generation = self.generation();
        let before: Option<(Settings, Vec<Range>, Vec<GrantedName>)> =
            self.published.as_ref().map(|published| match &published.from {
                From::Another(loaded) => (loaded.settings, loaded.ranges.clone(), loaded.names.clone()),
                From::Policy { .. } => (
                    published.settings,
                    self.table.ranges(),
                    self.table.granted_names(),
                ),
            });
        self.table.fill(&policy.grants(answers), &policy.names)?;
        let ranges = self.table.ranges();
        self.follow(policy, answers);
        let actual = match &before {
            Some((old_settings, old_ranges, old_names)) => {
                if *old_settings == settings && *old_ranges == ranges && *old_names == policy.names {
                    self.survey = Some(Survey::of_ranges(generation, &ranges));
                    return Ok(None);
                }
                Actual::Loaded {
                    generation,
                    mode: old_settings.mode,
                    granted: Granted {
                        ranges: old_ranges,
                        names: old_names,
                    },
                }
            }
            None => Actual::Nothing,
        };
        let granted = Granted {
            ranges: &ranges,
            names: &policy.names,
        };
        let change = Change::between(granted, actual, settings.mode);
        let generation = self.publish(settings)?;
        self.survey = Some(Survey::of_ranges(generation, &ranges));
        Ok(Some(Update {
            generation,
            added: change.additions.len(),
            removed: change.removals.len(),
        }))
    }

    /// Puts what the table holds into force. Where the kernel does not take it, the next update works everything out anew:
    /// the table is ahead of what is in force.
    fn publish(&mut self, settings: Settings) -> Result<u64, KernelError> {
        let published = self.enforcement.try_publish(&self.table, settings);
        if published.is_err() {
            self.table = Table::new(self.enforcement.capacity());
            self.published = None;
        }
        published.map(|generation| generation.0)
    }

    /// Whether what is in force is less than what was last asked for, since the kernel did not take it.
    pub(super) fn is_behind(&self) -> bool {
        self.published.is_none()
    }

    /// Gives back the memory that only changes need.
    pub(super) fn rest(&mut self) {
        self.enforcement.rest();
        self.table.rest();
    }

    fn follow(&mut self, policy: &Policy, answers: &Arc<Snapshot>) {
        self.published = Some(Published {
            settings: policy.settings(),
            from: From::Policy {
                edition: policy.edition(),
                answers: Arc::clone(answers),
            },
        });
    }

    /// Judges everything in `cgroup` from now on. Only after a policy has been published.
    pub(super) fn attach(&mut self, cgroup: &Cgroup) -> Result<Vec<LinkFound>, KernelError> {
        debug_assert!(
            self.generation() > 0,
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
        let Some(port) = policy.config.enforce.ports.first() else {
            return Ok(None);
        };
        self.look();
        let probe = self.enforcement.probe()?;
        match &self.survey {
            Some(survey) => self_check(&probe, &survey.trial, *port),
            None => Ok(None),
        }
    }

    /// Looks at everything that is granted, when it is not what was looked at last.
    pub(super) fn look(&mut self) {
        let generation = self.generation();
        if self
            .survey
            .as_ref()
            .is_some_and(|survey| survey.generation == generation)
        {
            return;
        }
        self.survey = self.published.as_ref().map(|published| match &published.from {
            From::Another(loaded) => Survey::of_ranges(generation, &loaded.ranges),
            From::Policy { .. } => Survey::of_table(generation, &self.table),
        });
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

    /// How many spans of addresses were granted when everything was looked at last.
    pub(super) fn spans(&self) -> usize {
        self.survey.as_ref().map_or(0, |survey| survey.spans)
    }

    /// How many of them are of IPv6.
    pub(super) fn spans_v6(&self) -> usize {
        self.survey.as_ref().map_or(0, |survey| survey.spans_v6)
    }
}

/// The mode as a configuration writes it.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Audit => "audit",
    }
}

#[cfg(test)]
mod tests;
