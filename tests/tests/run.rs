//! `enforcer run` and `plan` in the lab: start, refresh, reload, stop, and what is said when it can not. Needs root.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use enforcer_lab::daemon::{Daemon, LIMIT};
use enforcer_lab::nameserver::Fault;
use enforcer_lab::{Cgroup, Lab, Outcome, enforcer_program, probe_program, run_for, world};
use serde_json::Value;

/// A client whose processes are in a cgroup, and a daemon that judges it.
struct Host {
    lab: Lab,
    cgroup: Cgroup,
}

impl Host {
    fn new() -> Self {
        let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
        let cgroup = Cgroup::new("run").expect("the test needs cgroup v2");
        Self { lab, cgroup }
    }

    /// Writes the policy `text` for the cgroup of this host.
    fn policy(&self, text: &str) {
        let enforce = format!("[enforce]\ncgroup = \"{}\"\n", self.cgroup.path().display());
        let resolver = "[resolver]\nttl_min = \"1s\"\ntimeout = \"1s\"\ngrace = \"1s\"\n";
        let text = if text.contains("[enforce]") {
            text.replace("[enforce]\n", &enforce)
        } else {
            format!("{text}\n{enforce}")
        };
        self.lab
            .write_config("policy.toml", &format!("{text}\n{resolver}"))
            .unwrap();
    }

    fn start(&self) -> Daemon {
        Daemon::start(&self.lab, Path::new("policy.toml"))
    }

    /// One connect of a process in the cgroup; whether it worked.
    fn connects(&self, address: &str, port: u16) -> bool {
        let mut command = self.lab.client_command(probe_program().unwrap()).unwrap();
        let address = SocketAddr::new(world::address(address), port);
        command.args(["tcp", &address.to_string()]);
        self.cgroup.hold(&mut command).unwrap();
        let outcome = run_for(command, LIMIT).unwrap();
        assert!(outcome.took < Duration::from_secs(4), "it hung: {outcome}");
        // On other ports nobody listens: a refusal is an answer.
        outcome.success() || outcome.stdout.contains("refused")
    }

    fn plan(&self) -> Value {
        let mut command = self.lab.enforcer_command().unwrap();
        command.args(["plan", "policy.toml", "-o", "json"]);
        let outcome = run_for(command, LIMIT).unwrap().expect_success("plan");
        serde_json::from_str(&outcome.stdout).expect("the plan is JSON")
    }
}

#[test]
fn judges_while_it_runs_and_tells_of_denials() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let (granted, other) = (world::CONTOSO_ADDRESSES[0], world::BARE_ADDRESSES[0]);
    assert!(host.connects(other, 443), "without a daemon everything works");
    let mut daemon = host.start();
    assert!(host.connects(granted, 443));
    assert!(!host.connects(other, 443));
    let denial = daemon.wait_for("denied: probe (pid ");
    assert_eq!(denial["verdict"], "denied");
    assert_eq!(denial["reason"], "address-not-granted");
    assert_eq!(denial["destination"], format!("{other}:443"));
    assert_eq!(denial["protocol"], "tcp");
    assert_eq!(denial["process"], "probe");
    daemon.stop();
    assert!(host.connects(other, 443), "it stayed attached");
}

#[test]
fn audit_mode_says_would_be_denied_and_drops_nothing() {
    let host = Host::new();
    host.policy(&world::CONTOSO_POLICY.replace("enforce", "audit"));
    let mut daemon = host.start();
    assert!(
        daemon
            .seen
            .iter()
            .any(|line| line["message"].to_string().contains("auditing on"))
    );
    assert!(host.connects(world::BARE_ADDRESSES[0], 443));
    let denial = daemon.wait_for("would be denied: probe");
    assert_eq!(denial["verdict"], "would be denied");
    daemon.stop();
}

