//! `enforcer exec` in the lab: what goes through, what the command's status becomes, and what is left. Needs root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use enforcer_lab::{Lab, Outcome, enforcer_program, probe_program, run_for, world};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// For everything that should take a second or two, on a machine that does something else as well.
const LIMIT: Duration = Duration::from_secs(60);
const NAME_TTL_SHORT: &str = "[resolver]\nttl_min = \"1s\"\ngrace = \"1s\"\n";

fn lab() -> Lab {
    Lab::start().expect("the lab needs root and `cargo xtask setup`")
}

/// `enforcer exec --config policy.toml OPTIONS -- COMMAND` on the client, not started yet.
fn exec(lab: &Lab, policy: &str, options: &[&str], command: &[&str]) -> Command {
    let config = lab.write_config("policy.toml", policy).unwrap();
    let mut exec = lab.enforcer_command().unwrap();
    exec.args(["exec", "--config"])
        .arg(config)
        .args(options)
        .arg("--")
        .args(command);
    exec
}

fn outcome(lab: &Lab, policy: &str, options: &[&str], command: &[&str]) -> Outcome {
    run_for(exec(lab, policy, options, command), LIMIT).unwrap()
}

fn script(lab: &Lab, policy: &str, options: &[&str], script: &str) -> Outcome {
    outcome(lab, policy, options, &["sh", "-c", script])
}

/// The report that the options `--report report.json` leave behind.
fn report(lab: &Lab) -> Value {
    let text = fs::read_to_string(lab.folder().join("report.json")).expect("exec wrote a report");
    serde_json::from_str(&text).expect("the report is JSON")
}

/// A command line that connects to `address` on 443.
fn probe(protocol: &str, address: &str) -> String {
    let program = probe_program().unwrap();
    let address = SocketAddr::new(world::address(address), 443);
    format!("{} {protocol} {address}", program.display())
}

