//! Section 2: what a packet costs more on its way out of a process.
//!
//! A process of its own, in a cgroup and a network namespace of its own, sends UDP into a device that drops everything. It
//! does so in slices; in each slice somebody else looks at the packets, and in a round everybody has a turn, in an order
//! that is balanced over the rounds. A figure is the difference to the slice of the same round in which nobody looks, in
//! processor time of the sender: what else runs on the machine counts as little as possible. In one slice of each round
//! nobody looks once more: what that pair differs by is the error, and a run in which it is too large is thrown away.

mod least;
pub(crate) mod sender;
mod stage;
mod watcher;

use std::time::{Duration, Instant};

use anyhow::Result;

use self::sender::Destinations;
use self::stage::Stage;
use self::watcher::Watcher;
use crate::order::order;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::statistics;

const SECTION: u8 = 2;
/// Nanoseconds by which two slices without anybody may differ, in the median.
const ERROR_MAX: f64 = 20.0;
/// How often a run is repeated that is too noisy.
const ATTEMPTS: usize = 3;
/// After this nothing is repeated any more: a machine that is busy all the time is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Adds the figures.
///
/// # Errors
/// When the stage can not be set, or somebody's rules.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let begin = Instant::now();
    // The largest size first: it is the one that has to be believable.
    for &size in sizes.prefixes.iter().rev() {
        // The largest size is what targets are about; the others show how it grows.
        let is_largest = size == sizes.most_prefixes();
        let rounds = Watcher::ALL.len() * if is_largest { sizes.squares } else { 1 };
        let mut stage = Stage::new(size)?;
        report.note(format!(
            "send path: the device that drops is of the kind {}; the enforcer is attached with all its programs, and a call \
             that names its destination passes that for sendmsg as well; `packets alone` is without it, as for TCP; `floor` is \
             the simplest program that finds the destination, with an empty one for sendmsg",
            stage.device
        ));
        for attempt in 1..=ATTEMPTS {
            let figures = measure(&mut stage, size, rounds, sizes)?;
            if !report.believes(&format!("send path, {size} prefixes"), stage.counted()?) {
                break;
            }
            let worst = error_of(&figures);
            // A smoke test has a few slices of a few milliseconds, and is not looked at.
            if worst <= ERROR_MAX || sizes.quick {
                figures.into_iter().for_each(|figure| report.add(figure));
                break;
            }
            let is_last = attempt == ATTEMPTS || begin.elapsed() > PATIENCE;
            let outcome = if is_last { "left out" } else { "repeated" };
            let words = format!(
                "send path, {size} prefixes, attempt {attempt}: a pair without anybody differs by {worst:.0} ns, more than \
                 {ERROR_MAX:.0}: {outcome}"
            );
            eprintln!("   {words}");
            if is_last {
                report.doubts.push(words);
                break;
            }
        }
    }
    Ok(())
}

/// One run.
fn measure(stage: &mut Stage, size: u32, rounds: usize, sizes: &Sizes) -> Result<Vec<Figure>> {
    let watchers = Watcher::ALL;
    let mut figures: Vec<Figure> = Destinations::BOTH
        .iter()
        .flat_map(|destinations| {
            watchers.iter().map(|watcher| {
                let (what, subject) = (destinations.words(), watcher.name());
                Figure::new(SECTION, what, subject, Some(size.into()), Unit::Nanoseconds)
            })
        })
        .collect();
    for round in 0..rounds {
        let mut times = vec![0.0; figures.len()];
        for at in order(watchers.len(), round) {
            stage.let_watch(watchers[at])?;
            for (kind, &destinations) in Destinations::BOTH.iter().enumerate() {
                times[kind * watchers.len() + at] = stage.slice(destinations, sizes.slice)?;
            }
            stage.stop_watching(watchers[at])?;
        }
        for (at, figure) in figures.iter_mut().enumerate() {
            let nobody = times[at - at % watchers.len()];
            figure.samples.push(times[at] - nobody);
        }
    }
    // The one that others are held against differs from itself by nothing.
    figures.retain(|figure| figure.subject != Watcher::Nobody.name());
    Ok(figures)
}

/// By how much two slices without anybody differ, at worst.
fn error_of(figures: &[Figure]) -> f64 {
    figures
        .iter()
        .filter(|figure| figure.subject == Watcher::NobodyAgain.name())
        .filter_map(|figure| statistics::median(&figure.samples))
        .map(f64::abs)
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_worst_pair() {
        let figure = |what, watcher: Watcher, samples: [f64; 3]| {
            Figure::new(SECTION, what, watcher.name(), None, Unit::Nanoseconds).with(samples)
        };
        let figures = [
            figure("one", Watcher::NobodyAgain, [-30.0, -25.0, 90.0]),
            figure("random", Watcher::NobodyAgain, [1.0, 2.0, 3.0]),
            figure("one", Watcher::Enforcer, [100.0, 100.0, 100.0]),
        ];
        assert!((error_of(&figures) - 25.0).abs() < 1e-9);
        assert!(Watcher::ALL.starts_with(&[Watcher::Nobody]));
    }
}
