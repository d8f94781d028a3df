//! The instrument itself: what it would count if enforcement were not there, or denied too much.

use std::time::Duration;

use enforcer_lab::daemon::{Daemon, wait_until};
use enforcer_lab::load;

use super::stage::{JUDGES, Stage};
use super::{Shared, Sizes, Work};

pub(crate) const ROWS: [(&str, &str, Work); 3] = [
    (
        "off",
        "control: nothing is enforced, so all that is sent leaks",
        off,
    ),
    (
        "nothing",
        "control: nothing is granted, so all is dropped",
        nothing,
    ),
    (
        "temporary",
        "control: killed although it keeps nothing, so it leaks",
        temporary,
    ),
];

/// A stall is waited for.
const STALL: Duration = Duration::from_secs(2);

/// Every attempt arrives, and is counted, one by one.
fn off(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    stage.load();
    for _ in 0..20 {
        stage.advance();
    }
    let tally = stage.tally();
    let sent = |kind: &str| tally.counts.denied[kind];
    let leaked = |kind: &str| tally.leaked.iter().find(|(known, _)| *known == kind).unwrap().1;
    for (kind, denied) in &tally.counts.denied {
        assert_eq!(denied.refused, 0, "{kind}: {:#?}", tally.counts);
    }
    // A connect is several segments; the others are one each.
    assert!(
        leaked("tcp") >= sent("segment").sent + 2 * sent("connect").sent,
        "{tally:#?}"
    );
    assert_eq!(
        leaked("udp"),
        sent("datagram").sent + sent("flow of datagrams").sent,
        "{tally:#?}"
    );
    assert_eq!(leaked("quic"), sent("quic").sent, "{tally:#?}");
    assert_eq!(leaked("server name"), sent("server name").sent, "{tally:#?}");
    assert!(
        tally.counts.wrongly_dropped.is_empty(),
        "{:#?}",
        tally.counts.words
    );
}

/// Each part of the load notices that it is denied: flows that were granted, sessions and segments.
fn nothing(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load_that_stalls_after(STALL);
    stage.advance();
    stage.policy(
        "mode = \"enforce\"\n\n[[allow]]\nprefix = \"192.0.2.200/32\"\n",
        "",
    );
    daemon.reload();
    daemon.wait_for("policy generation");
    for part in load::GRANTED_KINDS {
        wait_until(part, || stage.wrongly_dropped(part) > 0);
    }
    let tally = stage.tally();
    assert_eq!(tally.all_leaked(), 0, "{:?}", tally.leaked);
    assert!(!stage.connects(load::PLAIN[0]));
}

/// What is enforced goes with its daemon and comes back with the next: both are seen.
fn temporary(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let start = |stage: &Stage| {
        let mut command = Daemon::command(&stage.lab, &stage.config()).unwrap();
        command.arg("--temporary");
        let mut daemon = Daemon::spawn(command).unwrap();
        daemon.wait_for(JUDGES);
        daemon
    };
    let mut daemon = start(&stage);
    stage.load();
    stage.kill(&mut daemon);
    let _daemon = start(&stage);
    // The flows are ones from before to it.
    wait_until("broken flows", || stage.wrongly_dropped("flow named 4") > 0);
    let tally = stage.tally();
    for (kind, count) in &tally.leaked {
        assert!(*count > 0, "no {kind} was seen to leak: {:?}", tally.leaked);
    }
}
