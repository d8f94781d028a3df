//! A denial is an answer: nobody waits for a time-out of TCP.

use std::collections::BTreeSet;

use enforcer_lab::daemon::LIMIT;
use enforcer_lab::{run_for, world};

use crate::host::Host;

#[test]
fn a_denied_connect_fails_at_once_by_both_families_with_its_reason() {
    let host = Host::new();
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, "", host.cgroup.path());
    let mut denied: Vec<(&str, String, &str)> = vec![
        (
            "-4",
            format!("https://{}/", world::BARE_ADDRESSES[0]),
            world::BARE_ADDRESSES[0],
        ),
        (
            "-6",
            format!("https://[{}]/", world::BARE_ADDRESSES[1]),
            world::BARE_ADDRESSES[1],
        ),
    ];
    for (name, addresses) in [
        (world::STORAGE, world::STORAGE_ADDRESSES),
        (world::FABRIKAM, world::FABRIKAM_ADDRESSES),
    ] {
        for (family, address) in ["-4", "-6"].into_iter().zip(addresses) {
            denied.push((family, format!("https://{name}/"), address));
        }
    }
    // How long curl itself says it took, and 7 for "failed to connect".
    let lines = denied.iter().map(|(family, url, _)| {
        format!("curl {family} -sg -o /dev/null -w '%{{exitcode}} %{{time_total}}\\n' '{url}'\n")
    });
    let script: String = lines.chain(["exit 0".to_owned()]).collect();

    let without = run_for(host.shell(&script), LIMIT).unwrap();
    assert_eq!(without.stdout.matches("0 0.").count(), denied.len(), "{without}");

    let outcome = run_for(host.exec(&config, &script), LIMIT).unwrap();
    let answers: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(answers.len(), denied.len(), "{outcome}");
    for (answer, (_, url, _)) in answers.iter().zip(&denied) {
        let (code, seconds) = answer.split_once(' ').unwrap();
        assert_eq!(code, "7", "{url}: {outcome}");
        assert!(seconds.parse::<f64>().unwrap() < 1.0, "{url} hung: {outcome}");
    }
    let report = host.report();
    let listed: BTreeSet<_> = report["denials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|denial| {
            assert_eq!(denial["reason"], "address-not-granted", "{report:#}");
            assert_eq!(
                (&denial["process"], &denial["port"]),
                (&"curl".into(), &443.into())
            );
            denial["destination"].as_str().unwrap()
        })
        .collect();
    let expected: BTreeSet<_> = denied.iter().map(|(_, _, address)| *address).collect();
    assert_eq!(listed, expected, "{report:#}");
}