fn status(outcome: &Outcome) -> i32 {
    outcome.status.code().unwrap_or_else(|| panic!("{outcome}"))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_status_of_the_command_is_that_of_exec() {
    let lab = lab();
    let script = |text| script(&lab, world::CONTOSO_POLICY, &[], text);
    assert_eq!(status(&script("exit 0")), 0);
    assert_eq!(status(&script("exit 7")), 7);
    assert_eq!(status(&script("kill -TERM $$")), 128 + 15);
    let absent = outcome(&lab, world::CONTOSO_POLICY, &[], &["no-such-command"]);
    assert_eq!(status(&absent), 127, "{absent}");
    assert!(
        absent.stderr.contains(
            "error: the command was not started\n  because: `no-such-command` was not found\nhint: "
        ),
        "{absent}"
    );
    let no_program = outcome(&lab, world::CONTOSO_POLICY, &[], &["/etc/passwd"]);
    assert_eq!(status(&no_program), 126, "{no_program}");
}

#[test]
fn what_is_granted_works_and_nothing_is_reported() {
    let lab = lab();
    let text = format!(
        "{} && {}",
        probe("tcp", world::CONTOSO_ADDRESSES[0]),
        probe("tcp", world::CONTOSO_ADDRESSES[3]),
    );
    let outcome = script(
        &lab,
        world::CONTOSO_POLICY,
        &["--report", "report.json", "--fail-on-denied"],
        &text,
    )
    .expect_success("what the policy grants");
    assert!(
        outcome.stderr.contains("enforcer: nothing was denied"),
        "{outcome}"
    );
    let report = report(&lab);
    assert_eq!(report["denied"], 0);
    assert_eq!(report["ended"]["exited"], 0);
    assert_eq!(report["left_over"], serde_json::json!([]));
}

#[test]
fn looking_a_name_up_is_no_denial() {
    let lab = lab();
    // curl has the C library sort the addresses, which connects a UDP socket to each and sends nothing.
    let text = format!(
        "curl --silent --show-error --output /dev/null https://{}/v2/",
        world::CONTOSO
    );
    script(&lab, world::CONTOSO_POLICY, &["--fail-on-denied"], &text)
        .expect_success("what the policy grants");
}

#[test]
fn a_denial_is_immediate_and_listed_with_process_name_and_reason() {
    let lab = lab();
    let text = [
        probe("tcp", world::BARE_ADDRESSES[0]),
        probe("tcp", world::BARE_ADDRESSES[1]),
        probe("udp", world::CONTOSO_ADDRESSES[0]),
        "true".to_owned(),
    ]
    .join(" ; ");
    let outcome = script(&lab, world::CONTOSO_POLICY, &["--report", "report.json"], &text);
    assert_eq!(status(&outcome), 0, "{outcome}");
    assert_eq!(
        outcome.stdout.matches("Operation not permitted").count(),
        3,
        "{outcome}"
    );
    let report = report(&lab);
    let denials = report["denials"].as_array().unwrap();
    let listed = |destination: &str, protocol: &str| {
        denials
            .iter()
            .find(|denial| denial["destination"] == destination && denial["protocol"] == protocol)
            .unwrap_or_else(|| panic!("{destination} in {report:#}"))
    };
    for address in world::BARE_ADDRESSES {
        let denial = listed(address, "tcp");
        assert_eq!(denial["process"], "probe");
        assert_eq!(denial["port"], 443);
        assert_eq!(denial["reason"], "address-not-granted");
        assert_eq!(denial["name"], Value::Null);
    }
    let quic = listed(world::CONTOSO_ADDRESSES[0], "udp");
    assert_eq!(
        (&quic["reason"], &quic["name"]),
        (&"quic-denied".into(), &world::CONTOSO.into())
    );
    assert_eq!(
        report["denied"],
        denials
            .iter()
            .map(|denial| denial["count"].as_u64().unwrap())
            .sum::<u64>()
    );
    assert!(outcome.stderr.contains("attempts were denied"), "{outcome}");
    assert!(
        report["duration_ms"].as_u64().unwrap() < 5_000,
        "denials hung: {report:#}"
    );
}

/// A socket is judged by the cgroup in which it was made: one from outside would be a way out.
#[test]
fn a_socket_from_outside_is_not_handed_on() {
    let lab = lab();
    let config = lab.write_config("policy.toml", world::CONTOSO_POLICY).unwrap();
    let mut bash = lab.client_command("bash").unwrap();
    bash.args([
        "-c",
        "exec 7<>/dev/udp/127.0.0.1/9 8</dev/null; exec \"$0\" \"$@\"",
    ])
    .arg(enforcer_program().unwrap())
    .args(["exec", "--config"])
    .arg(config)
    .args(["--", "ls", "/proc/self/fd"]);
    let outcome = run_for(bash, LIMIT)
        .unwrap()
        .expect_success("listing descriptors");
    let handed_on: Vec<&str> = outcome.stdout.lines().collect();
    assert!(!handed_on.contains(&"7"), "{outcome}");
    assert!(handed_on.contains(&"8"), "what is no socket stays, {outcome}");
    assert!(outcome.stderr.contains("descriptor 7"), "{outcome}");
}

#[test]
fn when_sockets_from_outside_can_not_be_told_nothing_is_started() {
    let lab = lab();
    let config = lab.write_config("policy.toml", world::CONTOSO_POLICY).unwrap();
    let mut unshare = lab.client_command("unshare").unwrap();
    unshare
        .args(["--mount", "sh", "-c", "umount --lazy /proc && exec \"$0\" \"$@\""])
        .arg(enforcer_program().unwrap())
        .args(["exec", "--config"])
        .arg(config)
        .args(["--", "echo", "started"]);
    let outcome = run_for(unshare, LIMIT).unwrap();
    assert_eq!(status(&outcome), 1, "{outcome}");
    assert!(outcome.stdout.is_empty(), "{outcome}");
    assert!(outcome.stderr.contains("nothing was started"), "{outcome}");
    assert!(outcome.stderr.contains("hint: "), "{outcome}");
}

#[test]
fn fail_on_denied_speaks_only_when_the_command_succeeded() {
    let lab = lab();
    let denied = probe("tcp", world::BARE_ADDRESSES[0]);
    let with = ["--fail-on-denied"];
    assert_eq!(
        status(&script(
            &lab,
            world::CONTOSO_POLICY,
            &with,
            &format!("{denied}; exit 0")
        )),
        3
    );
    assert_eq!(
        status(&script(
            &lab,
            world::CONTOSO_POLICY,
            &with,
            &format!("{denied}; exit 9")
        )),
        9
    );
    assert_eq!(status(&script(&lab, world::CONTOSO_POLICY, &with, "exit 0")), 0);
}

#[test]
fn audit_mode_lets_through_and_tells() {
    let lab = lab();
    let policy = world::CONTOSO_POLICY.replace("enforce", "audit");
    let text = probe("tcp", world::BARE_ADDRESSES[0]);
    let outcome = script(&lab, &policy, &["--report", "report.json"], &text).expect_success("audit mode");
    assert!(outcome.stderr.contains("would have been denied"), "{outcome}");
    assert!(!outcome.stderr.contains(" was denied"), "{outcome}");
    let report = report(&lab);
    assert_eq!(report["mode"], "audit");
    assert_eq!(report["denials"][0]["destination"], world::BARE_ADDRESSES[0]);
}

#[test]
fn a_name_that_does_not_resolve_is_denied_and_the_rest_works() {
    let lab = lab();
    let policy = format!(
        "{}\n[[allow]]\nname = \"nowhere.example.com\"\n",
        world::CONTOSO_POLICY
    );
    let text = probe("tcp", world::CONTOSO_ADDRESSES[0]);
    let outcome = script(&lab, &policy, &["--report", "report.json"], &text).expect_success("the rest");
    assert!(
        outcome
            .stderr
            .contains("warning: `nowhere.example.com` could not be resolved"),
        "{outcome}"
    );
    assert_eq!(report(&lab)["unresolved"][0]["name"], "nowhere.example.com");
}

#[test]
fn when_nothing_resolves_nothing_is_started() {
    let lab = lab();
    let marker = lab.folder().join("started");
    let policy = "[[allow]]\nname = \"nowhere.example.com\"\n";
    let outcome = script(&lab, policy, &[], &format!("touch {}", marker.display()));
    assert_eq!(status(&outcome), 1, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("error: none of the configured names could be resolved: nothing was started\nhint: "),
        "{outcome}"
    );
    assert!(!marker.exists());
}

#[test]
fn addresses_that_change_while_the_command_runs_are_granted() {
    let lab = lab();
    let policy = format!("{}\n{NAME_TTL_SHORT}", world::CONTOSO_POLICY);
    let moved = world::CONTOSO_DATA_ADDRESSES[2];
    let text = format!("echo ready; until {}; do sleep 0.1; done", probe("tcp", moved));
    let mut child = exec(&lab, &policy, &[], &["sh", "-c", &text])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    lab.name_server
        .script(|zone| zone.addresses("d0929eus.eastus.cloudapp.azure.com", 1, &[moved]));
    let connected = lines.map_while(Result::ok).any(|line| line == "connected");
    assert!(connected);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_stays_behind_is_reported_and_ended() {
    let lab = lab();
    let text = "cat /proc/self/cgroup > cgroup; sleep 1000 & (trap '' TERM; exec sleep 1001) & sleep 0.2; echo $! > pid";
    let outcome = script(&lab, world::CONTOSO_POLICY, &["--report", "report.json"], text);
    assert_eq!(status(&outcome), 0, "{outcome}");
    assert!(
        outcome.stderr.contains("warning: 2 processes stayed behind"),
        "{outcome}"
    );
    let left_over = report(&lab)["left_over"].as_array().unwrap().clone();
    assert_eq!(left_over.len(), 2, "{left_over:?}");
    for process in left_over {
        assert_eq!(process["process"], "sleep");
        let stat = fs::read_to_string(format!("/proc/{}/stat", process["pid"])).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "still runs: {stat}");
    }
    assert_no_cgroup_of(&lab);
}

#[test]
fn the_warning_of_many_left_over_processes_stays_short() {
    let lab = lab();
    let text = "for number in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done";
    let outcome = script(&lab, world::CONTOSO_POLICY, &["--report", "report.json"], text);
    assert!(
        outcome.stderr.contains("warning: 12 processes stayed behind")
            && outcome.stderr.contains(", and 2 more\n"),
        "{outcome}"
    );
    assert_eq!(report(&lab)["left_over"].as_array().unwrap().len(), 12);
}

#[test]
fn nobody_reading_the_messages_does_not_end_the_command() {
    let lab = lab();
    let mut command = exec(
        &lab,
        world::CONTOSO_POLICY,
        &[],
        &["sh", "-c", "touch ended; exit 7"],
    );
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status = command.stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(7));
    assert!(lab.folder().join("ended").exists());
}

