//! What an open session pays in throughput: a part of section 5.
//!
//! One process, in a cgroup and a network namespace of its own, holds both ends of a TLS session over the loopback and moves
//! bytes from the one to the other: it writes, and reads what it wrote. Measured is its processor time, which is how much of a
//! processor the session takes, so that it makes no difference who else runs and when the other end is woken: with a process
//! for each end two equal sessions differ by ten percent. The loopback delivers in the sender's place, so that writing is all
//! of a packet's way, which is shown apart. The other end's acknowledgements leave the cgroup, too, and are looked at.
//!
//! It does so in slices, in each of which somebody else looks at the packets of the very same session; in a round everybody has
//! a turn, in an order that is balanced over the rounds. A sample is the ratio to the slice of the same round in which nobody
//! looks. In one slice nobody looks once more: what that pair differs by is the error.

mod host;
pub(crate) mod session;

use std::time::Duration;

use anyhow::{Result, ensure};

use self::host::Host;
use self::session::Times;
use crate::order::order;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::targets::{EMPTY, ENFORCER};

/// Throughput of an open session, as a part of that when nobody looks.
pub(crate) const THROUGHPUT: &str = "throughput of an open session, of that without";
/// The same of the sending end alone.
const SENDING: &str = "throughput of an open session, of that without: its sending end alone";
/// Nobody once more, in the place of whose program it is: what the machine makes of equal things.
pub(crate) const AGAIN: &str = "nothing, again";

/// Percent by which two slices in which nobody looks may differ, in the median.
const ERROR_MAX: f64 = 1.0;

/// Who looks at the packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Nobody,
    NobodyAgain,
    Empty,
    Enforcer,
}

impl By {
    /// All of them; what the others are held against comes first.
    const ALL: [Self; 4] = [Self::Nobody, Self::NobodyAgain, Self::Empty, Self::Enforcer];

    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nothing",
            Self::NobodyAgain => AGAIN,
            Self::Empty => EMPTY,
            Self::Enforcer => ENFORCER,
        }
    }
}

/// Measures.
///
/// # Errors
/// When the session can not be opened, or something of it is denied.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let (squares, slice) = if sizes.quick {
        (1, Duration::from_millis(5))
    } else {
        (15, Duration::from_millis(25))
    };
    let mut host = Host::new()?;
    let mut rounds = Vec::new();
    for round in 0..squares * By::ALL.len() {
        let mut times = [Times::default(); By::ALL.len()];
        for at in order(By::ALL.len(), round) {
            times[at] = host.slice(By::ALL[at], slice)?;
        }
        rounds.push(times);
    }
    let denied = host.denied()?;
    ensure!(denied == 0, "{denied} packets of a granted session were denied");
    for (at, by) in By::ALL.into_iter().enumerate().skip(1) {
        for (what, time) in [
            (THROUGHPUT, Times::whole as fn(&Times) -> f64),
            (SENDING, Times::sending),
        ] {
            let samples = rounds
                .iter()
                .map(|times| 100.0 * time(&times[0]) / time(&times[at]));
            report.add(Figure::new(5, what, by.name(), None, Unit::Percent).with(samples));
        }
    }
    // A smoke test has a few slices of a few milliseconds, and is not looked at.
    if !is_believable(report) && !sizes.quick {
        report.doubts.push(format!(
            "throughput: a pair in which nobody looks differs by more than {ERROR_MAX} %: not judged"
        ));
    }
    Ok(())
}

/// Whether equal things were as good as equal in this run.
pub(crate) fn is_believable(report: &Report) -> bool {
    report
        .median(5, THROUGHPUT, AGAIN, None)
        .is_some_and(|percent| (percent - 100.0).abs() <= ERROR_MAX)
}
