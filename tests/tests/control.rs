//! The control socket of a real daemon: what its commands tell in each of its states, and who may ask. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enforcer::state::usage;
use enforcer_lab::daemon::wait_until;
use enforcer_lab::operated::{GROUP, Operated, ask, warnings};
use enforcer_lab::{nobody, world};
use rustix::process::Signal;
use serde_json::Value;

const CONTAINER: &str = "4f1c9dd3a0b8e7f65544332211009988776655443322110099aabbccddeeff00";

fn wait_for_names(host: &Operated) {
    wait_until("every name is fresh", || {
        let (status, _) = host.status();
        let known = status["names"]["fresh"].as_u64();
        known >= Some(2) && status["names"]["stale"] == 0
    });
}

/// The whole answer to a request on the socket at `path`.
fn ask_at(path: &Path, request: &str) -> String {
    ask(UnixStream::connect(path).unwrap(), request)
}

const STATUS: &str = "GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
const RELOAD: &str = "POST /v1/reload HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn status_tells_how_it_is_in_every_state() {
    let host = Operated::new("control");
    let (status, code) = host.status();
    assert_eq!((status["state"].as_str(), code), (Some("not-enforcing"), Some(3)));
    assert_eq!(status["daemon"]["state"], "stopped");

    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    wait_for_names(&host);
    let (status, code) = host.status();
    assert_eq!(
        (status["state"].as_str(), code),
        (Some("enforcing"), Some(0)),
        "{status:#}"
    );
    assert_eq!(status["daemon"]["pid"], daemon.pid());
    assert_eq!(status["policy"]["mode"], "enforce");
    assert_eq!(status["attached"]["cgroup"], host.cgroup.path().to_str().unwrap());
    for hook in status["attached"]["hooks"].as_array().unwrap() {
        assert_eq!((&hook["attached"], &hook["pinned"]), (&true.into(), &true.into()));
    }
    assert_eq!(status["resolver"][0]["good"], true, "{status:#}");
    let text = host.command(&["status"]).stdout;
    assert!(text.starts_with("enforcing on /"), "{text}");

    // Stopped: what is pinned goes on.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let (status, code) = host.status();
    assert_eq!(
        (status["state"].as_str(), code),
        (Some("enforcing"), Some(0)),
        "{status:#}"
    );
    assert_eq!(status["daemon"]["state"], "stopped");
    assert_eq!(warnings(&status), ["no-daemon"]);
    let refused = host.command(&["observe"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("does not run; its policy is in force"),
        "{refused}"
    );

    // In audit mode, where nothing is dropped.
    host.policy(&world::CONTOSO_POLICY.replace("enforce", "audit"));
    let mut daemon = host.start();
    let (status, code) = host.status();
    assert_eq!(
        (status["state"].as_str(), code),
        (Some("auditing"), Some(3)),
        "{status:#}"
    );
    assert!(warnings(&status).contains(&"audit"));
    assert_eq!(host.command(&["status", "--allow-audit"]).status.code(), Some(0));
    // It was attached by the first daemon, and never since.
    assert!(status["attached"]["since_s"].as_u64() >= status["daemon"]["uptime_s"].as_u64());

    // One that hangs.
    daemon.signal(Signal::STOP);
    let (status, code) = host.status();
    assert_eq!(
        (status["state"].as_str(), code),
        (Some("auditing"), Some(3)),
        "{status:#}"
    );
    assert_eq!(status["daemon"]["state"], "silent");
    daemon.signal(Signal::CONT);

    daemon.kill();
    host.command(&["detach", "--yes"]).expect_success("detach");
    let (status, code) = host.status();
    assert_eq!((status["state"].as_str(), code), (Some("not-enforcing"), Some(3)));
    let refused = host.command(&["reload"]);
    assert!(refused.stderr.contains("nothing is enforced"), "{refused}");
}

