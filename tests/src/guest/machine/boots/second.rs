//! The second boot: the machine comes up enforced, and the daemon is killed, hung and replaced under load.

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{After, UPGRADE, enforced_early, enforces, pull};
use crate::guest::machine::load;
use crate::guest::machine::play::step;
use crate::guest::machine::system::{self, UNIT, call};

pub(super) fn play() -> After {
    step("enforced before the network", enforced_early);
    step("enforced after the boot", enforces);
    step("pull after the boot", pull);
    step("killed", || load::during(|| restarted_by(Signal::KILL)));
    step("hung", || load::during(hung));
    step("upgraded", || load::during(upgraded));
    step("enforced after the upgrade", enforces);
    After::Reboot
}

/// Ends the daemon by a signal, and waits until systemd has started it again.
fn restarted_by(signal: Signal) -> Result<String> {
    let old = system::daemon()?;
    system::signal(signal)?;
    let took = system::wait_for_restart(old)?;
    Ok(format!("ready again after {:.1} s", took.as_secs_f32()))
}

/// A daemon that does nothing any more is ended by systemd's watchdog.
fn hung() -> Result<String> {
    let before: u32 = system::property(UNIT, "NRestarts")?.parse()?;
    let words = restarted_by(Signal::STOP)?;
    let after: u32 = system::property(UNIT, "NRestarts")?.parse()?;
    ensure!(after > before, "systemd has not restarted it");
    let limit = system::property(UNIT, "WatchdogUSec")?;
    Ok(format!("{words}, with a watchdog of {limit}"))
}

/// A package of a higher version replaces the program.
fn upgraded() -> Result<String> {
    let version = || call(&["dpkg-query", "--show", "--showformat=${Version}", "enforcer"]);
    let (old, from) = (system::daemon()?, version()?);
    call(&["dpkg", "--install", UPGRADE])?;
    let took = system::wait_for_restart(old)?;
    let to = version()?;
    ensure!(from != to, "the version is {from} as before");
    Ok(format!(
        "from {from} to {to}, ready {:.1} s after dpkg",
        took.as_secs_f32()
    ))
}
