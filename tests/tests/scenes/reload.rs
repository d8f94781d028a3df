//! The policy is reloaded again and again while a host is busy.

use std::fs;

use enforcer_lab::daemon::wait_until;
use enforcer_lab::nameserver::{Fault, RecordType};
use enforcer_lab::world;

use crate::host::{Host, changes_nothing, in_background, probe};

/// Reloads that are waited for, and those that follow each other as fast as they can.
const RELOADS: usize = 32;
const BURST: usize = 16;
const RESOLVER: &str = "ttl_min = \"1s\"\n";
const BROKEN: &str = "[[registry]]\nlogin_servr = \"contoso.azurecr.io\"\n";

#[test]
fn reloads_under_load_change_what_differs_and_break_nothing() {
    let host = Host::new();
    host.lab
        .publish(&host.lab.contoso, "app", "v1", &[50_000])
        .unwrap();
    let rules = [
        "[[registry]]\nlogin_server = \"fabrikam.azurecr.io\"\n",
        "[[allow]]\nprefix = \"203.0.113.0/24\"\n\n[[allow]]\nprefix = \"2001:db8:2::/48\"\n",
    ]
    .map(|more| format!("{}\n{more}", world::CONTOSO_POLICY));
    // The addresses that one of the two grants.
    let only_in = [world::FABRIKAM_ADDRESSES, world::BARE_ADDRESSES];
    let install = |number: usize| host.policy("policy.toml", &rules[number], RESOLVER, host.cgroup.path());
    let holds = |number: usize| {
        only_in.iter().enumerate().all(|(owner, addresses)| {
            addresses
                .iter()
                .all(|address| host.connects(address) == (owner == number))
        })
    };
    let config = install(0);
    let mut daemon = host.start(&config);

    let [v4, v6] = [0, 2].map(|index| probe("tcp", world::CONTOSO_ADDRESSES[index]));
    let visit = format!("curl -sS --fail -o visited https://{}/v2/", world::CONTOSO);
    let load = [
        ("connects", format!("{v4} && {v6}")),
        ("visits", visit),
        ("pulls", format!("{} && rm -r out", host.pull("app:v1"))),
    ]
    .map(|(name, work)| {
        let script = format!("until [ -e stop ]; do {work} || exit 1; echo . >> {name}; sleep 0.02; done");
        (name, in_background(host.shell(&script)))
    });
    let done = |name: &str| {
        fs::read_to_string(host.lab.folder().join(name))
            .unwrap_or_default()
            .len()
    };
    let wait_for_load = || {
        for (name, work) in &load {
            let before = done(name);
            wait_until(name, || {
                assert!(!work.is_finished(), "the {name} failed");
                done(name) > before
            });
        }
    };

    wait_for_load();
    for reload in 1..=RELOADS {
        if reload % 5 == 0 {
            host.replace("policy.toml", BROKEN);
            daemon.reload();
            daemon.wait_for("the reload failed, the policy from before stays in force");
            assert!(holds((reload - 1) % 2), "a broken file changed the policy");
        }
        install(reload % 2);
        daemon.reload();
        daemon.wait_for("enforcing on");
        assert!(holds(reload % 2), "reload {reload}");
    }
    for reload in 0..BURST {
        install(reload % 2);
        daemon.reload();
    }
    let last = (BURST - 1) % 2;
    wait_until("the policy of the last file", || {
        changes_nothing(&host.plan(&config))
    });
    assert!(holds(last));
    // A broken file at the very end: what the last good one says stays in force.
    let good = host.policy("good.toml", &rules[last], RESOLVER, host.cgroup.path());
    host.replace("policy.toml", BROKEN);
    let refused = daemon.told("the reload failed");
    daemon.reload();
    wait_until("the refusal", || daemon.told("the reload failed") > refused);
    let plan = host.plan(&good);
    assert!(changes_nothing(&plan), "{plan:#}");

    wait_for_load();
    fs::write(host.lab.folder().join("stop"), "").unwrap();
    for (name, work) in load {
        work.join().unwrap().expect_success(name);
    }
    daemon.stop();
    for address in world::CONTOSO_ADDRESSES
        .iter()
        .chain(&world::CONTOSO_DATA_ADDRESSES)
    {
        let destination = std::net::SocketAddr::new(world::address(address), 443);
        assert_eq!(
            daemon.told(&format!("to {destination} ")),
            0,
            "{:#?}",
            daemon.seen
        );
    }
}

#[test]
fn a_reload_that_fails_takes_nothing_away() {
    let host = Host::new();
    let both = format!(
        "{}\n[[registry]]\nlogin_server = \"fabrikam.azurecr.io\"\n",
        world::CONTOSO_POLICY
    );
    let config = host.policy("policy.toml", &both, RESOLVER, host.cgroup.path());
    let data = [world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[1]];
    host.upstream
        .script(|zone| zone.addresses(world::CONTOSO_DATA_HOST, 1, &data[..1]));
    let mut daemon = host.start(&config);
    // What is forgotten now can not be asked for again.
    host.upstream.script(|zone| {
        for kind in [RecordType::A, RecordType::AAAA] {
            zone.fault(world::FABRIKAM, kind, Fault::ServFail);
        }
    });
    let nowhere = host.cgroup.path().with_file_name("enforcer-no-such-group");
    host.policy("policy.toml", world::CONTOSO_POLICY, RESOLVER, &nowhere);
    daemon.reload();
    daemon.wait_for("the reload failed, the policy from before stays in force");
    // Answers are followed again, which is when a name that was forgotten would lose its addresses.
    host.upstream
        .script(|zone| zone.addresses(world::CONTOSO_DATA_HOST, 1, &data[1..]));
    daemon.wait_for("1 added");
    for address in world::FABRIKAM_ADDRESSES {
        assert!(host.connects(address), "{address} went with a reload that failed");
    }
    daemon.stop();
}

#[test]
fn answers_are_followed_while_the_names_of_a_reload_are_slow() {
    let host = Host::new();
    // Silence lasts until the reload goes on without.
    let resolver = "ttl_min = \"1s\"\ntimeout = \"60s\"\n";
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, resolver, host.cgroup.path());
    let data = [world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[1]];
    host.upstream.script(|zone| {
        zone.addresses(world::CONTOSO_DATA_HOST, 1, &data[..1]);
        for kind in [RecordType::A, RecordType::AAAA] {
            zone.fault(world::FABRIKAM, kind, Fault::Silence);
        }
    });
    let mut daemon = host.start(&config);
    let more = format!(
        "{}\n[[registry]]\nlogin_server = \"fabrikam.azurecr.io\"\n",
        world::CONTOSO_POLICY
    );
    host.policy("policy.toml", &more, resolver, host.cgroup.path());
    daemon.reload();
    daemon.wait_for("reloading");
    host.upstream
        .script(|zone| zone.addresses(world::CONTOSO_DATA_HOST, 1, &data[1..]));
    daemon.wait_for("1 added, 0 removed");
    assert!(host.connects(data[1]));
    assert_eq!(
        daemon.told("rule 2: registry fabrikam"),
        0,
        "the reload did not wait"
    );
    daemon.wait_for("rule 2: registry fabrikam");
    daemon.stop();
}