#[test]
fn observe_names_process_unit_and_container_and_loses_none_below_the_limit() {
    const DENIALS: usize = 200;
    let host = Operated::new("control");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    host.denied_from("cron.service", world::BARE_ADDRESSES[0]);
    host.denied_from(&format!("docker/{CONTAINER}"), world::FABRIKAM_ADDRESSES[0]);
    let of = |address: &str| {
        let events = host.observe(&["--to", address]);
        assert_eq!(events.len(), 1, "{events:#?}");
        events[0].clone()
    };
    let unit = of(world::BARE_ADDRESSES[0]);
    assert_eq!(
        (&unit["process"], &unit["unit"]),
        (&"probe".into(), &"cron.service".into())
    );
    assert_eq!(unit["verdict"], "denied");
    assert_eq!(unit["reason"], "address-not-granted");
    let container = of(&format!("{}:443", world::FABRIKAM_ADDRESSES[0]));
    assert_eq!(container["container"]["id"], CONTAINER);
    assert_eq!(container["container"]["runtime"], "docker");
    let text = host
        .command(&["observe", "-o", "text", "--process", "probe"])
        .stdout;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("  docker 4f1c9dd3a0b8") && text.contains("  cron.service"),
        "{text}"
    );

    // As many as the kernel tells of in one go, each to an address of its own.
    let mut caller = host.caller();
    caller.call("socket s inet stream 0").unwrap();
    for last in 1..=DENIALS {
        caller
            .call(&format!("connect s 203.0.114.{last}:443"))
            .unwrap_err();
    }
    let told: BTreeSet<_> = host
        .observe(&["--to", "203.0.114.0/24", "--verdict", "denied"])
        .iter()
        .map(|event| event["destination"].to_string())
        .collect();
    assert_eq!(told.len(), DENIALS);
    // Many more than that: what is not told of is counted.
    for _ in 0..DENIALS * 10 {
        caller.call("connect s 203.0.115.1:443").unwrap_err();
    }
    let total = (DENIALS * 11 + 2) as u64;
    let (status, _) = host.status();
    assert_eq!(status["denials"]["total"], total, "{status:#}");
    let all = host.observe(&[]);
    let events = all.iter().filter(|entry| entry["kind"] == "event").count() as u64;
    let suppressed: u64 = all.iter().filter_map(|entry| entry["count"].as_u64()).sum();
    assert!(
        suppressed > 0,
        "none was suppressed: the rest of this proves nothing"
    );
    assert_eq!(events + suppressed, total);
    assert_eq!(
        host.observe(&["--since", "1h", "--verdict", "allowed"]),
        Vec::<Value>::new()
    );
    daemon.kill();
}

#[test]
fn who_has_no_rights_gets_a_clear_no_and_a_group_may_ask() {
    let host = Operated::new("control");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    let socket = host.socket();
    let answer = {
        let socket = socket.clone();
        nobody::run(&[], move || ask_at(&socket, STATUS))
    };
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(
        answer.contains("the user with the id 65534 may not ask this enforcer"),
        "{answer}"
    );
    let answers = {
        let socket = socket.clone();
        nobody::run(&[GROUP], move || {
            [STATUS, RELOAD].map(|request| ask_at(&socket, request))
        })
    };
    assert!(answers[0].starts_with("HTTP/1.1 200 "), "{}", answers[0]);
    assert!(answers[1].starts_with("HTTP/1.1 403 "), "{}", answers[1]);
    assert!(answers[1].contains("only root may change"), "{}", answers[1]);
    // The other files of the folder are nobody's business.
    let answers = socket.with_file_name("answers");
    wait_until("answers are saved", || answers.exists());
    assert!(nobody::run(&[GROUP], move || fs::read(answers).is_err()));
    daemon.kill();
}

#[test]
fn hostile_clients_disturb_neither_the_daemon_nor_enforcement() {
    let host = Operated::new("control");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    let stop = Arc::new(AtomicBool::new(false));
    let crowds: Vec<_> = [&[][..], &[GROUP][..]]
        .into_iter()
        .map(|groups: &'static [u32]| {
            let (socket, stop) = (host.socket(), Arc::clone(&stop));
            std::thread::spawn(move || nobody::run(groups, move || besiege(&socket, &stop)))
        })
        .collect();
    let mut caller = host.caller();
    caller.call("socket s inet stream 0").unwrap();
    let granted = world::CONTOSO_ADDRESSES[0];
    for round in 0..20 {
        let (status, code) = host.status();
        assert_eq!(code, Some(0), "round {round}: {status:#}");
        assert!(!warnings(&status).contains(&"run-loop-silent"), "{status:#}");
        assert_eq!(status["daemon"]["state"], "running");
        caller.call("connect s 203.0.114.1:443").unwrap_err();
        caller.call(&format!("socket g{round} inet stream 0")).unwrap();
        caller.call(&format!("connect g{round} {granted}:443")).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for crowd in crowds {
        assert!(crowd.join().unwrap() > 100, "it was hardly a siege");
    }
    assert_eq!(host.observe(&["--to", "203.0.114.1"]).len(), 20);
    host.policy(&format!(
        "{}\n[[allow]]\nname = \"a.example.com\"\n",
        world::CONTOSO_POLICY
    ));
    host.command(&["reload"]).expect_success("reload");
    assert_eq!(daemon.told("ERROR"), 0);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert!(status.contains("Threads:"), "it lives");
    daemon.kill();
}

