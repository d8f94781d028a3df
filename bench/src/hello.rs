//! Section 5: what it takes to check the server name of a connection, and that nothing is paid for it afterwards.
//!
//! Real connections on a host of its own, by a process in a cgroup to which the programs are attached: a test run has no
//! socket, and without one there is no session. The kernel keeps the time that a program runs (`BPF_ENABLE_STATS`), which
//! includes what it goes on with by a tail call. Connections with the very same bytes go to an address that is granted under
//! a name and to one that is granted as such, in turns; the difference is the check, from the first payload to the record
//! that ends the clear part of the handshake, and reading the clock for the statistics is in both.
//!
//! Throughput is that of one open connection in short slices, one process after the other: one under the enforcer and two
//! without any, of which the second shows what the machine itself makes of equal things.

mod client;
mod host;

use anyhow::Result;

use self::host::{ANY, Host, NAMED};
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::targets::ENFORCER;

pub(crate) use self::client::{is_client, run_client};

/// Throughput of an open session under the enforcer, as a part of that without.
pub(crate) const THROUGHPUT: &str = "throughput of an open session, of that without";
/// The same of two that are alike: what the machine makes of equal things.
pub(crate) const THROUGHPUT_AGAIN: &str = "throughput, of that without: nothing again";
/// The check of one connection.
pub(crate) const CHECK: &str = "ClientHello check, a connection";

/// Connections of one sample, to each of the two addresses, samples, and slices of each process.
struct Counts {
    connections: u32,
    rounds: usize,
    slices: usize,
}

/// How long a slice is.
const SLICE_MS: u32 = 50;

impl Counts {
    fn of(sizes: &Sizes) -> Self {
        let (connections, rounds, slices) = if sizes.quick { (5, 3, 3) } else { (200, 15, 60) };
        Self {
            connections,
            rounds,
            slices,
        }
    }
}

/// Measures.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let counts = Counts::of(sizes);
    let mut host = Host::new()?;
    add(report, CHECK, Unit::Nanoseconds, check(&mut host, &counts)?);
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
        add(report, what, Unit::Nanoseconds, host.established(to, SLICE_MS)?);
    }
    let [enforced, again] = throughput(&mut host, &counts)?;
    add(report, THROUGHPUT, Unit::Percent, enforced);
    add(report, THROUGHPUT_AGAIN, Unit::Percent, again);
    Ok(())
}

/// Nanoseconds that the check of one connection takes, a sample a round.
fn check(host: &mut Host, counts: &Counts) -> Result<Vec<f64>> {
    // Once without looking: what is loaded is cold.
    host.connections(NAMED, counts.connections)?;
    let mut samples = Vec::with_capacity(counts.rounds);
    for round in 0..counts.rounds {
        // Either goes first as often.
        let (named, any) = if round % 2 == 0 {
            let named = host.connections(NAMED, counts.connections)?;
            (named, host.connections(ANY, counts.connections)?)
        } else {
            let any = host.connections(ANY, counts.connections)?;
            (host.connections(NAMED, counts.connections)?, any)
        };
        samples.push((named - any) / f64::from(counts.connections));
    }
    Ok(samples)
}

/// Percent of the throughput without the enforcer, in the same round: of a session under it, and of another without.
fn throughput(host: &mut Host, counts: &Counts) -> Result<[Vec<f64>; 2]> {
    let mut senders = host.senders(NAMED)?;
    let (mut enforced, mut again) = (Vec::new(), Vec::new());
    for round in 0..counts.slices {
        let mut rates = [0.0; 3];
        for turn in 0..rates.len() {
            let at = (round + turn) % rates.len();
            rates[at] = senders[at].send(SLICE_MS)?;
        }
        let [under, without, without_again] = rates;
        enforced.push(100.0 * under / without);
        again.push(100.0 * without_again / without);
    }
    Ok([enforced, again])
}

fn add(report: &mut Report, what: &str, unit: Unit, samples: Vec<f64>) {
    report.add(Figure::new(5, what, ENFORCER, None, unit).with(samples));
}
