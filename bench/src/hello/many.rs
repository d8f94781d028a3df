//! The check of a server name over the number of names that the policy grants.
//!
//! As with one name, a sample is the difference between connections to the address that is granted under names and to the one
//! that is granted as such, with the same bytes, either first as often. Who comes when is balanced over the rounds. One set of
//! programs measures it all, and before each turn another policy is put into force: programs that were loaded once more would
//! lie elsewhere in memory, which is worth as much as some of what is to be seen. Some connections that are not looked at take
//! away what the publication leaves in the caches.
//!
//! Every connection asks for another name than the one before, so that in a table of many it is found as far away as on a host
//! that speaks to many. There is the same name each time as well: what that grows by are the steps of the search, and what the
//! two differ by is the memory that those steps do not find near. In the smallest policy the two are the same, and differ by
//! the error.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use enforcer::policy::table::Table;
use enforcer_common::Reason;
use enforcer_common::abi::{EVENT_BURST, GRANTED};
use enforcer_common::names::PATTERN_LABELS_MAX;

use super::asked::{Asked, granted};
use super::host::{ANY, Host, NAMED, policy, statistics};
use super::telling::Told;
use super::watched::{Behind, By, Connections, Runs};
use crate::order::order;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::targets::ENFORCER;

/// What is measured in every policy: what it is called, what is asked for, and whether it is always the same.
const EACH: [(&str, Asked, bool); 5] = [
    (
        "ClientHello check, a granted name, another each time",
        Asked::Granted,
        false,
    ),
    (
        "ClientHello check, a granted name, the same each time",
        Asked::Granted,
        true,
    ),
    (
        "ClientHello check, a name under a granted pattern",
        Asked::Below,
        false,
    ),
    (
        "ClientHello check, a name under a granted pattern, of 16 labels",
        Asked::Deep,
        false,
    ),
    (
        "ClientHello check, a name that is denied, hardly any told",
        Asked::Foreign,
        false,
    ),
];
const _: () = assert!(PATTERN_LABELS_MAX + 1 == 16, "it is in the words");
/// What is measured in the smallest.
const TOLD: &str = "ClientHello check, a name that is denied, each told";

/// Whose turn there is: an even number, so that they can be balanced.
const CASES: usize = 3 * EACH.len() + 1;
const _: () = assert!(CASES.is_multiple_of(2));

/// Something to measure.
#[derive(Clone, Copy, Debug)]
struct Case {
    what: &'static str,
    /// Names of the policy, and which policy it is.
    size: Option<u32>,
    policy: usize,
    asked: Asked,
    /// From how many names is chosen.
    of: u32,
    told: Told,
}

/// All of it.
fn cases(sizes: [u32; 3]) -> Vec<Case> {
    let mut cases = Vec::with_capacity(CASES);
    for (policy, names) in sizes.into_iter().enumerate() {
        cases.extend(EACH.map(|(what, asked, is_same)| Case {
            what,
            size: Some(names),
            policy,
            asked,
            of: if is_same { 1 } else { names },
            told: Told::Hardly,
        }));
    }
    cases.push(Case {
        what: TOLD,
        size: None,
        policy: 0,
        asked: Asked::Foreign,
        of: 1,
        told: Told::Each,
    });
    cases
}

/// Connections of a sample to each address, and rounds.
const fn counts(is_quick: bool) -> (u32, usize) {
    if is_quick { (5, 2) } else { (120, CASES) }
}

const _: () = assert!(counts(false).0 <= EVENT_BURST);

/// Measures.
pub(super) fn run(report: &mut Report, host: &mut Host, sizes: &Sizes) -> Result<()> {
    let cases = cases(sizes.granted);
    let [few, some, many] = sizes.granted.map(|names| policy(&granted(names)?));
    let tables = [few?, some?, many?];
    report.note(
        "ClientHello check: sizes are names that the policy grants beside a pattern, `*.blob.core.windows.net`; where nothing \
         else is said, each connection asks for another name than the one before; of a name that is denied it is the hello alone",
    );
    let (count, rounds) = counts(sizes.quick);
    let mut samples = vec![Vec::with_capacity(rounds); cases.len()];
    let _statistics = statistics()?;
    for round in 0..rounds {
        for at in order(cases.len(), round) {
            samples[at].push(sample(host, &tables, &cases[at], count, round)?);
        }
    }
    for (case, samples) in cases.iter().zip(samples) {
        let size = case.size.map(u64::from);
        report.add(Figure::new(5, case.what, ENFORCER, size, Unit::Nanoseconds).with(samples));
    }
    Ok(())
}

