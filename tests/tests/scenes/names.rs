//! A name stops resolving in the middle, in every way there is.

use enforcer_lab::daemon::{LIMIT, wait_until};
use enforcer_lab::nameserver::{Fault, RecordType};
use enforcer_lab::{run_for, world};

use crate::host::{Host, of_families};

const RESOLVER: &str = "ttl_min = \"1s\"\ntimeout = \"500ms\"\ngrace = \"10m\"\n";
/// Another name of the policy, which goes on answering.
const OTHER: &str = "updates.example.com";
const BOTH: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

#[test]
fn a_name_that_stops_resolving_keeps_its_last_good_answer_and_disturbs_nobody() {
    let host = Host::new();
    let image = host
        .lab
        .publish(&host.lab.contoso, "app", "v1", &[50_000])
        .unwrap();
    let policy = format!("{}\n[[allow]]\nname = \"{OTHER}\"\n", world::CONTOSO_POLICY);
    let config = host.policy("policy.toml", &policy, RESOLVER, host.cgroup.path());
    // None of them is granted for another reason.
    let others = [
        world::STORAGE_ADDRESSES[0],
        world::BARE_ADDRESSES[0],
        world::FABRIKAM_ADDRESSES[0],
        world::CONTOSO_DATA_ADDRESSES[1],
    ];
    host.upstream.script(|zone| {
        zone.addresses(OTHER, 1, &others[..1]);
        zone.addresses(
            world::CONTOSO_DATA_HOST,
            1,
            &[world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[3]],
        );
    });
    let mut daemon = host.start(&config);
    for (fault, other) in [Fault::ServFail, Fault::Silence, Fault::NxDomain]
        .into_iter()
        .zip(1..)
    {
        let asked = || BOTH.map(|kind| host.upstream.count(world::CONTOSO_DATA, kind));
        host.upstream.script(|zone| {
            for kind in BOTH {
                zone.fault(world::CONTOSO_DATA, kind, fault);
            }
        });
        let before = asked();
        wait_until("a question for the dead name", || {
            asked().iter().zip(before).all(|(now, before)| *now > before)
        });
        if fault == Fault::ServFail {
            daemon.wait_for_all(of_families("can not be asked for its {family} addresses"));
        }
        host.upstream
            .script(|zone| zone.addresses(OTHER, 1, &others[other..=other]));
        daemon.wait_for("1 added, 0 removed");
        assert!(
            host.connects(others[other]),
            "{fault:?}: the other name is not followed"
        );
        run_for(host.shell(&host.pull("app:v1")), LIMIT)
            .unwrap()
            .expect_success(&format!("the pull from a name with {fault:?}"));
        assert!(image.is_in(&host.pulled("app:v1")));
        std::fs::remove_dir_all(host.pulled("app:v1")).unwrap();
    }
    daemon.stop();
    let told = daemon.told(world::CONTOSO_DATA);
    assert_eq!(told, 2, "once a family: {:#?}", daemon.seen);
    assert_eq!(daemon.told("can not be asked"), 2, "{:#?}", daemon.seen);
    assert!(daemon.denials().is_empty(), "{:#?}", daemon.seen);
}
