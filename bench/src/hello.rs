//! Section 5: what it takes to check the server name of a connection, and that nothing is paid for it afterwards.
//!
//! Real connections on a host of its own, by a process in a cgroup to which the programs are attached: a test run has no
//! socket, and without one there is no session. The kernel keeps the time that a program runs (`BPF_ENABLE_STATS`), which
//! includes what it goes on with. Connections with the very same bytes go to an address that is granted under
//! a name and to one that is granted as such, in turns; the difference is the check, from the first payload to the record
//! that ends the clear part of the handshake, and reading the clock for the statistics is in both. What that is worth for a
//! packet an empty program shows.
//!
//! The floor stands on a cgroup of its own, over connections with the same bytes, and is measured in the same way: the
//! simplest program that reads the whole hello and looks its name up (`bench/programs/src/hellos.rs`), the same without
//! reading anything, and with all that a check owes. A check runs once a connection, between everything else that a
//! connection takes of the processor's caches: repeated without that, the same programs take a part of the time.
//!
//! How the check grows with the number of granted names is measured in `hello/many.rs`, and what an open session pays in
//! throughput in `throughput.rs`.

mod asked;
pub(crate) mod client;
mod host;
mod many;
mod telling;
mod watched;

use std::net::Ipv4Addr;

use anyhow::Result;

use self::host::{ANY, Host, NAMED, statistics};
use self::watched::{Behind, By, Connections};
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::targets::{EMPTY, ENFORCER, FLOOR};

pub(crate) use self::asked::NAMES_MOST;

/// The check of one connection.
pub(crate) const CHECK: &str = "ClientHello check, a connection";
/// A part of it.
const HELLO_ALONE: &str = "ClientHello check, of it the hello";
/// The floor of what calls a check.
const NOTHING_READ: &str = "ClientHello check, a connection: nothing read";
/// The floor with what a check owes.
pub(crate) const OWED: &str = "ClientHello check, a connection, with all that a check owes";
/// What a packet of a connection takes that nobody looks at.
const STATISTICS: &str = "a packet of a connection, of it the statistics";

/// Connections of one sample, to each of the two addresses, and samples.
struct Counts {
    connections: u32,
    rounds: usize,
}

/// How long a slice is.
const SLICE_MS: u32 = 50;
/// Samples of a segment of an open connection.
const SAMPLES: usize = 15;

impl Counts {
    fn of(sizes: &Sizes) -> Self {
        let (connections, rounds) = if sizes.quick { (5, 3) } else { (200, 15) };
        Self { connections, rounds }
    }
}

/// Measures.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let counts = Counts::of(sizes);
    let mut host = Host::new()?;
    check(report, &mut host, &counts)?;
    for (what, to) in [
        (
            "segment of an open session under a name condition, statistics included",
            NAMED,
        ),
        (
            "segment of an open connection without one, statistics included",
            ANY,
        ),
    ] {
        let samples = established(&mut host, to)?;
        add(report, what, ENFORCER, Unit::Nanoseconds, samples);
    }
    many::run(report, &mut host, sizes)
}

/// What is measured of connections: the difference between those to [`NAMED`] and those to [`ANY`].
const CHECKS: [(&str, &str, By, Behind); 5] = [
    (CHECK, ENFORCER, By::Enforcer, Behind::Record),
    (HELLO_ALONE, ENFORCER, By::Enforcer, Behind::Nothing),
    (CHECK, FLOOR, By::Floor, Behind::Record),
    (NOTHING_READ, FLOOR, By::Call, Behind::Record),
    (OWED, FLOOR, By::Owed, Behind::Record),
];

/// Nanoseconds that the check of one connection takes, a sample a round.
fn check(report: &mut Report, host: &mut Host, counts: &Counts) -> Result<()> {
    let _statistics = statistics()?;
    let count = counts.connections;
    // Once without looking: what is loaded is cold.
    for (_, _, by, behind) in CHECKS {
        host.watched(by)
            .connections(&Connections::new(NAMED, count, behind))?;
    }
    let mut samples = vec![Vec::with_capacity(counts.rounds); CHECKS.len()];
    let mut clock = Vec::with_capacity(counts.rounds);
    for round in 0..counts.rounds {
        for turn in 0..CHECKS.len() {
            let at = (round + turn) % CHECKS.len();
            let (_, _, by, behind) = CHECKS[at];
            let mut run = |to| host.watched(by).connections(&Connections::new(to, count, behind));
            // Either goes first as often.
            let (named, any) = if round % 2 == 0 {
                let named = run(NAMED)?;
                (named, run(ANY)?)
            } else {
                let any = run(ANY)?;
                (run(NAMED)?, any)
            };
            samples[at].push((named.nanoseconds() - any.nanoseconds()) / f64::from(count));
        }
        let empty = host
            .watched(By::Empty)
            .connections(&Connections::new(ANY, count, Behind::Record))?;
        clock.push(empty.each());
    }
    for ((what, subject, ..), samples) in CHECKS.into_iter().zip(samples) {
        add(report, what, subject, Unit::Nanoseconds, samples);
    }
    add(report, STATISTICS, EMPTY, Unit::Nanoseconds, clock);
    Ok(())
}

/// Nanoseconds that the enforcer takes for a packet of an open connection.
fn established(host: &mut Host, to: Ipv4Addr) -> Result<Vec<f64>> {
    let watched = host.watched(By::Enforcer);
    watched.open(to)?;
    let _statistics = statistics()?;
    // Once without looking.
    watched.send(SLICE_MS)?;
    (0..SAMPLES).map(|_| Ok(watched.send(SLICE_MS)?.each())).collect()
}

fn add(report: &mut Report, what: &str, subject: &str, unit: Unit, samples: Vec<f64>) {
    report.add(Figure::new(5, what, subject, None, unit).with(samples));
}
