//! The lab itself, without an enforcer: what works here is what a denial is compared with. Needs root.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use enforcer_lab::{
    Cgroup, Lab, Namespace, Outcome, Protocol, Quality, probe_program, run_for, tls_program, world,
};
use rustix::process::{Pid, Signal, kill_process};

/// For everything that should take well under a second, on a machine that does something else as well.
const LIMIT: Duration = Duration::from_secs(60);

fn lab() -> Lab {
    Lab::start().expect("the lab needs root and `cargo xtask setup`")
}

fn probe(lab: &Lab, protocol: &str, address: &str) -> Outcome {
    let mut command = lab.client_command(probe_program().unwrap()).unwrap();
    command.args([
        protocol,
        &SocketAddr::new(world::address(address), 443).to_string(),
    ]);
    run_for(command, LIMIT).unwrap()
}

#[test]
fn a_pull_fetches_its_layers_from_the_data_endpoint() {
    let lab = lab();
    let image = lab
        .publish(&lab.contoso, "app", "v1", &[200_000, 50_000])
        .unwrap();
    let out = lab.folder().join("out");
    let mut command = lab.client_command("skopeo").unwrap();
    command.args(lab.pull_arguments("contoso.azurecr.io/app:v1", &out));
    run_for(command, LIMIT).unwrap().expect_success("the pull");
    assert!(image.is_in(&out));

    let visits = lab.visits();
    let asked = |name: &str| {
        visits
            .iter()
            .any(|visit| visit.server_name.as_deref() == Some(name))
    };
    assert!(asked(world::CONTOSO) && asked(world::CONTOSO_DATA), "{visits:?}");
    for layer in &image.layers {
        let path = format!("/{}/data 200", layer.trim_start_matches("sha256:"));
        let fetched = |request: &String| {
            request.starts_with("GET /docker/registry/v2/blobs/") && request.ends_with(&path)
        };
        let by_data_endpoint = visits
            .iter()
            .filter(|visit| visit.server_name.as_deref() == Some(world::CONTOSO_DATA))
            .any(|visit| visit.request.as_ref().is_some_and(fetched));
        assert!(by_data_endpoint, "{layer} in {visits:?}");
    }
}

#[test]
fn a_container_pulls_from_a_network_of_its_own() {
    let lab = lab();
    let image = lab.publish(&lab.contoso, "app", "v1", &[50_000]).unwrap();
    let container = lab.container().unwrap();
    let out = lab.folder().join("out");
    let mut command = lab.command_in(&container, "skopeo").unwrap();
    command.args(lab.pull_arguments("contoso.azurecr.io/app:v1", &out));
    run_for(command, LIMIT).unwrap().expect_success("the pull");
    assert!(image.is_in(&out));
    let own = ["192.0.2.130", "2001:db8:0:1::2"].map(world::address);
    assert!(
        lab.visits().iter().all(|visit| own.contains(&visit.peer.ip())),
        "{:?}",
        lab.visits()
    );
}

#[test]
fn another_registry_takes_pushes_and_serves_its_own_blobs() {
    let lab = lab();
    let image = lab.publish(&lab.contoso, "app", "v1", &[10_000]).unwrap();
    let mut command = lab.client_command("skopeo").unwrap();
    command
        .args([
            "--insecure-policy",
            "copy",
            "--preserve-digests",
            &image.reference(),
        ])
        .arg("docker://fabrikam.azurecr.io/stolen:v1");
    run_for(command, LIMIT).unwrap().expect_success("the push");

    let out = lab.folder().join("out");
    let mut command = lab.client_command("skopeo").unwrap();
    command.args(lab.pull_arguments("fabrikam.azurecr.io/stolen:v1", &out));
    run_for(command, LIMIT).unwrap().expect_success("the pull");
    assert!(image.is_in(&out));
}

#[test]
fn a_storage_account_takes_what_is_sent_by_ipv4_and_by_ipv6() {
    let lab = lab();
    for (family, address) in [
        ("-4", world::STORAGE_ADDRESSES[0]),
        ("-6", world::STORAGE_ADDRESSES[1]),
    ] {
        let mut command = lab.client_command("curl").unwrap();
        command
            .args([
                family,
                "--silent",
                "--show-error",
                "--fail",
                "--upload-file",
                "/etc/hostname",
            ])
            .arg(format!("https://{}/loot/hostname", world::STORAGE));
        run_for(command, LIMIT).unwrap().expect_success("the upload");
        let arrived = lab.visits().into_iter().any(|visit| {
            visit.local == SocketAddr::new(world::address(address), 443)
                && visit.server_name.as_deref() == Some(world::STORAGE)
                && visit.request.as_deref() == Some("PUT /loot/hostname 201")
        });
        assert!(arrived, "{family}: {:?}", lab.visits());
    }
}