/// Nanoseconds that one check takes.
fn sample(host: &mut Host, tables: &[Table; 3], case: &Case, count: u32, round: usize) -> Result<f64> {
    host.publish(&tables[case.policy]);
    let first = u32::try_from(round).unwrap_or_default().wrapping_mul(count);
    // Once without looking, and with other names than those that are measured.
    let settling = count.div_ceil(10);
    for to in [NAMED, ANY] {
        connections(host, case, to, settling, first.wrapping_sub(settling))?;
    }
    wait(host)?;
    let [named, any] = if round.is_multiple_of(2) {
        let named = checked(host, case, count, first)?;
        wait(host)?;
        [named, connections(host, case, ANY, count, first)?]
    } else {
        let any = connections(host, case, ANY, count, first)?;
        wait(host)?;
        [checked(host, case, count, first)?, any]
    };
    Ok((named.nanoseconds() - any.nanoseconds()) / f64::from(count))
}

/// Connections to the address that is granted under names, each of which is judged as it is meant to be.
fn checked(host: &mut Host, case: &Case, count: u32, first: u32) -> Result<Runs> {
    host.telling().set(Reason::NameNotGranted as u8, case.told)?;
    let before = host.counters()?;
    let runs = connections(host, case, NAMED, count, first)?;
    let since = host.counters()?.since(&before);
    let (granted, denied) = (since.granted().total, since.get(Reason::NameNotGranted));
    let wanted = u64::from(count);
    // A hello that did not leave is sent once more when the client is not there for long enough.
    let is_meant = if case.asked.is_granted() {
        granted == wanted && since.denied() == 0
    } else {
        granted == 0 && denied.denied >= wanted && since.denied() == denied.denied
    };
    ensure!(
        is_meant,
        "{}: of {count} connections {granted} were granted, and {} packets were denied",
        case.what,
        since.denied()
    );
    ensure!(
        case.told == Told::Hardly || denied.suppressed == 0,
        "{}: of {} connections nothing was told",
        case.what,
        denied.suppressed
    );
    Ok(runs)
}

fn connections(host: &mut Host, case: &Case, to: Ipv4Addr, count: u32, first: u32) -> Result<Runs> {
    host.telling().set(GRANTED, Told::Hardly)?;
    let is_granted = case.asked.is_granted();
    let watched = host.watched(By::Enforcer);
    watched.connections(&Connections {
        to,
        count,
        behind: if is_granted {
            Behind::Record
        } else {
            Behind::Nothing
        },
        asked: case.asked,
        of: case.of,
        first,
    })
}

/// Waits until the server is done with all connections: one that is reset does not wait for it. It takes them in turn, and so
/// it has taken all before this one when this one ends.
fn wait(host: &mut Host) -> Result<()> {
    let last = Connections::new(ANY, 1, Behind::Nothing);
    host.watched(By::Enforcer).connections(&last).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_measured_in_every_size() {
        let cases = cases([1, 10, 100]);
        assert_eq!(cases.len(), CASES);
        for (what, ..) in EACH {
            let sizes: Vec<_> = cases
                .iter()
                .filter(|case| case.what == what)
                .map(|case| (case.policy, case.size))
                .collect();
            assert_eq!(sizes, [(0, Some(1)), (1, Some(10)), (2, Some(100))]);
        }
        let told: Vec<_> = cases.iter().filter(|case| case.told == Told::Each).collect();
        assert_eq!(told.len(), 1);
        assert!(!told[0].asked.is_granted());
    }

    #[test]
    fn a_whole_run_is_balanced() {
        let (_, rounds) = counts(false);
        assert!(rounds.is_multiple_of(CASES));
    }
}