/// Connects a thousand at a time, with garbage, halves and silence; how often.
fn besiege(socket: &Path, stop: &AtomicBool) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut crowd = Vec::new();
        for number in 0..1000 {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let Ok(mut stream) = UnixStream::connect(socket) else {
                // No descriptor is left to this process.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            let huge = vec![b'x'; 100_000];
            let words: &[u8] = match number % 5 {
                0 => b"",
                1 => b"GET /v1/ev",
                2 => b"\0\xff\r\n\r\n",
                3 => b"GET /v1/events?follow=true HTTP/1.1\r\n\r\n",
                _ => &huge,
            };
            stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
            let _refused = stream.write_all(words);
            crowd.push(stream);
            count += 1;
            if crowd.len() > 200 {
                crowd.clear();
            }
        }
    }
    count
}

#[test]
fn reload_shows_what_changes_or_what_is_wrong() {
    let host = Operated::new("control");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    wait_for_names(&host);
    let nothing = host.command(&["reload"]).expect_success("a reload of the same");
    assert!(nothing.stdout.contains("nothing has changed"), "{nothing}");

    host.policy(&format!(
        "{}\n[[allow]]\nprefix = \"203.0.113.0/24\"\n",
        world::CONTOSO_POLICY
    ));
    let more = host.command(&["reload"]).expect_success("a reload with more");
    assert!(more.stdout.contains("+ allow 203.0.113.0/24  a rule ("), "{more}");
    assert!(more.stdout.contains("+ 203.0.113.0/24"), "{more}");
    let (status, _) = host.status();
    assert!(!warnings(&status).contains(&"reload-refused"));

    host.policy("[[registry]]\nlogin_servr = \"contoso.azurecr.io\"\n");
    let refused = host.command(&["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused
            .stderr
            .contains("policy.toml:2:1: error: unknown key `login_servr`"),
        "{refused}"
    );
    assert!(refused.stderr.contains("the policy from before"), "{refused}");
    let json = host.command(&["reload", "-o", "json"]);
    let outcome: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&outcome["outcome"], json.status.code()),
        (&"refused".into(), Some(1))
    );
    let problems = outcome["problems"].as_array().unwrap();
    let is_it = |problem: &Value| {
        let place = (problem["line"].as_u64(), problem["column"].as_u64());
        place == (Some(2), Some(1)) && problem["severity"] == "error"
    };
    assert!(problems.iter().any(is_it), "{outcome:#}");
    let (status, code) = host.status();
    assert_eq!(code, Some(0));
    assert!(warnings(&status).contains(&"reload-refused"), "{status:#}");

    host.policy(world::CONTOSO_POLICY);
    let less = host.command(&["reload"]).expect_success("a reload with less");
    assert!(less.stdout.contains("- 203.0.113.0/24"), "{less}");
    assert!(!warnings(&host.status().0).contains(&"reload-refused"));
    daemon.kill();
}

#[test]
fn followers_go_on_over_a_restart() {
    let host = Operated::new("control");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    let mut command = host.asking(&["observe", "-f", "-o", "json"]);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut follower = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follower.stdout.take().unwrap()));
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    host.denied_from("a.service", world::BARE_ADDRESSES[0]);
    assert_eq!(next()["unit"], "a.service");
    daemon.kill();
    let mut daemon = host.start();
    host.denied_from("b.service", world::BARE_ADDRESSES[0]);
    assert_eq!(next()["unit"], "b.service");
    follower.kill().unwrap();
    follower.wait().unwrap();
    daemon.kill();
}

