//! A daemon starts with the table that the one before had in force, where nothing has changed that it was made of. Needs root.

use std::fs;
use std::path::PathBuf;

use enforcer_lab::daemon::{Daemon, wait_until};
use enforcer_lab::operated::Operated;
use enforcer_lab::{probe_program, world};
use rustix::process::Signal;

const PUT_BACK: &str = "the table that was in force last is in force again";
const UNUSED: &str = "the table that was in force last is not used";

/// A host whose daemon ended in order, and where nothing is in force any more.
fn ended(label: &str) -> Operated {
    let host = Operated::new(label);
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    knows_every_name(&host);
    end(&mut daemon);
    host.command(&["detach", "--yes"]).expect_success("detach");
    host
}

fn knows_every_name(host: &Operated) {
    wait_until("every name is fresh", || {
        let (status, _) = host.status();
        status["names"]["fresh"].as_u64() >= Some(2) && status["names"]["stale"] == 0
    });
}

fn end(daemon: &mut Daemon) {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

fn table(host: &Operated) -> PathBuf {
    host.own_folders().state.join("table")
}

/// What is granted is reached, by its name, and nothing else.
#[track_caller]
fn is_enforced(host: &Operated) {
    host.denied_from("", world::BARE_ADDRESSES[0]);
    let probe = probe_program().unwrap();
    let granted = format!("{}:443", world::CONTOSO_ADDRESSES[0]);
    let outcome = host.run_below("", probe, &["tcp", &granted]);
    assert!(outcome.success(), "{outcome}");
}

/// Starts the daemon, which must not use the table, for this reason.
#[track_caller]
fn starts_the_long_way(host: &Operated, why: &str) -> Daemon {
    let mut daemon = host.start();
    assert_eq!(daemon.told(PUT_BACK), 0, "{}", daemon.log());
    assert_eq!(daemon.told(why), 1, "{}", daemon.log());
    assert_eq!(
        daemon.told(UNUSED) + daemon.told("can not be used"),
        1,
        "{}",
        daemon.log()
    );
    daemon
}

#[test]
fn what_was_in_force_is_in_force_before_anything_else_is_known() {
    let host = ended("early");
    // Nobody answers any more.
    host.lab.name_server.script(|zone| *zone = Default::default());
    for reboots in [false, true] {
        if reboots {
            fs::remove_dir_all(host.own_folders().runtime).unwrap();
        }
        let mut daemon = host.start();
        let put_back = daemon
            .last(PUT_BACK)
            .unwrap_or_else(|| panic!("{}", daemon.log()));
        assert_eq!(put_back["level"], "INFO");
        // What came of the long way is the same.
        assert_eq!(daemon.told("policy generation"), 0, "{}", daemon.log());
        is_enforced(&host);
        let (status, code) = host.status();
        assert_eq!(
            (status["state"].as_str(), code),
            (Some("enforcing"), Some(0)),
            "{status:#}"
        );
        for hook in status["attached"]["hooks"].as_array().unwrap() {
            assert_eq!((&hook["attached"], &hook["pinned"]), (&true.into(), &true.into()));
        }
        end(&mut daemon);
        host.command(&["detach", "--yes"]).expect_success("detach");
    }
}

#[test]
fn what_is_pinned_counts_and_no_file() {
    let host = ended("early-pins");
    let saved = fs::read(table(&host)).unwrap();
    let mut daemon = host.start();
    assert_eq!(daemon.told(PUT_BACK), 1, "{}", daemon.log());
    daemon.kill();
    fs::write(table(&host), saved).unwrap();
    let mut daemon = host.start();
    assert_eq!(daemon.told(PUT_BACK) + daemon.told(UNUSED), 0, "{}", daemon.log());
    assert_eq!(daemon.told("taken over"), 1, "{}", daemon.log());
    is_enforced(&host);
}

#[test]
fn a_table_of_something_else_is_not_used_and_that_is_said_once() {
    let host = ended("early-other");
    let saved = fs::read(table(&host)).unwrap();
    // Another policy, under which the saved table would grant what is not granted any more.
    host.policy("mode = \"enforce\"\n[[allow]]\nprefix = \"192.0.2.77/32\"\n");
    let mut daemon = starts_the_long_way(&host, "the configuration has changed since");
    host.denied_from("", world::CONTOSO_ADDRESSES[0]);
    end(&mut daemon);
    host.command(&["detach", "--yes"]).expect_success("detach");

    // The old configuration and the old table, and answers that are newer.
    host.policy(world::CONTOSO_POLICY);
    fs::write(table(&host), saved).unwrap();
    let mut daemon = starts_the_long_way(&host, "the saved answers are not those");
    knows_every_name(&host);
    is_enforced(&host);
    end(&mut daemon);
    host.command(&["detach", "--yes"]).expect_success("detach");
}

#[test]
fn a_damaged_table_is_not_used_and_a_good_one_takes_its_place() {
    let host = ended("early-damaged");
    let mut bytes = fs::read(table(&host)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(table(&host), bytes).unwrap();
    let mut daemon = starts_the_long_way(&host, "its checksum is wrong");
    is_enforced(&host);
    end(&mut daemon);
    host.command(&["detach", "--yes"]).expect_success("detach");
    let mut daemon = host.start();
    assert_eq!(daemon.told(PUT_BACK), 1, "{}", daemon.log());
}

#[test]
fn audit_mode_holds_nothing_back_and_has_no_table() {
    let host = Operated::new("early-audit");
    host.policy(&world::CONTOSO_POLICY.replace("enforce", "audit"));
    let mut daemon = host.start();
    end(&mut daemon);
    assert!(!table(&host).exists());
}
