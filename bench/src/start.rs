//! Section 7: from the start of the daemon until it enforces, and what it takes of memory.
//!
//! It enforces from the first refusal on: nothing gets out any more that the policy does not grant. It says that it is ready
//! when the programs that read server names are loaded as well; until then, what asks for a name waits.
//!
//! A first run learns the names and is stopped, which saves them, and the table that was in force. Then the name server is gone,
//! and every start goes on from what is known: with nothing in the kernel, with what the run before left pinned there, and
//! with nothing but answers, as after a power cut. While the first and the last kind start, a process in the cgroup sends
//! until it is refused. The floor of both is the time that the kernel takes
//! to verify the programs that have to be there by then, measured in turns with the starts.

mod floor;
pub(crate) mod knock;
mod memory;

use std::time::Duration;

use anyhow::{Result, ensure};

use self::knock::Knocking;
use crate::daemon::{Load, Place};
use crate::process;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::statistics::{nanoseconds, of_u64};
use crate::targets::{ENFORCER, FLOOR};

const SECTION: u8 = 7;
/// Until nothing gets out that the policy does not grant.
pub(crate) const REFUSED: &str = "start to the first refusal, saved answers";
/// Until the service manager is told.
pub(crate) const READY: &str = "start to ready, saved answers";
/// Longer than a whole section takes.
const TTL: u32 = 3600;
/// How long answers are waited for, and what a change takes to its place.
const LEARNING_MAX: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(2);
/// Starts after a power cut: they are not held against a target.
const CUTS: usize = 3;
/// By then everything is saved, and what only changes need is given back.
const REST: Duration = Duration::from_secs(35);

/// Adds the figures.
///
/// # Errors
/// When a daemon does not run.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let [few, many] = sizes.names;
    let each = sizes.addresses_each;
    let loads = [
        (
            Load {
                names: few,
                each,
                prefixes: 0,
            },
            "RSS, few names",
        ),
        (
            Load {
                names: many,
                each,
                prefixes: sizes.most_prefixes(),
            },
            "RSS, many names and prefixes",
        ),
    ];
    report.note(format!(
        "start and memory: {few} names of {each} addresses, and {many} with {} prefixes beside; RSS is that of a \
         daemon at rest, which has none of the tables mapped",
        sizes.most_prefixes()
    ));
    for (load, rss) in loads {
        of_load(report, sizes, load, rss)?;
    }
    Ok(())
}

fn of_load(report: &mut Report, sizes: &Sizes, load: Load, rss: &str) -> Result<()> {
    let place = Place::new()?;
    let config = place.configure(load)?;
    let size = Some(u64::from(load.names));
    let bytes = |what: &str| Figure::new(SECTION, what, ENFORCER, size, Unit::Bytes);
    {
        let server = place.name_server(load, TTL)?;
        let daemon = place.start(&config, false)?;
        let begin = std::time::Instant::now();
        // Both families of each.
        while server.asked().len() < 2 * load.names as usize {
            ensure!(begin.elapsed() < LEARNING_MAX, "not every name was asked for");
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(if sizes.quick { SETTLE } else { REST });
        report.add(bytes(rss).with([of_u64(process::memory(daemon.pid(), "VmRSS")?)]));
        report.add(bytes("RSS, of its own").with([of_u64(process::memory(daemon.pid(), "RssAnon")?)]));
        for (what, value) in memory::of(&place.instance.pins())? {
            report.add(bytes(what).with([of_u64(value)]));
        }
        daemon.stop()?;
    }
    place.detach()?;

    let times = |what: &str, whose: &str| Figure::new(SECTION, what, whose, size, Unit::Nanoseconds);
    let mut refused = times(REFUSED, ENFORCER);
    let mut refused_floor = times(REFUSED, FLOOR);
    let mut cold = times(READY, ENFORCER);
    let mut cold_floor = times(READY, FLOOR);
    let mut cut = times("start to the first refusal, after a power cut", ENFORCER);
    let mut pinned = times("start to ready, saved answers and pins", ENFORCER);
    for sample in 0..sizes.samples {
        let knocking = Knocking::start(&place)?;
        let daemon = place.start(&config, false)?;
        cold.samples.push(nanoseconds(daemon.ready));
        refused.samples.push(nanoseconds(knocking.refused()?));
        daemon.stop()?;
        let daemon = place.start(&config, false)?;
        pinned.samples.push(nanoseconds(daemon.ready));
        daemon.stop()?;
        place.detach()?;
        if sample < CUTS {
            place.forget_table()?;
            let knocking = Knocking::start(&place)?;
            let daemon = place.start(&config, false)?;
            cut.samples.push(nanoseconds(knocking.refused()?));
            daemon.stop()?;
            place.detach()?;
        }
        let floor = floor::take(load.capacity()?)?;
        refused_floor.samples.push(nanoseconds(floor.hooks));
        cold_floor.samples.push(nanoseconds(floor.all));
    }
    for figure in [refused, refused_floor, cut, cold, cold_floor, pinned] {
        report.add(figure);
    }
    Ok(())
}
