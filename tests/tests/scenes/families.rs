//! A pull works by IPv4 alone, by IPv6 alone, and when the question for one of the two fails.

use std::net::IpAddr;

use enforcer_lab::daemon::LIMIT;
use enforcer_lab::nameserver::{Fault, RecordType};
use enforcer_lab::{run_for, world};

use crate::host::Host;

/// Whether an address is of the family that is looked at.
type IsOfFamily = fn(&IpAddr) -> bool;

/// The ends of the chains that a pull needs, with their addresses.
fn ends() -> [(&'static str, Vec<&'static str>); 3] {
    let data = [world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[3]];
    [
        (world::CONTOSO_HOST, world::CONTOSO_ADDRESSES.to_vec()),
        (world::CONTOSO_DATA_HOST, data.to_vec()),
        (world::SERVICE, world::SERVICE_ADDRESSES.to_vec()),
    ]
}

/// Pulls under exec and demands that every visit was by the family that `expected` knows.
fn pull_by(host: &Host, image: &str, expected: IsOfFamily) {
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, "", host.cgroup.path());
    let published = host
        .lab
        .publish(&host.lab.contoso, image, "v1", &[50_000])
        .unwrap();
    let since = host.lab.visits().len();
    let image = format!("{image}:v1");
    run_for(host.exec(&config, &host.pull(&image)), LIMIT)
        .unwrap()
        .expect_success(&image);
    assert!(published.is_in(&host.pulled(&image)));
    assert_eq!(host.report()["denied"], 0, "{:#}", host.report());
    let visits = host.lab.visits().split_off(since);
    assert!(!visits.is_empty());
    assert!(
        visits.iter().all(|visit| expected(&visit.local.ip())),
        "{visits:?}"
    );
}

#[test]
fn a_pull_works_by_either_family_alone() {
    let host = Host::new();
    let families: [(&str, IsOfFamily); 2] = [("v4", IpAddr::is_ipv4), ("v6", IpAddr::is_ipv6)];
    for (image, is_of_family) in families {
        for server in [&host.upstream, &host.lab.name_server] {
            for (name, mut addresses) in ends() {
                addresses.retain(|address| is_of_family(&world::address(address)));
                server.script(|zone| zone.addresses(name, 10, &addresses));
            }
        }
        pull_by(&host, image, is_of_family);
    }
}

#[test]
fn a_pull_works_when_one_familys_question_fails() {
    let host = Host::new();
    let families: [(&str, RecordType, IsOfFamily); 2] = [
        ("without-v6", RecordType::AAAA, IpAddr::is_ipv4),
        ("without-v4", RecordType::A, IpAddr::is_ipv6),
    ];
    for (image, failing, expected) in families {
        for (name, mut addresses) in ends() {
            host.upstream.script(|zone| {
                zone.heal(name, RecordType::A);
                zone.heal(name, RecordType::AAAA);
                zone.fault(name, failing, Fault::ServFail);
            });
            // Not a failure for the client, whose own resolver may give the whole name up.
            addresses.retain(|address| expected(&world::address(address)));
            host.lab
                .name_server
                .script(|zone| zone.addresses(name, 10, &addresses));
        }
        pull_by(&host, image, expected);
    }
}
