//! Answers that do not fit UDP, and answers that do not fit the limits.

use enforcer_lab::daemon::{LIMIT, wait_until};
use enforcer_lab::nameserver::{Fault, RecordType};
use enforcer_lab::{run_for, world};

use crate::host::{Host, changes_nothing, of_families};

/// More than fit a datagram of 1232 octets in either family.
const MANY: usize = 100;
const RESOLVER: &str = "ttl_min = \"1s\"\naddresses_max = 100\ngrace = \"0s\"\n";

/// `count` addresses of both families, `own` among them.
fn with_others(count: usize, own: [&str; 2]) -> Vec<String> {
    let others = (1..count).flat_map(|host| [format!("203.0.113.{host}"), format!("2001:db8:3::{host}")]);
    own.map(str::to_owned).into_iter().chain(others).collect()
}

#[test]
fn a_truncated_answer_is_granted_whole_and_one_that_is_too_large_changes_nothing() {
    let host = Host::new();
    let image = host
        .lab
        .publish(&host.lab.contoso, "app", "v1", &[50_000])
        .unwrap();
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, RESOLVER, host.cgroup.path());
    let data = [world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[3]];
    let answer = |addresses: &[String]| {
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        host.upstream
            .script(|zone| zone.addresses(world::CONTOSO_DATA_HOST, 1, &addresses));
    };
    // One is truncated since it is large, the other although it is small.
    answer(&with_others(MANY, data));
    host.upstream.script(|zone| {
        zone.fault(world::CONTOSO_HOST, RecordType::A, Fault::Truncate);
        zone.fault(world::CONTOSO_HOST, RecordType::AAAA, Fault::Truncate);
    });
    let mut daemon = host.start(&config);
    for name in [world::CONTOSO, world::CONTOSO_DATA] {
        for kind in [RecordType::A, RecordType::AAAA] {
            let by_tcp = host.upstream.asked();
            let by_tcp = by_tcp
                .iter()
                .any(|asked| asked.tcp && asked.name == name && asked.kind == kind);
            assert!(by_tcp, "{name} {kind}");
        }
    }
    let pull = |what: &str| {
        run_for(host.shell(&host.pull("app:v1")), LIMIT)
            .unwrap()
            .expect_success(what);
        assert!(image.is_in(&host.pulled("app:v1")));
        std::fs::remove_dir_all(host.pulled("app:v1")).unwrap();
    };
    pull("after truncated answers");
    assert!(
        host.connects(world::BARE_ADDRESSES[0]),
        "203.0.113.99 is one of the answer"
    );

    // One address too many, without those of before.
    let moved = [world::CONTOSO_DATA_ADDRESSES[1], world::CONTOSO_DATA_ADDRESSES[4]];
    answer(&with_others(MANY + 1, moved));
    let too_large =
        "can not be asked for its {family} addresses: the answer has 101 addresses, 100 are the most";
    daemon.wait_for_all(of_families(too_large));
    pull("after an answer that is too large");
    assert!(
        moved.iter().all(|address| !host.connects(address)),
        "it was taken in"
    );
    assert!(host.connects(world::BARE_ADDRESSES[0]), "the old answer went");

    // One that fits is taken in again, and the old one goes.
    answer(&moved.map(str::to_owned));
    daemon.wait_for_all(of_families("answers again ({family})"));
    wait_until("the grant of the small answer", || {
        changes_nothing(&host.plan(&config))
    });
    host.lab
        .name_server
        .script(|zone| zone.addresses(world::CONTOSO_DATA_HOST, 1, &moved));
    pull("after an answer that fits again");
    assert!(!host.connects(world::BARE_ADDRESSES[0]), "the old answer stayed");
    daemon.stop();
}