#[test]
fn follows_addresses_and_keeps_those_of_a_name_that_stops_answering() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let (old, new) = (world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[2]);
    host.lab.name_server.script(|zone| {
        zone.addresses("d0929eus.eastus.cloudapp.azure.com", 1, &[old]);
    });
    let mut daemon = host.start();
    assert!(host.connects(old, 443) && !host.connects(new, 443));
    host.lab.name_server.script(|zone| {
        zone.addresses("d0929eus.eastus.cloudapp.azure.com", 1, &[new]);
    });
    daemon.wait_for("1 added, 0 removed");
    assert!(host.connects(new, 443));
    host.lab
        .name_server
        .script(|zone| zone.fault_everywhere(Some(Fault::ServFail)));
    daemon.wait_for("`contoso.eastus.data.azurecr.io` can not be asked for its IPv4 addresses");
    assert!(host.connects(new, 443), "an error emptied the set");
    host.lab.name_server.script(|zone| zone.fault_everywhere(None));
    daemon.wait_for("`contoso.eastus.data.azurecr.io` answers again (IPv4)");
    daemon.stop();
}

#[test]
fn a_reload_changes_the_policy_and_a_bad_file_does_not() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let (contoso, fabrikam) = (world::CONTOSO_ADDRESSES[0], world::FABRIKAM_ADDRESSES[0]);
    let mut daemon = host.start();

    host.policy("[[registry]]\nlogin_servr = \"fabrikam.azurecr.io\"\n");
    daemon.reload();
    daemon.wait_for("the policy from before stays in force");
    let problem = daemon.wait_for("login_servr");
    assert!(
        problem["message"]
            .as_str()
            .unwrap()
            .contains("policy.toml:2:1: error: "),
        "{problem}"
    );
    assert!(host.connects(contoso, 443) && !host.connects(fabrikam, 443));

    let both = format!(
        "{}\n[[registry]]\nlogin_server = \"fabrikam.azurecr.io\"\n",
        world::CONTOSO_POLICY
    );
    host.policy(&both);
    daemon.reload();
    daemon.wait_for("policy generation 2");
    daemon.wait_for("enforcing on");
    assert!(host.connects(contoso, 443) && host.connects(fabrikam, 443));

    host.policy(&format!("{both}\n[enforce]\nports = [443, 8443]\n"));
    assert!(host.connects(world::BARE_ADDRESSES[0], 8443));
    daemon.reload();
    daemon.wait_for("ports 443 8443");
    daemon.wait_for("enforcing on");
    assert!(host.connects(contoso, 443) && !host.connects(world::BARE_ADDRESSES[0], 443));
    assert!(!host.connects(world::BARE_ADDRESSES[0], 8443));
    daemon.stop();
}

#[test]
fn a_reload_never_takes_a_granted_address_away() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    // The names of the new policy are slow: the old ones must not wait for them.
    let slow = format!(
        "{}\n[[registry]]\nlogin_server = \"fabrikam.azurecr.io\"\n",
        world::CONTOSO_POLICY
    );
    host.lab
        .name_server
        .script(|zone| zone.delay(world::FABRIKAM, Duration::from_millis(700)));
    host.policy(&slow);
    daemon.reload();
    daemon.wait_for("reloading");
    let mut attempts = 0;
    let before = daemon.told("enforcing on");
    while daemon.told("enforcing on") == before {
        assert!(
            host.connects(world::CONTOSO_ADDRESSES[0], 443),
            "attempt {attempts}"
        );
        attempts += 1;
        assert!(attempts < 10_000, "the reload did not end");
    }
    assert!(attempts > 0);
    daemon.stop();
}

#[test]
fn a_cgroup_that_is_removed_is_told_of_and_enforced_on_again_once_it_is_back() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    std::fs::remove_dir(host.cgroup.path()).unwrap();
    daemon.wait_for("was removed, and nothing is judged any more");
    std::fs::create_dir(host.cgroup.path()).unwrap();
    daemon.reload();
    daemon.wait_for("enforcing on /");
    assert!(!host.connects(world::BARE_ADDRESSES[0], 443));
    assert!(host.connects(world::CONTOSO_ADDRESSES[0], 443));
    daemon.stop();
}