#[test]
fn a_range_of_a_blob_is_served_and_the_rate_is_limited() {
    let lab = lab();
    let image = lab.publish(&lab.contoso, "app", "v1", &[100_000]).unwrap();
    let digest = image.layers[0].trim_start_matches("sha256:");
    let url = format!(
        "https://{}/docker/registry/v2/blobs/sha256/{}/{digest}/data",
        world::CONTOSO_DATA,
        &digest[..2]
    );
    let fetch = |range: &str| {
        let mut command = lab.client_command("curl").unwrap();
        command.args([
            "--silent",
            "--fail",
            "--range",
            range,
            "--write-out",
            "%{http_code} %{size_download}",
        ]);
        command.args(["--output", "/dev/null", &url]);
        run_for(command, LIMIT).unwrap().expect_success("the download")
    };
    assert_eq!(fetch("1000-1999").stdout, "206 1000");
    lab.limit_data_rate(100_000);
    let slow = fetch("0-99999");
    // A lower bound only: how much longer it takes is up to the machine.
    assert!(slow.took > Duration::from_millis(800), "{slow}");
}

#[test]
fn every_service_answers_tcp_and_udp_and_arrivals_are_counted() {
    let lab = lab();
    for address in world::CONTOSO_DATA_ADDRESSES.iter().chain(&world::BARE_ADDRESSES) {
        let ip = world::address(address);
        assert_eq!(lab.arrived(Protocol::Tcp, ip, 443).unwrap(), 0);
        assert_eq!(
            probe(&lab, "tcp", address).expect_success(address).stdout,
            "connected\n"
        );
        assert!(
            lab.arrived(Protocol::Tcp, ip, 443).unwrap() >= 2,
            "SYN and ACK to {address}"
        );
        assert_eq!(lab.arrived(Protocol::Udp, ip, 443).unwrap(), 0);
        assert_eq!(
            probe(&lab, "udp", address).expect_success(address).stdout,
            "answered\n"
        );
        assert_eq!(lab.arrived(Protocol::Udp, ip, 443).unwrap(), 1);
    }
}

#[test]
fn the_client_reaches_nothing_outside() {
    let lab = lab();
    for address in ["192.88.99.1", "2001:db9::1"] {
        let outcome = probe(&lab, "tcp", address);
        assert!(!outcome.success());
        assert!(outcome.stdout.contains("unreachable"), "{outcome}");
    }
    let mut command = lab.client_command("getent").unwrap();
    command.args(["ahosts", "no-such-name.example.com"]);
    assert!(!run_for(command, LIMIT).unwrap().success());
    assert!(
        lab.name_server
            .asked()
            .iter()
            .any(|asked| asked.name == "no-such-name.example.com")
    );
}

#[test]
fn cgroup_v2_stays_visible_to_what_runs_on_the_client() {
    let lab = lab();
    let cgroup = Cgroup::new("test").unwrap();
    let mut command = lab.client_command("sh").unwrap();
    command
        .args(["-c", "cat /proc/self/cgroup; ls -d \"$1\"", "sh"])
        .arg(cgroup.path());
    cgroup.hold(&mut command).unwrap();
    let outcome = run_for(command, LIMIT).unwrap().expect_success("the shell");
    let name = cgroup.path().file_name().unwrap().to_str().unwrap();
    assert!(outcome.stdout.contains(&format!("0::/{name}\n")), "{outcome}");
}

#[test]
fn nothing_stays_behind() {
    let lab = lab();
    let cgroup = Cgroup::new("left").unwrap();
    let mut sleeper = lab.client_command("sleep").unwrap();
    sleeper.arg("1000");
    cgroup.hold(&mut sleeper).unwrap();
    let mut sleeper = sleeper.spawn().unwrap();

    let hosts = [lab.client().name().to_owned(), lab.server().name().to_owned()];
    let folders = [lab.folder().to_path_buf(), cgroup.path().to_path_buf()];
    assert!(hosts.iter().all(|name| namespaces().contains(name)));
    drop(cgroup);
    drop(lab);
    assert!(
        !sleeper.wait().unwrap().success(),
        "what still runs on the client is ended"
    );
    assert!(!hosts.iter().any(|name| namespaces().contains(name)));
    assert!(!folders.iter().any(|folder| folder.exists()));
}

