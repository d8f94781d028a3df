//! The figures that are to be reached, each held against this run alone. Pure.
//!
//! What moves with the machine is a ratio or a difference within the run; times and sizes that a user waits for or pays
//! are what they are.

use crate::hello;
use crate::program::{ABOVE, OWED};
use crate::report::{Report, Target, Unit, digits};
use crate::start;
use crate::throughput::{self, THROUGHPUT};

/// Whose figures are held against the targets.
pub(crate) const ENFORCER: &str = "enforcer";
/// The floor of every program.
pub(crate) const EMPTY: &str = "empty program";
/// The least that can be: the simplest programs that have to do the same.
pub(crate) const FLOOR: &str = "floor";
/// The set that can hold prefixes in nftables.
pub(crate) const NFT_INTERVALS: &str = "nftables interval set";
/// The set of addresses in nftables.
pub(crate) const NFT_HASH: &str = "nftables hash set";
/// hash:net.
pub(crate) const IPSET: &str = "ipset hash:net";
/// The kernel's own structure for prefixes.
pub(crate) const LPM: &str = "LPM trie";

const MIB: f64 = 1024.0 * 1024.0;

/// All of them, in the order of the sections.
pub(crate) fn of(report: &Report) -> Vec<Target> {
    let mut targets = Vec::new();
    program(report, &mut targets);
    send(report, &mut targets);
    replace(report, &mut targets);
    change(report, &mut targets);
    hello(report, &mut targets);
    daemon(report, &mut targets);
    targets
}

/// Section 1: differences to the empty program.
fn program(report: &Report, targets: &mut Vec<Target>) {
    let size = report.largest(1);
    for (what, limit) in [
        ("not a filtered port", 3.0),
        ("granted, hot", 8.0),
        ("granted, random", 35.0),
    ] {
        let of = |subject| report.median(1, &format!("{what}{ABOVE}"), subject, size);
        let target = at_most(
            &format!("program above the empty program: {what}"),
            Unit::Nanoseconds,
            limit,
            of(ENFORCER),
        );
        let owed = report.median(1, &format!("{what}{OWED}{ABOVE}"), FLOOR, size);
        targets.push(beside_floor(target, floors(of(FLOOR), owed)));
    }
}

/// The floor, and the one that owes what the enforcer owes, where there is one.
fn floors(floor: Option<f64>, owed: Option<f64>) -> Option<String> {
    let floor = Unit::Nanoseconds.show(floor?);
    Some(owed.map_or(floor.clone(), |owed| {
        format!("{floor}, with all that is owed {}", Unit::Nanoseconds.show(owed))
    }))
}

/// Section 2: added time a packet, the hook included.
fn send(report: &Report, targets: &mut Vec<Target>) {
    // Where the largest policy was too noisy to be believed, a smaller one does not stand in for it.
    let size = [1, 2, 3]
        .into_iter()
        .filter_map(|section| report.largest(section))
        .max();
    for (what, factor) in [("one destination", 6.0), ("random destinations", 5.0)] {
        let of = |subject| report.median(2, what, subject, size);
        let target = at_least(
            &format!("send path, {what}: cheaper than an nftables interval set"),
            factor,
            ratio(of(NFT_INTERVALS), of(ENFORCER)),
        );
        let floor = ratio(of(NFT_INTERVALS), of(FLOOR));
        targets.push(beside_floor(
            target,
            floor.map(|floor| format!("{}x", digits(floor))),
        ));
    }
}

/// Section 3: replacing the largest policy.
fn replace(report: &Report, targets: &mut Vec<Target>) {
    let size = report.largest(3);
    let parsed = report.median(3, "from parsed data", ENFORCER, size);
    let text = report.median(3, "from text", ENFORCER, size);
    let other = |subject| report.median(3, "from text", subject, size);
    for (what, factor, ours, theirs) in [
        (
            "replacing, parsed: faster than `nft -f`, interval set",
            400.0,
            parsed,
            NFT_INTERVALS,
        ),
        (
            "replacing, parsed: faster than ipset restore + swap",
            200.0,
            parsed,
            IPSET,
        ),
        (
            "replacing, from a file of service tags: faster than `nft -f`, interval set",
            100.0,
            text,
            NFT_INTERVALS,
        ),
    ] {
        targets.push(at_least(what, factor, ratio(other(theirs), ours)));
    }
    targets.push(at_most(
        "publishing a new generation: the store that changes the policy",
        Unit::Nanoseconds,
        1000.0,
        report.median(3, "publishing, nothing to write", ENFORCER, size),
    ));
}

