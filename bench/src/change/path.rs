//! The daemon's own way with an answer, in this process: from the task that owns the names, through the journal, to the
//! kernel.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer::daemon::measure::AnswerPath;
use enforcer::names::ServerName;
use enforcer::state::Folders;
use enforcer_lab::Folder;

use super::SECTION;
use crate::report::{Figure, Report, Unit};
use crate::statistics::nanoseconds;
use crate::targets::ENFORCER;

/// Addresses of a name: as many entries of the policy.
const EACH: u32 = 50;
/// Between addresses, so that no two of them are one span of the table, and more than half of all steps, so that no change
/// brings what another name still has.
const STRIDE: u32 = 1021;

/// Longer than changes are gathered for that follow each other.
const PAUSE: Duration = Duration::from_millis(8);

/// Adds the figures for a policy in which names have this many addresses together.
pub(super) fn of_size(report: &mut Report, entries: u32, changes: usize) -> Result<()> {
    let folder = Folder::new("path")?;
    let folders = Folders {
        state: folder.path().join("state"),
        runtime: folder.path().join("run"),
    };
    let each = entries.min(EACH);
    let names: Vec<ServerName> = (0..entries / each)
        .map(|at| ServerName::parse(&format!("host-{at:05}.bench.example.com")))
        .collect::<Result<_, _>>()?;
    let mut text = "mode = \"enforce\"\n[resolver]\nservers = [\"127.0.0.1\"]\ngrace = \"0s\"\n".to_owned();
    for name in &names {
        let _ = writeln!(text, "[[allow]]\nname = \"{name}\"");
    }
    let config = folder.path().join("bench.toml");
    std::fs::write(&config, text)?;
    let known = names
        .iter()
        .zip(0..)
        .map(|(name, at)| (name.clone(), addresses(0, at * each, each)));
    let mut path =
        AnswerPath::open(&config, &folders, known).context("the daemon's parts do not come together")?;

    let mut figure = Figure::new(
        SECTION,
        "an answer changes a name, by the daemon's parts",
        ENFORCER,
        Some(entries.into()),
        Unit::Nanoseconds,
    );
    let mut random = fastrand::Rng::with_seed(4);
    for at in 0..=changes {
        let name = &names[random.usize(..names.len())];
        let before = path.generation();
        // Others each time: the step says which.
        let step = u32::try_from(at)? + 1;
        // As a rule a name changes after a pause; what comes sooner after another waits for what comes with it.
        std::thread::sleep(PAUSE);
        let took = path.bring(name, &addresses(step, 0, each))?;
        ensure!(path.generation() > before, "the kernel has no new generation");
        if at > 0 {
            figure.samples.push(nanoseconds(took));
        }
    }
    report.add(figure);
    Ok(())
}

/// Addresses: those of a policy in the beginning (`step` 0), or of a change.
fn addresses(step: u32, first: u32, count: u32) -> Vec<IpAddr> {
    let base = if step == 0 {
        Ipv4Addr::new(20, 0, 0, 0)
    } else {
        Ipv4Addr::new(60, 0, 0, 0)
    };
    (0..count)
        .map(|at| base.to_bits() + STRIDE * (first + at + (step % 2) * count) + step / 2)
        .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        .collect()
}
