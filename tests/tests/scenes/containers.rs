//! Processes in a network namespace of their own are judged like any other, by IPv4 and by IPv6.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;

use enforcer_lab::daemon::LIMIT;
use enforcer_lab::{run_for, world};

use crate::host::{Host, probe};

/// What no policy here grants, and contoso by UDP: (protocol, address, reason).
fn denied() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let foreign = world::BARE_ADDRESSES.into_iter().chain(world::FABRIKAM_ADDRESSES);
    let foreign = foreign.map(|address| ("tcp", address, "address-not-granted"));
    let quic = [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]];
    foreign.chain(quic.map(|address| ("udp", address, "quic-denied")))
}

#[test]
fn a_container_below_the_cgroup_is_judged_like_the_host() {
    let host = Host::new();
    let image = host
        .lab
        .publish(&host.lab.contoso, "app", "v1", &[50_000])
        .unwrap();
    let container = host.lab.container().unwrap();
    let below = host.cgroup.path().join("container");
    fs::create_dir(&below).unwrap();
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, "", host.cgroup.path());
    let mut daemon = host.start(&config);
    let run = |script: &str| {
        let mut command = host.lab.command_in(&container, "sh").unwrap();
        command.args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec sh -c \"$1\""]);
        command.arg(&below).arg(script);
        host.cgroup.hold(&mut command).unwrap();
        run_for(command, LIMIT).unwrap()
    };
    run(&host.pull("app:v1")).expect_success("the pull");
    assert!(image.is_in(&host.pulled("app:v1")));
    let own = ["192.0.2.130", "2001:db8:0:1::2"].map(world::address);
    let visits = host.lab.visits();
    assert!(
        visits.iter().all(|visit| own.contains(&visit.peer.ip())),
        "{visits:?}"
    );
    for granted in [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]] {
        run(&probe("tcp", granted)).expect_success(granted);
    }
    assert!(daemon.denials().is_empty(), "{:#?}", daemon.seen);

    let id = fs::metadata(&below).unwrap().ino();
    for (protocol, address, reason) in denied() {
        let outcome = run(&probe(protocol, address));
        assert!(outcome.stdout.contains("Operation not permitted"), "{outcome}");
        let destination = SocketAddr::new(world::address(address), 443);
        let denial = daemon.wait_for(&format!(" to {destination} over {protocol}"));
        assert_eq!(denial["reason"], reason);
        assert_eq!(denial["process"], "probe");
        assert_eq!(denial["cgroup_id"], id);
    }
    daemon.stop();
}

#[test]
fn a_container_that_a_command_under_exec_enters_is_judged_as_well() {
    let host = Host::new();
    let container = host.lab.container().unwrap();
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, "", host.cgroup.path());
    let inside = |line: String| format!("ip netns exec {} {line}", container.name());
    let granted = [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]];
    let mut script: Vec<_> = granted
        .map(|address| inside(probe("tcp", address)) + " || exit 1")
        .into();
    script.extend(denied().map(|(protocol, address, _)| inside(probe(protocol, address)) + " && exit 2"));
    script.push("exit 0".to_owned());
    run_for(host.exec(&config, &script.join("\n")), LIMIT)
        .unwrap()
        .expect_success("what is granted works and nothing else");
    let report = host.report();
    let listed = report["denials"].as_array().unwrap();
    assert_eq!(listed.len(), denied().count(), "{report:#}");
    for (protocol, address, reason) in denied() {
        let is_listed = listed.iter().any(|denial| {
            denial["protocol"] == protocol && denial["destination"] == address && denial["reason"] == reason
        });
        assert!(is_listed, "{address} by {protocol} in {report:#}");
    }
}