#[test]
fn nothing_stays_behind_after_a_panic() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let outcome = std::thread::spawn(move || {
        let host = Namespace::new("panic").unwrap();
        sender.send(host.name().to_owned()).unwrap();
        // Without a message: a test's output should not look like a failure.
        std::panic::resume_unwind(Box::new(()));
    })
    .join();
    assert!(outcome.is_err());
    assert!(!namespaces().contains(&receiver.recv().unwrap()));
}

#[test]
fn nothing_stays_behind_after_a_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lab"))
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = program.id();
        // The first line comes when the lab stands.
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(namespaces_of(pid), 2, "{line}");
        kill_process(Pid::from_child(&program), signal).unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(128 + signal.as_raw()));
        assert_eq!(namespaces_of(pid), 0);
        assert_eq!(names_in(&std::env::temp_dir(), pid), 0);
    }
}

#[test]
fn what_a_killed_lab_left_is_removed_by_the_next() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lab"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = program.id();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    program.kill().unwrap();
    // Until it is waited for it still counts as alive to the labs of other tests.
    assert_eq!(namespaces_of(pid), 2, "{line}");
    program.wait().unwrap();
    let _lab = lab();
    assert_eq!(namespaces_of(pid), 0);
    assert_eq!(names_in(&std::env::temp_dir(), pid), 0);
}

fn namespaces_of(pid: u32) -> usize {
    names_in(Path::new("/run/netns"), pid)
}

/// How many things of the lab of process `pid` are in `folder`.
fn names_in(folder: &Path, pid: u32) -> usize {
    let ours = |name: &str| name.starts_with(&format!("enf-{pid}-"));
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_str().is_some_and(ours)).count()
}

fn namespaces() -> Vec<String> {
    let output = Command::new("ls").arg(Path::new("/run/netns")).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A session of the lab's own TLS client with [`world::NORTHWIND`] at one address.
fn session(lab: &Lab) -> Outcome {
    lab.name_server
        .script(|zone| zone.addresses(world::NORTHWIND, 10, &world::CONTOSO_ADDRESSES[..1]));
    let mut command = lab.client_command(tls_program().unwrap()).unwrap();
    command.args([world::NORTHWIND, "1"]);
    run_for(command, LIMIT).unwrap()
}

#[test]
fn segments_are_as_small_as_they_are_told_to_be() {
    // Packets are no measure: the kernel cuts large ones only where a cable needs it.
    let script = "import socket, sys\n\
        peer = socket.create_connection((sys.argv[1], 443))\n\
        print(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))";
    let lab = lab();
    let payload_bytes = |address: &str| -> u16 {
        let mut command = lab.client_command("/usr/bin/python3").unwrap();
        command.args(["-c", script, address]);
        let outcome = run_for(command, LIMIT).unwrap().expect_success("a connection");
        outcome.stdout.trim().parse().unwrap()
    };
    let addresses = [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]];
    assert!(addresses.iter().all(|address| payload_bytes(address) > 1_000));
    lab.limit_segments(88).unwrap();
    for address in addresses {
        // Time stamps take twelve of them.
        assert_eq!(payload_bytes(address), 76, "{address}");
    }
}

#[test]
fn a_line_delays_and_loses_and_is_gone_when_it_is_dropped() {
    let lab = lab();
    let delay = Duration::from_millis(150);
    let line = lab.far_away(Quality {
        delay,
        lost_percent: 0,
    });
    let outcome = session(&lab).expect_success("a session by the line");
    // To connect, to shake hands and to ask take a turn each.
    assert!(outcome.took >= 6 * delay, "{outcome}");
    assert!(outcome.stderr.contains("X25519MLKEM768"), "{outcome}");
    let line_ends = world::LINE_ADDRESSES.map(world::address);
    let visits = lab.visits();
    assert!(
        visits.iter().all(|visit| line_ends.contains(&visit.peer.ip())),
        "{visits:?}"
    );
    drop(line);

    let dead = lab.far_away(Quality {
        delay: Duration::ZERO,
        lost_percent: 100,
    });
    for protocol in ["tcp", "udp"] {
        for address in [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]] {
            assert!(!probe(&lab, protocol, address).success(), "{protocol} {address}");
        }
    }
    drop(dead);
    for address in [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]] {
        probe(&lab, "tcp", address).expect_success("a connection by the cable");
    }
}
