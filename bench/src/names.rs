//! Section 6: the daemon follows names, and what it does when nothing happens.
//!
//! A process of its own asks a name server of the lab, a thread of this one whose time is shown apart. The answers are the
//! same each time: what is measured is the asking. While nothing happens, the answers have an hour to live, in both
//! families: what is asked again because a name has no address of one is work.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enforcer_lab::nameserver::NameServer;

use crate::daemon::{Daemon, Load, Place};
use crate::process;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::statistics::{as_float, nanoseconds, of_u64};
use crate::targets::ENFORCER;

const SECTION: u8 = 6;
/// Seconds that answers live while they are followed.
const TTL: u32 = 30;
/// The same while nothing is to happen.
const TTL_IDLE: u32 = 3600;
/// What a start leaves behind is over by then: answers are saved, and memory is given back.
const SETTLE: Duration = Duration::from_secs(30);
const SERVER: &str = "name server";

/// Adds the figures.
///
/// # Errors
/// When a daemon does not run.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    report.note(format!(
        "names: {} addresses each, TTL {TTL} s, questions for both families; CPU is that of one core; `until every name is known` \
         begins with the daemon's start",
        sizes.addresses_each
    ));
    for names in sizes.names {
        follow(report, sizes, names)?;
    }
    idle(report, sizes)
}

/// Names whose answers run out again and again.
fn follow(report: &mut Report, sizes: &Sizes, names: u32) -> Result<()> {
    let place = Place::new()?;
    let load = Load {
        names,
        each: sizes.addresses_each,
        prefixes: 0,
    };
    let server = place.name_server(load, TTL)?;
    let daemon = place.start(&place.configure(load)?, true)?;
    let mut add = |what: &str, subject: &str, unit, value| {
        report.add(Figure::new(SECTION, what, subject, Some(names.into()), unit).with([value]));
    };
    add(
        "until every name is known",
        ENFORCER,
        Unit::Nanoseconds,
        nanoseconds(daemon.ready),
    );
    add(
        "first questions",
        SERVER,
        Unit::Count,
        as_float(server.asked().len()),
    );

    let window = Window::open(&daemon, &server)?;
    std::thread::sleep(sizes.following);
    let seen = window.close(&daemon, &server)?;
    // Less than the shortest life of an answer may pass without a question.
    ensure!(seen.questions > 0 || sizes.quick, "no name was asked for again");
    add(
        "questions",
        ENFORCER,
        Unit::PerSecond,
        of_u64(seen.questions) / seen.seconds,
    );
    add(
        "CPU, following",
        ENFORCER,
        Unit::Percent,
        seen.cpu.as_secs_f64() / seen.seconds * 100.0,
    );
    if seen.questions > 0 {
        add(
            "CPU, a question",
            ENFORCER,
            Unit::Nanoseconds,
            nanoseconds(seen.cpu) / of_u64(seen.questions),
        );
    }
    add(
        "wake-ups, following",
        ENFORCER,
        Unit::PerMinute,
        of_u64(seen.wakeups) / seen.seconds * 60.0,
    );
    add(
        "CPU, following",
        SERVER,
        Unit::Percent,
        seen.server.as_secs_f64() / seen.seconds * 100.0,
    );
    add(
        "RSS, following",
        ENFORCER,
        Unit::Bytes,
        of_u64(process::memory(daemon.pid(), "VmRSS")?),
    );
    add(
        "RSS, following, at most",
        ENFORCER,
        Unit::Bytes,
        of_u64(process::memory(daemon.pid(), "VmHWM")?),
    );
    daemon.stop()
}

/// Few names, and nothing to do.
fn idle(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let place = Place::new()?;
    let names = sizes.names[0];
    let load = Load {
        names,
        each: sizes.addresses_each,
        prefixes: 0,
    };
    let server = place.name_server_of_both(load, TTL_IDLE)?;
    let daemon = place.start(&place.configure(load)?, true)?;
    if !sizes.quick {
        std::thread::sleep(SETTLE);
    }
    let window = Window::open(&daemon, &server)?;
    std::thread::sleep(sizes.idle);
    let before = window.questions;
    let seen = window.close(&daemon, &server)?;
    ensure!(
        seen.questions == 0,
        "{} questions while nothing was to happen, of which the first is for {}",
        seen.questions,
        server
            .asked()
            .get(before)
            .map_or_else(String::new, |asked| format!("{} {}", asked.name, asked.kind)),
    );
    let mut add = |what: &str, unit, value| {
        report.add(Figure::new(SECTION, what, ENFORCER, Some(names.into()), unit).with([value]));
    };
    add(
        "idle, CPU",
        Unit::Percent,
        seen.cpu.as_secs_f64() / seen.seconds * 100.0,
    );
    add(
        "idle, wake-ups",
        Unit::PerMinute,
        of_u64(seen.wakeups) / seen.seconds * 60.0,
    );
    daemon.stop()
}

/// The beginning of a time that is looked at.
struct Window {
    begin: Instant,
    used: process::Used,
    server: Duration,
    questions: usize,
}

/// What happened in it.
struct Seen {
    seconds: f64,
    cpu: Duration,
    wakeups: u64,
    server: Duration,
    questions: u64,
}

impl Window {
    fn open(daemon: &Daemon, server: &NameServer) -> Result<Self> {
        Ok(Self {
            questions: server.asked().len(),
            server: process::thread_time("nameserver"),
            used: process::used(daemon.pid())?,
            begin: Instant::now(),
        })
    }

    fn close(self, daemon: &Daemon, server: &NameServer) -> Result<Seen> {
        let seconds = self.begin.elapsed().as_secs_f64();
        let used = process::used(daemon.pid())?;
        let questions = server.asked().len() - self.questions;
        Ok(Seen {
            seconds,
            cpu: used.cpu.saturating_sub(self.used.cpu),
            wakeups: used.wakeups.saturating_sub(self.used.wakeups),
            server: process::thread_time("nameserver").saturating_sub(self.server),
            questions: u64::try_from(questions)?,
        })
    }
}
