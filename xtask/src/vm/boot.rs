//! `cargo xtask vm --boot`: the package on a Debian with systemd, through reboots, upgrades and a power cut.
//!
//! The scenario itself is `tests/src/guest/machine/`. Here a machine is booted on the same disk again and again, as the
//! scenario asks for: after it has turned itself off, or with its power taken away.

mod disks;
mod start;
mod story;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::emulator::{End, Guest, Heard};
use crate::debian;
use crate::failure::Failure;
use crate::machine::Machine;
use disks::Disks;
use story::{Story, Wish};

/// For one boot and all that is done in it; the longest takes a quarter of this on an idle machine.
const LIMIT: Duration = Duration::from_secs(900);
/// More than the scenario has, so that one which asks for ever is ended.
const BOOTS_MAX: u32 = 8;
/// Nobody logs in, and nothing is done by the clock.
const WORDS: &str = "systemd.show_status=0 systemd.getty_auto=0 systemd.unit=multi-user.target \
                     systemd.mask=getty@tty1.service systemd.mask=getty-static.service systemd.mask=timers.target \
                     systemd.mask=systemd-update-utmp.service systemd.mask=systemd-update-utmp-runlevel.service";

/// Plays the scenario with the package `deb`, and prints how each of its steps came out.
///
/// # Errors
/// When one did not go well, or the scenario did not come to its end.
pub(super) fn run(machine: &Machine, deb: &Path) -> Result<()> {
    let begin = Instant::now();
    let (disk, kernel) = debian::made(machine).context(Failure::new(
        "the disk with Debian is not there",
        "run `cargo xtask setup`, which makes it",
    ))?;
    let folder = machine.root.join("target/vm");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let disks = Disks::make(machine, &folder, &disk, deb)?;
    let archive = start::archive(&kernel)?;
    let file = folder.join(format!("boot.{}.cpio", std::process::id()));
    let mut story = Story::default();
    for number in 1..=BOOTS_MAX {
        eprintln!(
            "    boot {number} of Debian {} on {}",
            debian::SUITE,
            kernel.release
        );
        story.begin(number);
        let words = format!("{WORDS} lab.boot={number}");
        let guest = Guest {
            kernel: &kernel,
            archive: &archive,
            file: &file,
            processors: 2,
            disks: disks.all(),
            words: &words,
            limit: LIMIT,
        };
        let end = guest.boot(|line| {
            story.read(line);
            match story.wish() {
                Some(Wish::Cut) => Heard::Cut,
                _ => Heard::GoOn,
            }
        })?;
        story.end(end == End::Late);
        if !matches!(story.wish(), Some(Wish::Reboot | Wish::Cut)) {
            break;
        }
    }
    print!("{}", story.table());
    println!("  took {:.1} s\n", begin.elapsed().as_secs_f32());
    let missed = story.missed();
    if missed > 0 || story.wish() != Some(Wish::Nothing) {
        bail!("the package does not do its work on a booted machine: {missed} steps missed");
    }
    Ok(())
}
