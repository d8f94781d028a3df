//! Enforcement that outlives its process: taken over, confirmed, looked at, ended.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use enforcer::config::Mode;
use enforcer::kernel::{KernelError, LinkFound, Pins, Settings, Trial, Was, WrongVerdict, pins, self_check};
use enforcer::policy::table::Table;
use enforcer_common::table::Generation;
use enforcer_lab::Cgroup;
use enforcer_lab::vectors::policy;

use crate::bench::{Bench, ENFORCE, FOREIGN, GRANTED, HOOKS, link_of, since_boot};

#[test]
fn enforcement_outlives_its_process() {
    let mut bench = Bench::new();
    let enforcement = bench.enforce();
    bench.is_enforced();
    drop(enforcement);
    bench.is_enforced();
}

#[test]
fn the_next_goes_on_with_policy_and_connections() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    let generation = enforcement.publish(&policy().unwrap(), ENFORCE);
    let open = bench.connect(GRANTED).unwrap();
    let before = link_of(&bench.pin("egress"));
    let denied = enforcement.counters().unwrap().denied();
    bench.is_enforced();
    drop(enforcement);

    let (mut next, found) = bench.load();
    assert_eq!((found.policy, found.flows), (Was::Taken, Was::Taken));
    assert_eq!(next.generation(), generation);
    let policy_found = next.policy().unwrap().expect("the policy of before");
    assert_eq!(policy_found.ranges, policy().unwrap().ranges());
    assert_eq!(policy_found.settings, ENFORCE);
    assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
    let after = link_of(&bench.pin("egress"));
    assert_eq!(before.0, after.0, "it is the same link");
    assert_ne!(before.1, after.1, "with another program");
    assert!(next.counters().unwrap().denied() > denied, "counters go on");
    assert_eq!(bench.damages(&next), []);
    bench.is_enforced();
    assert_eq!(bench.caller.call(&format!("exchange {open} 1000")).unwrap(), 1000);
    // One set of programs is pinned, and nothing that was under way.
    let mut names: Vec<String> = fs::read_dir(bench.instance.pins())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 5 + 3, "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("new-")), "{names:?}");
}

#[test]
fn other_ports_come_with_the_same_links_and_connections() {
    let mut bench = Bench::new();
    let first = bench.enforce();
    let open = bench.connect(GRANTED).unwrap();
    assert_eq!(bench.caller.call(&format!("exchange {open} 1000")).unwrap(), 1000);
    drop(first);
    let (mut second, _) = bench.load_for(&[443, 9443]);
    assert_eq!(bench.attach(&mut second), [LinkFound::Replaced; 5]);
    bench.is_enforced();
    assert_eq!(bench.caller.call(&format!("exchange {open} 1000")).unwrap(), 1000);
    let other = SocketAddr::new(FOREIGN.ip(), 9443);
    assert!(bench.connect(other).unwrap_err().contains("not permitted"));
}

#[test]
fn a_second_one_is_refused_and_told_who_is_there() {
    let bench = Bench::new();
    let enforcement = bench.enforce();
    match Pins::open(bench.instance.name()) {
        Err(KernelError::Busy { instance, pid }) => {
            assert_eq!(instance, bench.instance.name());
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("it is locked: {other:?}"),
    }
    drop(enforcement);
    Pins::open(bench.instance.name()).unwrap();
}

#[test]
fn another_cgroup_is_judged_and_the_old_one_no_longer() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let other = Cgroup::new("other").unwrap();
    let (mut next, _) = bench.load();
    let folder = File::open(other.path()).unwrap();
    let found = next.attach(folder.as_fd(), other.path()).unwrap();
    assert_eq!(found, [LinkFound::Elsewhere; 5]);
    bench.connect(FOREIGN).expect("it is no longer judged");
}

#[test]
fn an_enforcement_that_is_not_confirmed_reverts_by_itself() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    let boot = since_boot();
    enforcement.set_revert(Some(boot + Duration::from_secs(3600)));
    bench.is_enforced();
    enforcement.set_revert(Some(boot));
    assert_eq!(enforcement.revert(), Some(boot));
    drop(enforcement);
    bench.connect(FOREIGN).expect("only reported");
    let confirmed = pins::confirm(bench.instance.name()).unwrap();
    assert_eq!(confirmed, Some((true, Generation(1))));
    bench.is_enforced();
    assert_eq!(
        pins::confirm(bench.instance.name()).unwrap(),
        Some((false, Generation(1)))
    );
    assert_eq!(pins::confirm("enf-nobody").unwrap(), None);
}

#[test]
fn the_self_check_sees_what_the_programs_do_and_leaves_no_trace() {
    let bench = Bench::new();
    let mut enforcement = bench.enforce();
    let ranges = policy().unwrap().ranges();
    let probe = enforcement.probe().unwrap();
    let audit = Settings {
        mode: Mode::Audit,
        ..ENFORCE
    };
    for settings in [ENFORCE, audit] {
        enforcement.publish(&policy().unwrap(), settings);
        assert_eq!(self_check(&probe, &Trial::of(&ranges), 443).unwrap(), None);
        // A port that nobody filters: everything passes, as it would without the programs.
        assert!(matches!(
            self_check(&probe, &Trial::of(&ranges), 8080).unwrap(),
            Some(WrongVerdict::Passed(_))
        ));
        // Another policy than the one that should be in force.
        let other = Table::of(&[], &[]).unwrap();
        enforcement.publish(&other, settings);
        assert!(matches!(
            self_check(&probe, &Trial::of(&ranges), 443).unwrap(),
            Some(WrongVerdict::Dropped(_))
        ));
    }
    assert_eq!(enforcement.counters().unwrap().denied(), 0);
}

#[test]
fn removing_the_pins_ends_enforcement() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    bench.is_enforced();
    let pins = Pins::open_existing(bench.instance.name()).unwrap().unwrap();
    assert!(pins.enforces());
    assert_eq!(pins.remove().unwrap().detached, HOOKS);
    bench.connect(FOREIGN).expect("nothing judges");
    assert!(!bench.instance.pins().exists());
    assert!(Pins::open_existing(bench.instance.name()).unwrap().is_none());
}
