//! `enforcer observe`: whose each denial is, none of them lost below the rate limit, and how many above it. And every
//! command whose reader has gone, or whose output has no room. Needs root.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use enforcer_lab::daemon::{LIMIT, wait_until};
use enforcer_lab::operated::Operated;
use enforcer_lab::{probe_program, run_for, world};
use serde_json::Value;

/// Fewer than the kernel tells of in one go, for each reason and processor.
const PROCESSES: usize = 120;
/// Many more than that.
const FLOOD: u64 = 5_000;

/// `observe -f`, whose lines are read as they come.
struct Follower {
    child: Child,
    lines: Receiver<Value>,
}

impl Follower {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| tell.send(serde_json::from_str(&line).unwrap()))
        });
        Self { child, lines }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn every_process_that_is_denied_is_followed_to_its_unit() {
    let host = Operated::new("observe");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    let follower = Follower::start(host.asking(&["observe", "-f", "-o", "json", "--verdict", "denied"]));
    // Each a process of its own, with a unit and a destination of its own; a few at a time.
    let expected: BTreeMap<String, String> = (1..=PROCESSES)
        .map(|number| (format!("job-{number}.service"), format!("203.0.114.{number}:443")))
        .collect();
    let jobs: Vec<_> = expected.iter().collect();
    std::thread::scope(|scope| {
        for part in jobs.chunks(PROCESSES / 4) {
            let host = &host;
            scope.spawn(move || {
                for (unit, destination) in part {
                    let outcome = host.run_below(unit, probe_program().unwrap(), &["tcp", destination]);
                    assert!(outcome.stdout.contains("Operation not permitted"), "{outcome}");
                }
            });
        }
    });
    let mut told = BTreeMap::new();
    let mut pids = BTreeSet::new();
    while told.len() < PROCESSES {
        let Ok(event) = follower.lines.recv_timeout(LIMIT) else {
            let lost = expected.keys().filter(|unit| !told.contains_key(*unit));
            panic!("lost: {:?}", lost.collect::<Vec<_>>());
        };
        assert_eq!(
            (&event["kind"], &event["process"]),
            (&"event".into(), &"probe".into()),
            "{event:#}"
        );
        let word = |key: &str| event[key].as_str().unwrap().to_owned();
        assert!(
            told.insert(word("unit"), word("destination")).is_none(),
            "told twice: {event:#}"
        );
        pids.insert(event["pid"].as_u64().unwrap());
    }
    assert_eq!(told, expected);
    assert_eq!(pids.len(), PROCESSES, "each has a process id of its own");
    assert_eq!(host.status().0["denials"]["suppressed"], 0);

    // Above the limit: what is shown, and what is said to be missing, is all there was.
    let mut caller = host.caller();
    caller.call("socket s inet stream 0").unwrap();
    for _ in 0..FLOOD {
        caller.call("connect s 203.0.115.1:443").unwrap_err();
    }
    let total = PROCESSES as u64 + FLOOD;
    let (status, _) = host.status();
    assert_eq!(status["denials"]["total"], total, "{status:#}");
    let (mut shown, mut missing) = (PROCESSES as u64, 0);
    while shown + missing < total {
        let line = follower.lines.recv_timeout(LIMIT);
        let line = line.unwrap_or_else(|_| panic!("{shown} shown and {missing} missing of {total}"));
        match line["kind"].as_str() {
            Some("event") => shown += 1,
            _ => missing += line["count"].as_u64().unwrap(),
        }
    }
    assert_eq!(shown + missing, total);
    assert!(
        missing > 0,
        "nothing was above the limit: the rest of this proves nothing"
    );
    assert_eq!(host.status().0["denials"]["suppressed"], missing);
    daemon.kill();
}

#[test]
fn a_reader_that_has_gone_and_a_full_disk_are_borne() {
    let host = Operated::new("output");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    wait_until("every name is fresh", || {
        host.status().0["names"]["fresh"].as_u64() >= Some(2)
    });
    host.denied_from("a.service", world::BARE_ADDRESSES[0]);
    let commands: [&[&str]; 7] = [
        &["status"],
        &["observe"],
        &["observe", "-o", "text"],
        &["explain", world::CONTOSO],
        &["plan"],
        &["reload"],
        &["learn"],
    ];
    for arguments in commands {
        let piped = |script: &str| {
            let mut command = host.lab.client_command("sh").unwrap();
            command.args(["-c", script]);
            let asking = host.asking(arguments);
            command.arg(asking.get_program()).args(asking.get_args());
            host.folders(&mut command);
            run_for(command, LIMIT).unwrap()
        };
        let gone = piped("{ \"$0\" \"$@\"; echo status $? >&2; } | true");
        assert_eq!(gone.stderr, "status 0\n", "{arguments:?}: {gone}");
        let full = piped("\"$0\" \"$@\" > /dev/full");
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {full}");
        assert!(
            full.stderr.contains("error: the output can not be written")
                && full.stderr.contains("hint: ")
                && !full.stderr.contains("panicked"),
            "{arguments:?}: {full}"
        );
    }
    // No colours and no control characters where there is no terminal, whatever is wanted of it.
    for (key, value) in [("NO_COLOR", "1"), ("COLUMNS", "40"), ("TERM", "dumb")] {
        for arguments in [
            &["status"][..],
            &["observe", "-o", "text"],
            &["explain", world::FABRIKAM],
        ] {
            let mut command = host.asking(arguments);
            command.env(key, value);
            let outcome = run_for(command, LIMIT).unwrap();
            let is_plain = |text: &str| text.chars().all(|char| char == '\n' || !char.is_control());
            assert!(
                is_plain(&outcome.stdout) && is_plain(&outcome.stderr),
                "{key}: {outcome}"
            );
        }
    }
    daemon.kill();
}

/// As in `| head -1`: nothing may have to be written any more that would tell.
#[test]
fn who_follows_ends_with_his_reader() {
    let host = Operated::new("observe");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    host.denied_from("a.service", world::BARE_ADDRESSES[0]);
    for form in ["json", "text"] {
        let mut command = host.asking(&["observe", "-f", "-o", form]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("address-not-granted"), "{line}");
        let mut ended = None;
        wait_until("it ends", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.and_then(|status| status.code()), Some(0));
    }
    daemon.kill();
}
