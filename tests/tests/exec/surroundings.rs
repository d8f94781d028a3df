//! Where it is started: descriptors, namespaces, users and rights, and what keeps the command from being started.

use enforcer_lab::daemon::LIMIT;
use enforcer_lab::{enforcer_program, run_for, world};

use crate::{lab, probe, script, status};

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