/// Section 4: at the size at which it is worst.
fn change(report: &Report, targets: &mut Vec<Target>) {
    let worst = report
        .figures
        .iter()
        .filter(|figure| figure.section == 4 && figure.subject == ENFORCER)
        .filter_map(|figure| crate::statistics::quantile(&figure.samples, 0.99))
        .max_by(f64::total_cmp);
    targets.push(at_most(
        "one name's addresses change, to the kernel using them, p99, worst size",
        Unit::Nanoseconds,
        1e6,
        worst,
    ));
}

/// Section 5. Where two equal things differ by too much, throughput is not held against anything. Its floor is the empty
/// program: nothing that looks at packets can take less.
fn hello(report: &Report, targets: &mut Vec<Target>) {
    let at = |what| report.median(5, what, ENFORCER, None);
    let check = at_most(
        "ClientHello check, once a connection",
        Unit::Nanoseconds,
        1000.0,
        at(hello::CHECK),
    );
    let of_floor = |what| report.median(5, what, FLOOR, None);
    targets.push(beside_floor(
        check,
        floors(of_floor(hello::CHECK), of_floor(hello::OWED)),
    ));
    let least = 98.0;
    let throughput = |whose| report.median(5, THROUGHPUT, whose, None);
    let reached = throughput(ENFORCER).filter(|_| throughput::is_believable(report));
    let target = Target {
        wanted: format!(">= {}", Unit::Percent.show(least)),
        met: reached.map(|percent| percent >= least),
        ..at_most(THROUGHPUT, Unit::Percent, least, reached)
    };
    let floor = throughput(EMPTY).map(|empty| Unit::Percent.show(empty));
    targets.push(beside_floor(target, floor));
}

/// Sections 6 and 7.
fn daemon(report: &Report, targets: &mut Vec<Target>) {
    let at = |section, what: &str| {
        report
            .figures
            .iter()
            .rev()
            .find(|figure| figure.section == section && figure.what == what && figure.subject == ENFORCER)
            .and_then(crate::report::Figure::median)
    };
    for (what, unit, limit, reached) in [
        (
            "daemon, nothing changes: CPU",
            Unit::Percent,
            0.1,
            at(6, "idle, CPU"),
        ),
        (
            "daemon, few names: RSS",
            Unit::Bytes,
            20.0 * MIB,
            at(7, "RSS, few names"),
        ),
        (
            "daemon, many names and prefixes: RSS",
            Unit::Bytes,
            64.0 * MIB,
            at(7, "RSS, many names and prefixes"),
        ),
        (
            // Of the smallest policy: it has the capacity that nobody changed.
            "table with room for 131,072 prefixes, IPv4: memory",
            Unit::Bytes,
            4.0 * MIB,
            report
                .figures
                .iter()
                .find(|figure| figure.section == 7 && figure.what == "table memory in use, IPv4")
                .and_then(crate::report::Figure::median),
        ),
    ] {
        targets.push(at_most(what, unit, limit, reached));
    }
    // In the order in which they are measured.
    for (position, load) in ["few names", "many names and prefixes"].into_iter().enumerate() {
        let of = |whose| {
            report
                .figures
                .iter()
                .filter(|figure| {
                    figure.section == 7 && figure.what == start::REFUSED && figure.subject == whose
                })
                .nth(position)
                .and_then(crate::report::Figure::median)
        };
        let target = at_most(
            &format!("start to enforcing from the last known good set, {load}: nothing else gets out"),
            Unit::Nanoseconds,
            100e6,
            of(ENFORCER),
        );
        targets.push(beside_floor(
            target,
            of(FLOOR).map(|floor| Unit::Nanoseconds.show(floor)),
        ));
    }
}

/// With what the simplest program reaches, where that was measured.
fn beside_floor(mut target: Target, floor: Option<String>) -> Target {
    if let Some(floor) = floor.filter(|_| target.reached.is_some()) {
        target.shown = format!("{} (floor: {floor})", target.shown);
    }
    target
}

fn ratio(theirs: Option<f64>, ours: Option<f64>) -> Option<f64> {
    let (theirs, ours) = theirs.zip(ours)?;
    (ours > 0.0).then(|| theirs / ours)
}

