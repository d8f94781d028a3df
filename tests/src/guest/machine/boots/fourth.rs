//! The fourth boot: the state stands a power cut, and the enforcer goes as it was asked to.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{After, enforced_early, enforces, lets_everything_pass, programs, pull};
use crate::guest::machine::load;
use crate::guest::machine::play::step;
use crate::guest::machine::system::{self, UNIT, call, try_to};

/// What a purge leaves nothing of, beside the package's files.
const PLACES: [&str; 6] = [
    "/etc/enforcer",
    "/etc/systemd/system/sysinit.target.wants/enforcer.service",
    "/var/lib/systemd/deb-systemd-helper-enabled/enforcer.service.dsh-also",
    "/var/lib/enforcer",
    "/run/enforcer",
    PINS,
];
/// Where the enforcer pins.
const PINS: &str = "/sys/fs/bpf/enforcer";

pub(super) fn play() -> After {
    step("power cut, enforced before the network", enforced_early);
    step("power cut, state intact", intact);
    step("stopped, enforcement stays", stopped);
    step("detached", detached);
    step("started again", started);
    let mut places = PLACES.map(str::to_owned).to_vec();
    step("removed", || removed(&mut places));
    step("purged", || purged(&places));
    After::End
}

fn intact() -> Result<String> {
    let audit = call(&["dpkg", "--audit"])?;
    ensure!(audit.trim().is_empty(), "dpkg: {audit}");
    let failed = call(&["systemctl", "list-units", "--failed", "--no-legend", "--plain"])?;
    ensure!(failed.trim().is_empty(), "units failed: {failed}");
    let words = enforces()?;
    Ok(format!("{words}; {}", pull()?))
}

fn stopped() -> Result<String> {
    let words = load::during(|| {
        call(&["systemctl", "stop", UNIT])?;
        let state = system::property(UNIT, "ActiveState")?;
        ensure!(state == "inactive", "the unit is {state}");
        Ok("the unit is inactive".to_owned())
    })?;
    enforces()?;
    Ok(words)
}

fn detached() -> Result<String> {
    let outcome = try_to(&["enforcer", "detach", "--yes"])?;
    ensure!(outcome.success(), "enforcer detach: {outcome}");
    lets_everything_pass()?;
    let left = programs();
    ensure!(left == 0, "the kernel still holds {left} programs");
    Ok("everything passes, and the kernel holds no program".to_owned())
}

fn started() -> Result<String> {
    call(&["systemctl", "start", UNIT])?;
    enforces()
}

fn removed(places: &mut Vec<String>) -> Result<String> {
    let files = call(&["dpkg", "--listfiles", "enforcer"])?;
    // The folders are those of others, too.
    places.extend(
        files
            .lines()
            .filter(|file| !Path::new(file).is_dir())
            .map(str::to_owned),
    );
    call(&["dpkg", "--remove", "enforcer"])?;
    lets_everything_pass().context("once the package is removed")?;
    let kept = left(places);
    ensure!(!kept.iter().any(|place| place == PINS), "pins are left");
    ensure!(programs() == 0, "the kernel still holds {} programs", programs());
    Ok(format!(
        "everything passes; kept until the purge: {}",
        kept.join(" ")
    ))
}

fn purged(places: &[String]) -> Result<String> {
    call(&["dpkg", "--purge", "enforcer"])?;
    let left = left(places);
    ensure!(left.is_empty(), "left: {}", left.join(" "));
    let unit = system::property(UNIT, "LoadState")?;
    ensure!(unit == "not-found", "systemd still knows the unit: {unit}");
    lets_everything_pass()?;
    Ok(format!(
        "everything passes, and nothing of {} is left",
        places.len()
    ))
}

/// Those of `places` where there is something.
fn left(places: &[String]) -> Vec<String> {
    let there = |place: &&String| Path::new(place).symlink_metadata().is_ok();
    places.iter().filter(there).cloned().collect()
}
