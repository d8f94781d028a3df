//! The first boot: the package is installed, judges without dropping, and is then told to enforce.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{After, CONFIGURATION, PACKAGE, booted, enforces, lets_everything_pass, pull};
use crate::guest::machine::play::step;
use crate::guest::machine::system::{self, UNIT, call};
use crate::lab::world;

/// What the log says of a denial in audit mode.
const AUDITED: &str = "would be denied";
/// What all denials have in the journal.
const DENIALS: &str = "MESSAGE_ID=08dfaf0c5ebb44228dc7a90dfc0a2ed1";

pub(super) fn play() -> After {
    step("boot without the enforcer", booted);
    step("install, in audit mode", install);
    step("enforce", enforce);
    step("pull", pull);
    After::Reboot
}

fn install() -> Result<String> {
    call(&["dpkg", "--install", PACKAGE])?;
    for (question, answer) in [("is-enabled", "enabled"), ("is-active", "active")] {
        let words = call(&["systemctl", question, UNIT])?;
        ensure!(words.trim() == answer, "{UNIT} is {}, not {answer}", words.trim());
    }
    lets_everything_pass().context("in audit mode")?;
    system::wait_until("a denial in the log of audit mode", || {
        Ok(system::journal("cat")?.contains(AUDITED))
    })?;
    system::wait_until("a denial with its fields in the journal", || {
        let denials = call(&[
            "journalctl",
            "--unit",
            UNIT,
            "--no-pager",
            "--output",
            "json",
            DENIALS,
            "ENFORCER_VERDICT=would be denied",
        ])?;
        Ok(denials.contains("\"ENFORCER_REASON\":\"address-not-granted\""))
    })?;
    // What the unit's sandbox lets the daemon read is there.
    let metrics = call(&["enforcer", "status", "--allow-audit", "--output", "openmetrics"])?;
    ensure!(
        metrics.contains("\nenforcer_process_resident_memory_bytes "),
        "the metrics are {metrics}"
    );
    let score = call(&["systemd-analyze", "security", "--no-pager", UNIT])?;
    let score = score.lines().last().unwrap_or_default().trim().to_owned();
    Ok(score)
}

fn enforce() -> Result<String> {
    fs::write(CONFIGURATION, world::CONTOSO_POLICY)?;
    call(&["systemctl", "reload", UNIT])?;
    let took = system::wait_until("denials after the reload", || Ok(lets_everything_pass().is_err()))?;
    let words = enforces()?;
    Ok(format!("{} ms after the reload; {words}", took.as_millis()))
}
