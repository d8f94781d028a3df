//! A host with one session, and whoever is to look at its packets.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use enforcer::config::RuleId;
use enforcer::endpoints::{Condition, GrantedName, Scopes};
use enforcer::kernel::{Enforcement, Settings};
use enforcer::names::{NameRule, ServerName};
use enforcer::policy::table::{Grant, Table};
use enforcer_lab::{Cgroup, Namespace};

use super::By;
use super::session::{ADDRESS, NAME, Session, Times};
use crate::policy::PORT;
use crate::raw;

/// The fields go away in their order: the process before its cgroup and its host.
pub(super) struct Host {
    session: Session,
    empty: OwnedFd,
    enforcement: Enforcement,
    cgroup_fd: OwnedFd,
    cgroup: Cgroup,
    _namespace: Namespace,
}

impl Host {
    /// With a session that was granted, and nobody looking.
    pub(super) fn new() -> Result<Self> {
        let namespace = Namespace::new("through")?;
        namespace.ip(&format!("address add {ADDRESS}/32 dev lo"))?;
        let cgroup = Cgroup::new("through")?;
        let cgroup_fd: OwnedFd = File::open(cgroup.path())
            .with_context(|| format!("{} cannot be opened", cgroup.path().display()))?
            .into();
        let mut enforcement = Enforcement::load(&[PORT]).context("the kernel programs cannot be loaded")?;
        enforcement.publish(&policy()?, Settings::default());
        enforcement.attach(cgroup_fd.as_fd(), cgroup.path())?;
        let session = Session::open(&namespace, &cgroup)?;
        enforcement.detach();
        Ok(Self {
            session,
            empty: raw::load_empty(raw::EGRESS).context("the empty program cannot be loaded")?,
            enforcement,
            cgroup_fd,
            cgroup,
            _namespace: namespace,
        })
    }

    /// Moves bytes for this long while somebody looks.
    pub(super) fn slice(&mut self, by: By, slice: Duration) -> Result<Times> {
        let mut link = None;
        match by {
            By::Nobody | By::NobodyAgain => {}
            By::Empty => {
                let attached = raw::attach(self.empty.as_fd(), raw::EGRESS, self.cgroup_fd.as_fd());
                link = Some(attached.context("the empty program cannot be attached")?);
            }
            By::Enforcer => {
                self.enforcement
                    .attach(self.cgroup_fd.as_fd(), self.cgroup.path())?;
            }
        }
        let times = self.session.slice(slice);
        self.enforcement.detach();
        drop(link);
        times
    }

    /// What the enforcer has denied.
    pub(super) fn denied(&self) -> Result<u64> {
        Ok(self.enforcement.counters()?.denied())
    }
}

fn policy() -> Result<Table> {
    let grant = Grant {
        net: std::net::IpAddr::from(ADDRESS).into(),
        rule: RuleId(1),
        condition: Condition::POLICY,
    };
    let name = GrantedName {
        name: NameRule::Name(ServerName::parse(NAME)?),
        scopes: Scopes::POLICY,
    };
    Ok(Table::of(&[grant], &[name])?)
}