fn at_most(what: &str, unit: Unit, limit: f64, reached: Option<f64>) -> Target {
    Target {
        what: what.to_owned(),
        wanted: format!("<= {}", unit.show(limit)),
        reached,
        shown: reached.map_or_else(|| "not measured".to_owned(), |value| unit.show(value)),
        met: reached.map(|value| value <= limit),
    }
}

fn at_least(what: &str, factor: f64, reached: Option<f64>) -> Target {
    Target {
        what: what.to_owned(),
        wanted: format!(">= {factor:.0}x"),
        reached,
        shown: reached.map_or_else(
            || "not measured".to_owned(),
            |value| format!("{}x", digits(value)),
        ),
        met: reached.map(|value| value >= factor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figure;

    fn target<'a>(targets: &'a [Target], part: &str) -> &'a Target {
        targets.iter().find(|target| target.what.contains(part)).unwrap()
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        for target in of(&Report::default()) {
            assert_eq!((target.reached, target.met), (None, None), "{target:?}");
            assert_eq!(target.shown, "not measured");
        }
    }

    #[test]
    fn ratios_are_of_the_largest_size() {
        let mut report = Report::default();
        let mut add = |what, subject, size, value| {
            report.add(Figure::new(3, what, subject, Some(size), Unit::Nanoseconds).with([value]));
        };
        add("from parsed data", ENFORCER, 100, 1.0);
        add("from parsed data", ENFORCER, 100_000, 2.0);
        add("from text", NFT_INTERVALS, 100, 1.0);
        add("from text", NFT_INTERVALS, 100_000, 1000.0);
        add("from text", IPSET, 100_000, 300.0);
        let targets = of(&report);
        let met = target(&targets, "parsed: faster than `nft -f`");
        assert_eq!(
            (met.reached, met.met, met.shown.as_str()),
            (Some(500.0), Some(true), "500x")
        );
        let missed = target(&targets, "ipset restore");
        assert_eq!((missed.reached, missed.met), (Some(150.0), Some(false)));
    }

    #[test]
    fn a_program_is_held_against_the_empty_one() {
        let mut report = Report::default();
        let figure = |what, subject, size| Figure::new(1, what, subject, size, Unit::Nanoseconds);
        report.add(figure("granted, hot", ENFORCER, Some(100)).with([36.0]));
        let above = format!("granted, hot{ABOVE}");
        report.add(figure(&above, ENFORCER, Some(100)).with([9.0, 10.0, 11.0]));
        let targets = of(&report);
        let hot = target(&targets, "granted, hot");
        assert_eq!((hot.shown.as_str(), hot.met), ("10.0 ns", Some(false)));
        report.add(Figure::new(1, &above, FLOOR, Some(100), Unit::Nanoseconds).with([7.5]));
        let targets = of(&report);
        let hot = target(&targets, "granted, hot");
        assert_eq!(
            (hot.shown.as_str(), hot.reached, hot.met),
            ("10.0 ns (floor: 7.50 ns)", Some(10.0), Some(false))
        );
        let owed = format!("granted, hot{OWED}{ABOVE}");
        report.add(Figure::new(1, &owed, FLOOR, Some(100), Unit::Nanoseconds).with([9.5]));
        let targets = of(&report);
        let hot = target(&targets, "granted, hot");
        assert_eq!(
            hot.shown,
            "10.0 ns (floor: 7.50 ns, with all that is owed 9.50 ns)"
        );
    }

    #[test]
    fn throughput_is_judged_where_equal_things_are_equal() {
        for (again, met) in [(99.5, Some(true)), (98.9, None), (101.1, None)] {
            let mut report = Report::default();
            let mut add = |whose, percent| {
                report.add(Figure::new(5, THROUGHPUT, whose, None, Unit::Percent).with([percent]));
            };
            add(throughput::AGAIN, again);
            add(ENFORCER, 98.5);
            add(EMPTY, 99.0);
            let targets = of(&report);
            let found = target(&targets, "throughput");
            assert_eq!(found.met, met, "{again}: {found:?}");
            assert_eq!(
                found.shown.contains("(floor: 99.0 %)"),
                met.is_some(),
                "{found:?}"
            );
        }
    }

    #[test]
    fn the_worst_size_counts_for_one_name() {
        let mut report = Report::default();
        for (size, value) in [(10, 5e3), (100_000, 2e6)] {
            report.add(
                Figure::new(4, "one name changes", ENFORCER, Some(size), Unit::Nanoseconds).with([value]),
            );
        }
        assert_eq!(target(&of(&report), "one name").met, Some(false));
    }
}
