//! What goes through, what does not, and what is told of it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use enforcer_lab::{enforcer_program, world};
use serde_json::Value;

use crate::{exec, lab, outcome, probe, report, script, status};

const NAME_TTL_SHORT: &str = "[resolver]\nttl_min = \"1s\"\ngrace = \"1s\"\n";

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