#[test]
fn equal_process_ids_of_two_pid_namespaces_do_not_collide() {
    let lab = lab();
    let config = lab.write_config("policy.toml", world::CONTOSO_POLICY).unwrap();
    let enforcer = enforcer_program().unwrap();
    // Each enforcer is process 1 of its namespace, and both make their cgroups in the same place.
    let both = format!(
        "exec=\"unshare --pid --fork {} exec --config {} -- sh -c\"\n\
         $exec 'touch one; while [ ! -e two ]; do sleep 0.05; done' & \n\
         while [ ! -e one ]; do sleep 0.05; done\n\
         $exec 'exit 7'; status=$?; touch two; wait $!; exit $status",
        enforcer.display(),
        config.display()
    );
    let mut command = lab.client_command("sh").unwrap();
    command.args(["-c", &both]).current_dir(lab.folder());
    let outcome = run_for(command, LIMIT).unwrap();
    assert_eq!(status(&outcome), 7, "{outcome}");
}

#[test]
fn a_pattern_is_said_to_have_no_addresses() {
    let lab = lab();
    let policy = "[[allow]]\nname = \"*.example.com\"\n";
    let outcome = outcome(&lab, policy, &[], &["true"]);
    assert!(
        outcome
            .stderr
            .contains("warning: `*.example.com` has no addresses yet"),
        "{outcome}"
    );
}

