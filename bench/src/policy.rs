//! The enforcer's own update path, as the daemon uses it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enforcer::config::{Capacity, Existing, Mode, Quic};
use enforcer::kernel::{Enforcement, Probe, Settings};
use enforcer::policy::table::{Grant, Table};
use enforcer_lab::packets;

/// The filtered port of the bench.
pub(crate) const PORT: u16 = 443;

/// UDP and connections from before are judged by their address, so that every packet of the bench is looked up.
pub(crate) const SETTINGS: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Allow,
    existing: Existing::Allow,
};

/// Loaded programs and the policy that they judge by.
pub(crate) struct Policy {
    pub(crate) enforcement: Enforcement,
    table: Table,
    probe: Probe,
}

impl Policy {
    /// Loads them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn load() -> Result<Self> {
        let mut enforcement = Enforcement::load(&[PORT]).context("the kernel programs cannot be loaded")?;
        let probe = enforcement.probe()?;
        Ok(Self {
            enforcement,
            table: Table::new(Capacity::default()),
            probe,
        })
    }

    /// Puts exactly `grants` into force; how long that took.
    ///
    /// # Errors
    /// When they do not fit.
    pub(crate) fn replace(&mut self, grants: &[Grant]) -> Result<Duration> {
        let begin = Instant::now();
        self.table.fill(grants, &[])?;
        self.enforcement.publish(&self.table, SETTINGS);
        Ok(begin.elapsed())
    }

    /// Takes some grants out and puts others in.
    ///
    /// # Errors
    /// When they do not fit.
    pub(crate) fn exchange(&mut self, removed: &[Grant], added: &[Grant]) -> Result<()> {
        self.table.exchange(removed, added)?;
        self.enforcement.publish(&self.table, SETTINGS);
        Ok(())
    }

    /// Publishes what both halves hold already; how long that took.
    pub(crate) fn publish(&mut self) -> Duration {
        let begin = Instant::now();
        self.enforcement.publish(&self.table, SETTINGS);
        begin.elapsed()
    }

    /// Whether the kernel lets a packet to `address` pass, found out by running the program over one.
    ///
    /// # Errors
    /// When the kernel can not run it.
    pub(crate) fn passes(&self, address: Ipv4Addr) -> Result<bool> {
        Ok(self.probe.passes(&packets::tcp4(address, PORT).frame())?)
    }

    /// Fails unless the kernel lets packets to `granted` pass, and none to `foreign`.
    ///
    /// # Errors
    /// When it does otherwise: what was measured would be of no use.
    pub(crate) fn check(&self, granted: Ipv4Addr, foreign: Ipv4Addr) -> Result<()> {
        ensure!(
            self.passes(granted)?,
            "{granted} is granted and the kernel drops it"
        );
        ensure!(
            !self.passes(foreign)?,
            "{foreign} is not granted and the kernel lets it pass"
        );
        Ok(())
    }
}