#[test]
fn plan_compares_with_what_is_in_force() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let before = host.plan();
    assert_eq!(before["change"]["loaded"], "nothing");
    let login = &before["rules"][0]["endpoints"][0];
    assert_eq!(login["name"], world::CONTOSO);
    assert_eq!(login["chain"][0], "eus.fe.azcr.io");
    assert_eq!(
        login["addresses"].as_array().unwrap().len(),
        world::CONTOSO_ADDRESSES.len()
    );

    let mut daemon = host.start();
    let during = host.plan();
    assert_eq!(during["change"]["loaded"], "policy");
    assert_eq!(during["change"]["additions"], serde_json::json!([]), "{during:#}");
    assert_eq!(during["change"]["removals"], serde_json::json!([]), "{during:#}");

    host.policy(&format!(
        "{}\n[[allow]]\nprefix = \"203.0.113.0/24\"\n",
        world::CONTOSO_POLICY
    ));
    let changed = host.plan();
    assert_eq!(changed["change"]["additions"][0]["span"], "203.0.113.0/24");
    assert_eq!(changed["change"]["additions"][0]["source"], "rule 2");
    daemon.stop();
}

#[test]
fn plan_says_with_3_that_a_name_has_no_address() {
    let host = Host::new();
    host.policy("[[allow]]\nname = \"nowhere.example.com\"\n");
    let mut command = host.lab.enforcer_command().unwrap();
    command.args(["plan", "policy.toml"]);
    let outcome = run_for(command, LIMIT).unwrap();
    assert_eq!(outcome.status.code(), Some(3), "{outcome}");
    assert!(outcome.stdout.contains("nothing is granted for it"), "{outcome}");
}

/// Runs enforcer as root without any capability, in namespaces that `before` makes.
fn powerless(host: &Host, before: &[&str], arguments: &[&str]) -> Outcome {
    let words: Vec<_> = before
        .iter()
        .copied()
        .chain(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"])
        .collect();
    let mut command = host.lab.client_command(words[0]).unwrap();
    command
        .args(&words[1..])
        .arg(enforcer_program().unwrap())
        .args(arguments);
    run_for(command, LIMIT).unwrap()
}

#[test]
fn without_privileges_run_says_what_is_missing_and_plan_works() {
    let host = Host::new();
    host.policy(world::CONTOSO_POLICY);
    let run = powerless(&host, &[], &["run", "--temporary", "--config", "policy.toml"]);
    assert_eq!(run.status.code(), Some(1), "{run}");
    assert!(
        run.stderr
            .contains("error: the kernel can not enforce the policy\n  because: this process may not load"),
        "{run}"
    );
    assert!(run.stderr.contains("hint: run it as root"), "{run}");
    let plan = powerless(&host, &[], &["plan", "policy.toml"]).expect_success("plan");
    assert!(plan.stdout.contains("what is loaded could not be read"), "{plan}");
    assert!(plan.stdout.contains(world::CONTOSO_ADDRESSES[0]), "{plan}");
}

#[test]
fn the_root_of_a_cgroup_namespace_is_not_taken_for_the_root() {
    let host = Host::new();
    host.lab.write_config("root.toml", world::CONTOSO_POLICY).unwrap();
    let outcome = powerless(
        &host,
        &["unshare", "--cgroup"],
        &["run", "--temporary", "--config", "root.toml"],
    );
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("this process is in a cgroup namespace"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("--cgroupns=host"), "{outcome}");
}

#[test]
fn a_path_that_is_no_cgroup_is_refused() {
    let host = Host::new();
    let text = |path: &str| format!("{}\n[enforce]\ncgroup = \"{path}\"\n", world::CONTOSO_POLICY);
    for (path, words) in [
        ("/proc", "is not a cgroup v2 directory"),
        ("/sys/fs/cgroup/no-such-group", "can not be opened"),
    ] {
        host.lab.write_config("wrong.toml", &text(path)).unwrap();
        let outcome = powerless(&host, &[], &["run", "--temporary", "--config", "wrong.toml"]);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(
            outcome.stderr.contains(words) && outcome.stderr.contains("hint: "),
            "{outcome}"
        );
    }
}