/// The cgroup that the command wrote into the file `cgroup` has gone.
fn assert_no_cgroup_of(lab: &Lab) {
    let text = fs::read_to_string(lab.folder().join("cgroup")).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    assert!(path.contains("enforcer-exec."), "{path}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts
        .lines()
        .filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let root = mounts
        .next()
        .expect("cgroup v2 is mounted")
        .split(' ')
        .nth(1)
        .unwrap();
    assert!(
        !std::path::Path::new(root).join(path).exists(),
        "{path} stays behind"
    );
}

/// Starts a command that says `ready`, and waits for that.
fn start_ready(lab: &Lab, text: &str) -> std::process::Child {
    let mut child = exec(lab, world::CONTOSO_POLICY, &[], &["sh", "-c", text])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    child
}

#[test]
fn signals_reach_the_command() {
    let lab = lab();
    let text = "cat /proc/self/cgroup > cgroup; trap 'exit 40' TERM; trap 'exit 41' USR1; echo ready; \
                while :; do sleep 0.05; done";
    for (signal, expected) in [(Signal::TERM, 40), (Signal::USR1, 41)] {
        let mut child = start_ready(&lab, text);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(expected));
        assert_no_cgroup_of(&lab);
    }
}

#[test]
fn an_interrupt_without_a_terminal_reaches_the_command() {
    let lab = lab();
    let mut child = start_ready(&lab, "echo ready; exec sleep 1000");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 2));
}

