//! systemd, dpkg and what else the machine is asked about itself.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::outcome::{Outcome, run_for};

/// The enforcer's unit.
pub(super) const UNIT: &str = "enforcer.service";
/// An emulated machine verifies the programs in tens of seconds, and others may be busy beside it.
pub(super) const LIMIT: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Runs a program and gives what it printed.
///
/// # Errors
/// When it fails, with what it said.
pub(super) fn call(words: &[&str]) -> Result<String> {
    let outcome = try_to(words)?;
    ensure!(outcome.success(), "`{}`: {outcome}", words.join(" "));
    Ok(outcome.stdout)
}

/// Runs a program, whatever becomes of it.
pub(super) fn try_to(words: &[&str]) -> Result<Outcome> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    run_for(command, LIMIT)
}

/// A property of a unit (`systemctl show`); empty when there is none.
pub(super) fn property(unit: &str, name: &str) -> Result<String> {
    let text = call(&["systemctl", "show", "--value", "--property", name, unit])?;
    Ok(text.trim().to_owned())
}

/// The process of the enforcer's unit.
///
/// # Errors
/// When there is none.
pub(super) fn daemon() -> Result<i32> {
    let pid: i32 = property(UNIT, "MainPID")?.parse()?;
    ensure!(pid > 0, "{UNIT} has no process");
    Ok(pid)
}

/// Sends a signal to the daemon.
pub(super) fn signal(signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(daemon()?).context("a process has the number 0")?;
    kill_process(pid, signal).with_context(|| format!("{UNIT} can not be sent {signal:?}"))
}

/// Waits until the enforcer's unit is active with another process than `old`, and gives the time that it took.
///
/// # Errors
/// When it does not come within [`LIMIT`].
pub(super) fn wait_for_restart(old: i32) -> Result<Duration> {
    wait_until("another process of the unit, ready", || {
        Ok(property(UNIT, "ActiveState")? == "active" && daemon().is_ok_and(|pid| pid != old))
    })
}

/// Waits for a condition, and gives the time that it took.
///
/// # Errors
/// When it does not come true within [`LIMIT`].
pub(super) fn wait_until(what: &str, condition: impl Fn() -> Result<bool>) -> Result<Duration> {
    let begin = Instant::now();
    while !condition()? {
        ensure!(begin.elapsed() < LIMIT, "waited {} s for {what}", LIMIT.as_secs());
        std::thread::sleep(POLL);
    }
    Ok(begin.elapsed())
}

/// What the daemon has said since the machine was booted, oldest first, in a form of journalctl.
pub(super) fn journal(form: &str) -> Result<String> {
    call(&[
        "journalctl",
        "--boot",
        "--unit",
        UNIT,
        "--no-hostname",
        "--no-pager",
        "--output",
        form,
    ])
}

/// The value of `name=value` on the kernel's command line.
pub(super) fn kernel_word(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cmdline").ok()?;
    let mut words = text.split_whitespace();
    words.find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}
