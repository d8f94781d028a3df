//! The policy is reloaded again and again while a host is busy.

use std::fs;

use enforcer_lab::world;

use crate::host::{Host, changes_nothing, in_background, probe, wait_until};

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
