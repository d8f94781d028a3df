//! Maps that fit or do not: of another kind, version or capacity, and of a load that comes to nothing.

use std::fs::{self};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use enforcer::config::{Capacity, RuleId};
use enforcer::endpoints::Condition;
use enforcer::kernel::{Enforcement, LinkFound, Pins, Was};
use enforcer::policy::table::{Grant, Table};
use enforcer_lab::vectors::{GRANTED_V4, PORTS, policy};

use crate::bench::{Bench, ENFORCE, since_boot};

#[test]
fn maps_that_do_not_fit_are_replaced_and_enforcement_goes_on() {
    for (name, put) in [("HEADER", "NAMES"), ("FLOWS", "PIECES_0"), ("EVENTS", "")] {
        let mut bench = Bench::new();
        drop(bench.enforce());
        let group = if name == "FLOWS" { "flow-" } else { "abi-" };
        let folder = fs::read_dir(bench.instance.pins())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(group))
            .unwrap();
        fs::remove_file(folder.join(name)).unwrap();
        if !put.is_empty() {
            fs::rename(folder.join(put), folder.join(name)).unwrap();
        }
        let (mut next, found) = bench.load();
        let (damaged, whole) = match name {
            "FLOWS" => (found.flows, found.policy),
            _ => (found.policy, found.flows),
        };
        assert!(
            matches!(&damaged, Was::Unfit(why) if why.contains(name)),
            "{damaged:?}"
        );
        assert_eq!(whole, Was::Taken);
        // The links still run what was there before.
        bench.is_enforced();
        next.publish(&policy().unwrap(), ENFORCE);
        assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
        bench.is_enforced();
        assert_eq!(bench.damages(&next), []);
    }
}

#[test]
fn maps_of_another_version_are_told_of_and_swept() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let pins = bench.instance.pins();
    let folder = fs::read_dir(&pins)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("abi-"))
        .unwrap();
    fs::rename(&folder, pins.join("abi-1")).unwrap();
    fs::create_dir(pins.join("new-abi-1")).unwrap();
    let (mut next, found) = bench.load();
    assert!(
        matches!(&found.policy, Was::Unfit(why) if why.contains("version 1")),
        "{found:?}"
    );
    bench.is_enforced();
    next.publish(&policy().unwrap(), ENFORCE);
    bench.attach(&mut next);
    bench.is_enforced();
    assert!(!pins.join("abi-1").exists() && !pins.join("new-abi-1").exists());
}

#[test]
fn tables_of_another_capacity_are_replaced_while_the_old_ones_judge() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    // Nobody has confirmed it: with other tables it has to be confirmed all the same.
    let limit = since_boot() + Duration::from_secs(3600);
    enforcement.set_revert(Some(limit));
    drop(enforcement);
    // More than one element of the map: the programs find their way in it otherwise.
    let other = Capacity::new(2 * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let pins = Arc::new(Pins::open(bench.instance.name()).unwrap());
    let (mut next, found) = Enforcement::load_pinned(&PORTS, other, &pins).unwrap();
    assert!(
        matches!(&found.policy, Was::Unfit(why) if why.contains("TABLE_V4")),
        "{found:?}"
    );
    assert_eq!((found.flows, next.capacity()), (Was::Taken, other));
    assert_eq!(next.revert(), Some(limit));
    bench.is_enforced();
    let grant = Grant {
        net: IpAddr::V4(GRANTED_V4).into(),
        rule: RuleId(1),
        condition: Condition::Unconditional,
    };
    let mut table = Table::new(other);
    table.fill(&[grant], &[]).unwrap();
    next.publish(&table, ENFORCE);
    bench.attach(&mut next);
    bench.is_enforced();
    drop(next);
    let (next, found) = Enforcement::load_pinned(&PORTS, other, &pins).unwrap();
    assert_eq!((found.policy, found.flows), (Was::Taken, Was::Taken));
    assert_eq!(next.policy().unwrap().unwrap().ranges, table.ranges());
}

/// The programs of a load may never judge: for want of memory, or since the cgroup is gone. What judges goes on, and is what the
/// next start finds.
#[test]
fn a_load_that_comes_to_nothing_leaves_what_judges() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let pins = Arc::new(Pins::open(bench.instance.name()).unwrap());
    let load = |capacity| Enforcement::load_pinned(&PORTS, capacity, &pins).unwrap();
    let (mut current, _) = load(Capacity::default());
    current.publish(&policy().unwrap(), ENFORCE);
    bench.attach(&mut current);
    let other = Capacity::new(2 * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let (mut next, found) = load(other);
    assert!(matches!(found.policy, Was::Unfit(_)), "{found:?}");
    next.publish(&Table::new(other), ENFORCE);
    drop(next);
    bench.is_enforced();
    assert_eq!(bench.damages(&current), []);
    drop(current);
    let ranges = policy().unwrap().ranges();
    // Then the same after a kill between the two renames.
    let folder = fs::read_dir(bench.instance.pins())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("abi-"))
        .unwrap();
    for is_aside in [false, true] {
        if is_aside {
            fs::rename(bench.pin(&folder), bench.pin(&format!("old-{folder}"))).unwrap();
        }
        let (next, found) = load(Capacity::default());
        assert_eq!(
            (found.policy, found.flows),
            (Was::Taken, Was::Taken),
            "{is_aside}"
        );
        assert_eq!(next.policy().unwrap().unwrap().ranges, ranges);
        bench.is_enforced();
    }
}