/// The way to dedicated data endpoints: watch that nothing uses blob storage, then remove the wildcard.
#[test]
fn granted_connections_are_told_and_say_whether_the_wildcard_can_go() {
    let host = Operated::new("control");
    host.policy(&format!(
        "{}\n[[allow]]\nname = \"*.blob.core.windows.net\"\nprefix = \"203.0.113.0/24\"\n\
         accept_exfiltration_risk = \"until the data endpoints are used\"\n",
        world::CONTOSO_POLICY
    ));
    host.lab
        .publish(&host.lab.contoso, "hello", "v1", &[5000])
        .unwrap();
    let mut daemon = host.start();
    wait_for_names(&host);
    let image = format!("{}/hello:v1", world::CONTOSO);
    let pull = host.lab.pull_arguments(&image, &host.lab.folder().join("pulled"));
    let pull: Vec<&str> = pull.iter().map(String::as_str).collect();
    let container = format!("docker/{CONTAINER}");
    host.run_below(&container, "skopeo", &pull)
        .expect_success("the pull");

    let allowed = host.observe(&["--verdict", "allowed"]);
    for name in [world::CONTOSO, world::CONTOSO_DATA] {
        let of_name = host.observe(&["--verdict", "allowed", "--name", name]);
        assert!(!of_name.is_empty(), "{allowed:#?}");
        for event in &of_name {
            assert_eq!(
                (&event["verdict"], &event["process"]),
                (&"allowed".into(), &"skopeo".into())
            );
            assert_eq!(event["server_name"], name);
            assert_eq!(event["container"]["id"], CONTAINER);
            let place = event["rule_at"].as_str().unwrap();
            assert!(place.ends_with("policy.toml:3"), "{place}");
            assert_eq!(event["reason"], Value::Null);
        }
    }
    assert!(host.observe(&[]).is_empty(), "by default it shows what is denied");
    let (status, _) = host.status();
    assert_eq!(status["granted"]["total"], allowed.len(), "{status:#}");
    assert_eq!(status["denials"]["total"], 0);

    let migration = || {
        let outcome = host.command(&["learn", "--migration", "-o", "json"]);
        let document: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
        (document, outcome.status.code())
    };
    let (young, code) = migration();
    assert_eq!(
        (young["outcome"].as_str(), code),
        (Some("not-enough"), Some(3)),
        "{young:#}"
    );
    assert_eq!(
        young["doubts"].as_array().unwrap().len(),
        1,
        "its age alone: {young:#}"
    );

    // As far as it remembers, the daemon has been there for years.
    daemon.signal(Signal::TERM);
    daemon.wait();
    let folders = host.own_folders();
    let mut usage: Value = usage::load(&folders).unwrap().expect("the daemon has saved it");
    usage["since"] = "2020-01-01T00:00:00Z".into();
    usage::save(&folders, &usage).unwrap();
    let mut daemon = host.start();
    let (unused, code) = migration();
    assert_eq!(
        (unused["outcome"].as_str(), code),
        (Some("can-go"), Some(0)),
        "{unused:#}"
    );
    assert!(unused["data_endpoints"][world::CONTOSO_DATA]["count"].as_u64() > Some(0));

    let url = format!("https://{}/", world::STORAGE);
    let words = ["-4", "-sS", "-o", "/dev/null", &url];
    host.run_below("cron.service", "curl", &words)
        .expect_success("a blob");
    let (used, code) = migration();
    assert_eq!(
        (used["outcome"].as_str(), code),
        (Some("must-stay"), Some(3)),
        "{used:#}"
    );
    assert_eq!(
        used["blob_storage"][world::STORAGE]["by"]["curl (cron.service)"],
        1,
        "{used:#}"
    );
    let text = host.command(&["learn", "--migration"]).stdout;
    assert!(text.contains("must stay"), "{text}");
    daemon.kill();

    // What is damaged costs what was known, and nothing else.
    fs::write(folders.state.join("usage"), "nonsense").unwrap();
    let mut daemon = host.start();
    assert_eq!(migration().0["outcome"], "not-enough");
    daemon.kill();
}