#[test]
fn a_command_does_not_outlive_an_enforcer_that_is_killed() {
    let lab = lab();
    // The command, a child of it, and one that has left its session.
    let mut child = start_ready(
        &lab,
        "cat /proc/self/cgroup > cgroup; echo $$ > pids; sleep 1000 & echo $! >> pids; \
         setsid sh -c 'echo $$ >> pids; exec sleep 1000' & \
         while [ $(wc -l < pids) -lt 3 ]; do :; done; echo ready; exec sleep 1000",
    );
    let pids = fs::read_to_string(lab.folder().join("pids")).unwrap();
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    for pid in pids.lines() {
        wait_until("the end of the command and all its children", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
    }
    let text = fs::read_to_string(lab.folder().join("cgroup")).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let root = if std::path::Path::new("/sys/fs/cgroup/unified").exists() {
        "/sys/fs/cgroup/unified"
    } else {
        "/sys/fs/cgroup"
    };
    let cgroup = std::path::Path::new(root).join(path);
    wait_until("the end of the cgroup", || !cgroup.exists());
}

#[test]
fn another_user_is_taken_on_inside_the_cgroup() {
    let lab = lab();
    let text = format!("id -un; echo $HOME; {}", probe("tcp", world::BARE_ADDRESSES[0]));
    // The build's folder may be closed to others: the command then fails to run the probe, which is fine here.
    let outcome = script(&lab, world::CONTOSO_POLICY, &["--user", "nobody"], &text);
    assert!(outcome.stdout.starts_with("nobody\n/nonexistent\n"), "{outcome}");
    let unknown = script(
        &lab,
        world::CONTOSO_POLICY,
        &["--user", "nobody-of-that-name"],
        "true",
    );
    assert_eq!(status(&unknown), 1);
    assert!(
        unknown.stderr.contains("there is no user `nobody-of-that-name`"),
        "{unknown}"
    );
}

#[test]
fn policies_on_nested_cgroups_both_judge() {
    let lab = lab();
    let wide = [world::CONTOSO_ADDRESSES[0], world::BARE_ADDRESSES[0]]
        .map(|address| format!("[[allow]]\nprefix = \"{address}/32\"\n"))
        .concat();
    let wide = lab.write_config("wide.toml", &wide).unwrap();
    let inner = enforcer_program().unwrap();
    let text = format!(
        "{} exec --config {} -- sh -c '{}; {}'",
        inner.display(),
        wide.display(),
        probe("tcp", world::CONTOSO_ADDRESSES[0]),
        probe("tcp", world::BARE_ADDRESSES[0]),
    );
    let outcome = script(&lab, world::CONTOSO_POLICY, &["--report", "report.json"], &text);
    assert!(outcome.stdout.starts_with("connected\n"), "{outcome}");
    assert!(outcome.stdout.contains("Operation not permitted"), "{outcome}");
    let report = report(&lab);
    assert_eq!(
        report["denials"][0]["destination"],
        world::BARE_ADDRESSES[0],
        "{report:#}"
    );
}

#[test]
fn works_where_no_cgroup_file_system_is_mounted() {
    let lab = lab();
    let config = lab.write_config("policy.toml", world::CONTOSO_POLICY).unwrap();
    let mut command = lab.client_command("unshare").unwrap();
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"",
            "sh",
        ])
        .arg(enforcer_program().unwrap())
        .args(["exec", "--fail-on-denied", "--config"])
        .arg(config)
        .args([
            "--",
            "sh",
            "-c",
            &format!("{}; exit 0", probe("tcp", world::BARE_ADDRESSES[0])),
        ]);
    let outcome = run_for(command, LIMIT).unwrap();
    assert_eq!(status(&outcome), 3, "{outcome}");
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    let lab = lab();
    let config = lab.write_config("policy.toml", world::CONTOSO_POLICY).unwrap();
    let mut command = lab.client_command("setpriv").unwrap();
    // Root without its capabilities: the build's folder may be closed to other users.
    command
        .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
        .arg(enforcer_program().unwrap())
        .args(["exec", "--config"])
        .arg(config)
        .args(["--", "true"]);
    let outcome = run_for(command, LIMIT).unwrap();
    assert_eq!(status(&outcome), 1, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("because: this process may not load kernel programs: it lacks"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("hint: run it as root"), "{outcome}");
}

/// What the help and the README say is enough, is, for whom the files let make a cgroup.
#[test]
fn three_capabilities_are_enough_and_two_are_not() {
    let lab = lab();
    let config = lab.write_config("policy.toml", world::CONTOSO_POLICY).unwrap();
    let with = |capabilities: &str| {
        let mut command = lab.client_command("setpriv").unwrap();
        command
            .arg(format!("--bounding-set=-all,+dac_override,{capabilities}"))
            .args(["--inh-caps=-all", "--"])
            .arg(enforcer_program().unwrap())
            .args(["exec", "--config"])
            .arg(&config)
            .args(["--", "true"]);
        run_for(command, LIMIT).unwrap()
    };
    with("+bpf,+perfmon,+net_admin").expect_success("all of them");
    for (given, missing) in [
        ("+bpf,+perfmon", "CAP_NET_ADMIN"),
        ("+bpf,+net_admin", "CAP_PERFMON"),
        ("+perfmon,+net_admin", "CAP_BPF"),
    ] {
        let outcome = with(given);
        assert_eq!(status(&outcome), 1, "{outcome}");
        let words = format!("it lacks {missing}\n");
        assert!(outcome.stderr.contains(&words), "{outcome}");
    }
}

#[test]
fn a_bad_configuration_or_report_file_starts_nothing() {
    let lab = lab();
    let bad = script(
        &lab,
        "[[registry]]\nlogin_servr = \"contoso.azurecr.io\"\n",
        &[],
        "touch started",
    );
    assert_eq!(status(&bad), 1, "{bad}");
    assert!(
        bad.stderr.contains("policy.toml:2:1") && bad.stderr.contains("login_server"),
        "{bad}"
    );
    let unwritable = ["--report", "no-such-folder/report.json"];
    let no_report = script(&lab, world::CONTOSO_POLICY, &unwritable, "touch started");
    assert_eq!(status(&no_report), 1, "{no_report}");
    assert!(!lab.folder().join("started").exists());
}
