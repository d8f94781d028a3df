//! How the command ends, and what is left of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use enforcer_lab::daemon::wait_until;
use enforcer_lab::{Lab, world};
use rustix::process::{Pid, Signal, kill_process};

use crate::{exec, lab, outcome, probe, report, script, status};

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
