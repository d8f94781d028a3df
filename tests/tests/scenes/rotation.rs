//! Addresses rotate during a long pull: what is under way goes on, what comes next finds its way, nothing is denied.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::thread::JoinHandle;

use enforcer_lab::daemon::wait_until;
use enforcer_lab::nameserver::NameServer;
use enforcer_lab::{Image, Outcome, world};

use crate::host::{Host, adds_nothing, in_background};

/// A layer of the rotating pull takes a second.
const RATE: u64 = 128 * 1024;
/// Far more than are reached at that rate: the limit is lifted once the rotations are done.
const LAYERS: usize = 40;
/// One layer that lasts longer than all rotations.
const LONG_LAYER: usize = 48 * 128 * 1024;
const ROTATIONS: usize = 4;
/// Old addresses are kept for longer than the scene lasts.
const RESOLVER: &str = "ttl_min = \"1s\"\ngrace = \"10m\"\n";

/// The addresses of (login server, data endpoint) at each step, with none in common with the step before.
fn step(number: usize) -> ([&'static str; 2], [&'static str; 2]) {
    let login = [0, 1].map(|index| [index, index + 2].map(|index| world::CONTOSO_ADDRESSES[index]));
    let data = [0, 1, 2].map(|index| [index, index + 3].map(|index| world::CONTOSO_DATA_ADDRESSES[index]));
    (login[number % login.len()], data[number % data.len()])
}

fn script(server: &NameServer, number: usize) {
    let (login, data) = step(number);
    server.script(|zone| {
        zone.addresses(world::CONTOSO_HOST, 1, &login);
        zone.addresses(world::CONTOSO_DATA_HOST, 1, &data);
    });
}

/// Two images, and the script that pulls both while it visits the login server again and again.
struct Pulls {
    rotating: Image,
    long: Image,
    script: String,
}

impl Pulls {
    fn new(host: &Host) -> Self {
        script(&host.upstream, 0);
        script(&host.lab.name_server, 0);
        let publish =
            |name, layers: &[usize]| host.lab.publish(&host.lab.contoso, name, "v1", layers).unwrap();
        let rotating = publish("rotating", &[usize::try_from(RATE).unwrap(); LAYERS]);
        let long = publish("long", &[LONG_LAYER]);
        host.lab.limit_data_rate(RATE);
        host.lab.close_after_each_blob();
        let visit = format!("curl -sS --fail -o visited https://{}/v2/", world::CONTOSO);
        let script = format!(
            "cat /proc/self/cgroup > cgroup\n\
             {} & long=$!\n{} & rotating=$!\n\
             (until [ -e pulled ]; do {visit} || exit 1; sleep 0.1; done) & visits=$!\n\
             wait $long && wait $rotating; status=$?; touch pulled; wait $visits && exit $status",
            host.pull("long:v1"),
            host.pull("rotating:v1"),
        );
        Self {
            rotating,
            long,
            script,
        }
    }

    /// Rotates while `pull` runs, lets it end, and looks at what came of it.
    fn rotate(&self, host: &Host, pull: JoinHandle<Outcome>, plan_config: &Path) {
        let long_layer = format!("/{}/data", self.long.layers[0].trim_start_matches("sha256:"));
        let asks_for_long = |request: &Option<String>| {
            request
                .as_ref()
                .is_some_and(|request| request.contains(&long_layer))
        };
        let transfers = || {
            let mut visits = host.visits_to(world::CONTOSO_DATA, 0);
            visits.retain(|visit| asks_for_long(&visit.request));
            visits
        };
        wait_until("the begin of the long layer", || {
            assert!(!pull.is_finished(), "the pull ended too early");
            !transfers().is_empty()
        });
        for number in 1..=ROTATIONS {
            script(&host.upstream, number);
            wait_until("the grant of the new addresses", || {
                adds_nothing(&host.plan(plan_config))
            });
            script(&host.lab.name_server, number);
            let since = host.lab.visits().len();
            let (login, data) = step(number);
            for (name, addresses) in [(world::CONTOSO, login), (world::CONTOSO_DATA, data)] {
                let addresses = addresses.map(world::address);
                wait_until("a visit to the new addresses", || {
                    assert!(!pull.is_finished(), "the pull ended too early");
                    let visits = host.visits_to(name, since);
                    visits.iter().any(|visit| addresses.contains(&visit.local.ip()))
                });
            }
        }
        host.lab.limit_data_rate(0);
        pull.join().unwrap().expect_success("the pulls and the visits");
        assert!(self.rotating.is_in(&host.pulled("rotating:v1")));
        assert!(self.long.is_in(&host.pulled("long:v1")));

        // One connection, to an address of the first answers, which were long gone when it ended.
        let transfers = transfers();
        assert_eq!(transfers.len(), 1, "it was interrupted: {transfers:?}");
        let first = step(0).1.map(world::address);
        assert!(first.contains(&transfers[0].local.ip()), "{transfers:?}");
        let served: BTreeSet<IpAddr> = host
            .visits_to(world::CONTOSO_DATA, 0)
            .into_iter()
            .filter(|visit| visit.request.is_some() && !asks_for_long(&visit.request))
            .map(|visit| visit.local.ip())
            .collect();
        assert!(served.len() >= 3, "layers came from {served:?} only");
    }
}

#[test]
fn under_exec_a_long_pull_outlives_rotations() {
    let host = Host::new();
    let pulls = Pulls::new(&host);
    let root = host.cgroup.path().parent().unwrap();
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, RESOLVER, root);
    let pull = in_background(host.exec(&config, &pulls.script));
    let mut path = String::new();
    wait_until("the start of the command", || {
        assert!(!pull.is_finished(), "exec ended at once");
        path = fs::read_to_string(host.lab.folder().join("cgroup")).unwrap_or_default();
        path.ends_with('\n')
    });
    let path = path.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let its_own = host.policy("plan.toml", world::CONTOSO_POLICY, RESOLVER, &root.join(path));
    pulls.rotate(&host, pull, &its_own);
    assert_eq!(host.report()["denied"], 0, "{:#}", host.report());
}

#[test]
fn under_run_a_long_pull_outlives_rotations() {
    let host = Host::new();
    let pulls = Pulls::new(&host);
    let config = host.policy("policy.toml", world::CONTOSO_POLICY, RESOLVER, host.cgroup.path());
    let mut daemon = host.start(&config);
    let pull = in_background(host.shell(&pulls.script));
    pulls.rotate(&host, pull, &config);
    daemon.stop();
    assert!(daemon.denials().is_empty(), "{:#?}", daemon.seen);
}
