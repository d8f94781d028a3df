//! What is pinned outlives its daemon, is taken over without a gap, and is put back when somebody takes it away.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use enforcer::config::{Capacity, Existing, Mode, Quic, RuleId};
use enforcer::endpoints::Condition;
use enforcer::kernel::{
    Ahead, Damage, Enforcement, Image, KernelError, LinkFound, MapsFound, Pins, Settings, Trial, Was,
    WrongVerdict, pins, self_check,
};
use enforcer::policy::table::{Grant, Table};
use enforcer_common::table::Generation;
use enforcer_lab::caller::Caller;
use enforcer_lab::vectors::{FOREIGN_V4, GRANTED_V4, PORTS, policy};
use enforcer_lab::wire::Wire;
use enforcer_lab::{Cgroup, Instance};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

const GRANTED: SocketAddr = SocketAddr::new(IpAddr::V4(GRANTED_V4), 443);
const FOREIGN: SocketAddr = SocketAddr::new(IpAddr::V4(FOREIGN_V4), 443);
const ENFORCE: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Deny,
    existing: Existing::Deny,
};
const HOOKS: [&str; 5] = ["egress", "connect4", "connect6", "sendmsg4", "sendmsg6"];

/// A process in a cgroup, and the pins of what judges it.
struct Bench {
    caller: Caller,
    cgroup: Cgroup,
    _wire: Wire,
    instance: Instance,
    sockets: u32,
}

impl Bench {
    fn new() -> Self {
        let wire = Wire::new().expect("the hosts need root and `cargo xtask setup`");
        let cgroup = Cgroup::new("pins").unwrap();
        let caller = Caller::start(wire.near(), &cgroup).unwrap();
        Self {
            caller,
            cgroup,
            _wire: wire,
            instance: Instance::new("pins").unwrap(),
            sockets: 0,
        }
    }

    fn load(&self) -> (Enforcement, MapsFound) {
        self.load_for(&PORTS)
    }

    fn load_for(&self, ports: &[u16]) -> (Enforcement, MapsFound) {
        let pins = Arc::new(Pins::open(self.instance.name()).unwrap());
        Enforcement::load_pinned(ports, Capacity::default(), &pins).unwrap()
    }

    fn attach(&self, enforcement: &mut Enforcement) -> Vec<LinkFound> {
        let folder = File::open(self.cgroup.path()).unwrap();
        enforcement.attach(folder.as_fd(), self.cgroup.path()).unwrap()
    }

    fn repair(&self, enforcement: &mut Enforcement) {
        let folder = File::open(self.cgroup.path()).unwrap();
        enforcement.repair(folder.as_fd(), self.cgroup.path()).unwrap();
    }

    /// With the policy of the vectors.
    fn enforce(&self) -> Enforcement {
        let (mut enforcement, found) = self.load();
        assert_eq!((found.policy, found.flows), (Was::Missing, Was::Missing));
        enforcement.publish(&policy().unwrap(), ENFORCE);
        assert_eq!(self.attach(&mut enforcement), [LinkFound::Missing; 5]);
        enforcement
    }

    fn cgroup_id(&self) -> u64 {
        fs::metadata(self.cgroup.path()).unwrap().ino()
    }

    fn damages(&self, enforcement: &Enforcement) -> Vec<Damage> {
        enforcement.damages(self.cgroup_id())
    }

    /// A connected socket, or the error.
    fn connect(&mut self, to: SocketAddr) -> Result<String, String> {
        self.sockets += 1;
        let name = format!("s{}", self.sockets);
        self.caller.call(&format!("socket {name} inet stream 0")).unwrap();
        self.caller
            .call(&format!("connect {name} {to}"))
            .map(|_| name)
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn is_enforced(&mut self) {
        let refused = self.connect(FOREIGN).expect_err("a foreign address is denied");
        assert!(refused.contains("not permitted"), "{refused}");
        let socket = self.connect(GRANTED).expect("a granted address is reached");
        assert_eq!(
            self.caller.call(&format!("exchange {socket} 1000")).unwrap(),
            1000
        );
    }

    fn pin(&self, name: &str) -> std::path::PathBuf {
        self.instance.pins().join(name)
    }
}

/// The number of the link that is pinned there, and of its program.
fn link_of(path: &Path) -> (String, String) {
    let output = Command::new("bpftool")
        .args(["-j", "link", "show", "pinned"])
        .arg(path)
        .output()
        .expect("`cargo xtask setup` installs bpftool");
    let link: serde_json::Value = serde_json::from_slice(&output.stdout).expect("bpftool tells of a link");
    (link["id"].to_string(), link["prog_id"].to_string())
}

#[test]
fn enforcement_outlives_its_process() {
    let mut bench = Bench::new();
    let enforcement = bench.enforce();
    bench.is_enforced();
    drop(enforcement);
    bench.is_enforced();
}

#[test]
fn the_next_goes_on_with_policy_and_connections() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    let generation = enforcement.publish(&policy().unwrap(), ENFORCE);
    let open = bench.connect(GRANTED).unwrap();
    let before = link_of(&bench.pin("egress"));
    let denied = enforcement.counters().unwrap().denied();
    bench.is_enforced();
    drop(enforcement);

    let (mut next, found) = bench.load();
    assert_eq!((found.policy, found.flows), (Was::Taken, Was::Taken));
    assert_eq!(next.generation(), generation);
    let policy_found = next.policy().unwrap().expect("the policy of before");
    assert_eq!(policy_found.ranges, policy().unwrap().ranges());
    assert_eq!(policy_found.settings, ENFORCE);
    assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
    let after = link_of(&bench.pin("egress"));
    assert_eq!(before.0, after.0, "it is the same link");
    assert_ne!(before.1, after.1, "with another program");
    assert!(next.counters().unwrap().denied() > denied, "counters go on");
    assert_eq!(bench.damages(&next), []);
    bench.is_enforced();
    assert_eq!(bench.caller.call(&format!("exchange {open} 1000")).unwrap(), 1000);
    // One set of programs is pinned, and nothing that was under way.
    let mut names: Vec<String> = fs::read_dir(bench.instance.pins())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 5 + 3, "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("new-")), "{names:?}");
}

#[test]
fn other_ports_come_with_the_same_links_and_connections() {
    let mut bench = Bench::new();
    let first = bench.enforce();
    let open = bench.connect(GRANTED).unwrap();
    assert_eq!(bench.caller.call(&format!("exchange {open} 1000")).unwrap(), 1000);
    drop(first);
    let (mut second, _) = bench.load_for(&[443, 9443]);
    assert_eq!(bench.attach(&mut second), [LinkFound::Replaced; 5]);
    bench.is_enforced();
    assert_eq!(bench.caller.call(&format!("exchange {open} 1000")).unwrap(), 1000);
    let other = SocketAddr::new(FOREIGN.ip(), 9443);
    assert!(bench.connect(other).unwrap_err().contains("not permitted"));
}

#[test]
fn a_second_one_is_refused_and_told_who_is_there() {
    let bench = Bench::new();
    let enforcement = bench.enforce();
    match Pins::open(bench.instance.name()) {
        Err(KernelError::Busy { instance, pid }) => {
            assert_eq!(instance, bench.instance.name());
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("it is locked: {other:?}"),
    }
    drop(enforcement);
    Pins::open(bench.instance.name()).unwrap();
}

#[test]
fn what_somebody_takes_away_is_noticed_and_put_back() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    assert_eq!(bench.damages(&enforcement), []);
    for name in HOOKS {
        let status = Command::new("bpftool")
            .args(["link", "detach", "pinned"])
            .arg(bench.pin(name))
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(bench.damages(&enforcement), [Damage::Detached(name)]);
        bench.repair(&mut enforcement);
        assert_eq!(bench.damages(&enforcement), []);
        bench.is_enforced();

        fs::remove_file(bench.pin(name)).unwrap();
        assert_eq!(bench.damages(&enforcement), [Damage::Pin(name)]);
        bench.is_enforced();
        bench.repair(&mut enforcement);
        assert_eq!(bench.damages(&enforcement), []);
    }
    fs::remove_dir_all(bench.instance.pins()).unwrap();
    assert!(bench.damages(&enforcement).len() > HOOKS.len());
    bench.is_enforced();
    bench.repair(&mut enforcement);
    assert_eq!(bench.damages(&enforcement), []);
    drop(enforcement);
    bench.is_enforced();
    let (next, found) = bench.load();
    assert_eq!(found.policy, Was::Taken);
    assert_eq!(next.generation(), Generation(1));
}

#[test]
fn maps_that_do_not_fit_are_replaced_and_enforcement_goes_on() {
    for (name, put) in [("HEADER", "NAMES"), ("FLOWS", "PIECES_0"), ("EVENTS", "")] {
        let mut bench = Bench::new();
        drop(bench.enforce());
        let group = if name == "FLOWS" { "flow-" } else { "abi-" };
        let folder = fs::read_dir(bench.instance.pins())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(group))
            .unwrap();
        fs::remove_file(folder.join(name)).unwrap();
        if !put.is_empty() {
            fs::rename(folder.join(put), folder.join(name)).unwrap();
        }
        let (mut next, found) = bench.load();
        let (damaged, whole) = match name {
            "FLOWS" => (found.flows, found.policy),
            _ => (found.policy, found.flows),
        };
        assert!(
            matches!(&damaged, Was::Unfit(why) if why.contains(name)),
            "{damaged:?}"
        );
        assert_eq!(whole, Was::Taken);
        // The links still run what was there before.
        bench.is_enforced();
        next.publish(&policy().unwrap(), ENFORCE);
        assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
        bench.is_enforced();
        assert_eq!(bench.damages(&next), []);
    }
}

#[test]
fn maps_of_another_version_are_told_of_and_swept() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let pins = bench.instance.pins();
    let folder = fs::read_dir(&pins)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("abi-"))
        .unwrap();
    fs::rename(&folder, pins.join("abi-1")).unwrap();
    fs::create_dir(pins.join("new-abi-1")).unwrap();
    let (mut next, found) = bench.load();
    assert!(
        matches!(&found.policy, Was::Unfit(why) if why.contains("version 1")),
        "{found:?}"
    );
    bench.is_enforced();
    next.publish(&policy().unwrap(), ENFORCE);
    bench.attach(&mut next);
    bench.is_enforced();
    assert!(!pins.join("abi-1").exists() && !pins.join("new-abi-1").exists());
}

#[test]
fn another_cgroup_is_judged_and_the_old_one_no_longer() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let other = Cgroup::new("other").unwrap();
    let (mut next, _) = bench.load();
    let folder = File::open(other.path()).unwrap();
    let found = next.attach(folder.as_fd(), other.path()).unwrap();
    assert_eq!(found, [LinkFound::Elsewhere; 5]);
    bench.connect(FOREIGN).expect("it is no longer judged");
}

#[test]
fn an_enforcement_that_is_not_confirmed_reverts_by_itself() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    let boot = rustix_now();
    enforcement.set_revert(Some(boot + Duration::from_secs(3600)));
    bench.is_enforced();
    enforcement.set_revert(Some(boot));
    assert_eq!(enforcement.revert(), Some(boot));
    drop(enforcement);
    bench.connect(FOREIGN).expect("only reported");
    let confirmed = pins::confirm(bench.instance.name()).unwrap();
    assert_eq!(confirmed, Some((true, Generation(1))));
    bench.is_enforced();
    assert_eq!(
        pins::confirm(bench.instance.name()).unwrap(),
        Some((false, Generation(1)))
    );
    assert_eq!(pins::confirm("enf-nobody").unwrap(), None);
}

fn rustix_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

#[test]
fn the_self_check_sees_what_the_programs_do_and_leaves_no_trace() {
    let bench = Bench::new();
    let mut enforcement = bench.enforce();
    let ranges = policy().unwrap().ranges();
    let probe = enforcement.probe().unwrap();
    let audit = Settings {
        mode: Mode::Audit,
        ..ENFORCE
    };
    for settings in [ENFORCE, audit] {
        enforcement.publish(&policy().unwrap(), settings);
        assert_eq!(self_check(&probe, &Trial::of(&ranges), 443).unwrap(), None);
        // A port that nobody filters: everything passes, as it would without the programs.
        assert!(matches!(
            self_check(&probe, &Trial::of(&ranges), 8080).unwrap(),
            Some(WrongVerdict::Passed(_))
        ));
        // Another policy than the one that should be in force.
        let other = Table::of(&[], &[]).unwrap();
        enforcement.publish(&other, settings);
        assert!(matches!(
            self_check(&probe, &Trial::of(&ranges), 443).unwrap(),
            Some(WrongVerdict::Dropped(_))
        ));
    }
    assert_eq!(enforcement.counters().unwrap().denied(), 0);
}

#[test]
fn tables_of_another_capacity_are_replaced_while_the_old_ones_judge() {
    let mut bench = Bench::new();
    let mut enforcement = bench.enforce();
    // Nobody has confirmed it: with other tables it has to be confirmed all the same.
    let limit = rustix_now() + Duration::from_secs(3600);
    enforcement.set_revert(Some(limit));
    drop(enforcement);
    // More than one element of the map: the programs find their way in it otherwise.
    let other = Capacity::new(2 * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let pins = Arc::new(Pins::open(bench.instance.name()).unwrap());
    let (mut next, found) = Enforcement::load_pinned(&PORTS, other, &pins).unwrap();
    assert!(
        matches!(&found.policy, Was::Unfit(why) if why.contains("TABLE_V4")),
        "{found:?}"
    );
    assert_eq!((found.flows, next.capacity()), (Was::Taken, other));
    assert_eq!(next.revert(), Some(limit));
    bench.is_enforced();
    let grant = Grant {
        net: IpAddr::V4(GRANTED_V4).into(),
        rule: RuleId(1),
        condition: Condition::Unconditional,
    };
    let mut table = Table::new(other);
    table.fill(&[grant], &[]).unwrap();
    next.publish(&table, ENFORCE);
    bench.attach(&mut next);
    bench.is_enforced();
    drop(next);
    let (next, found) = Enforcement::load_pinned(&PORTS, other, &pins).unwrap();
    assert_eq!((found.policy, found.flows), (Was::Taken, Was::Taken));
    assert_eq!(next.policy().unwrap().unwrap().ranges, table.ranges());
}

impl Bench {
    /// In force, with what egress goes on with still to be loaded.
    fn enforce_first(&self) -> Enforcement {
        let pins = Arc::new(Pins::open(self.instance.name()).unwrap());
        let (mut first, found) =
            Enforcement::load_first(&PORTS, Capacity::default(), &pins, Ahead::start()).unwrap();
        assert_eq!((found.policy, found.flows), (Was::Missing, Was::Missing));
        first.publish(&policy().unwrap(), ENFORCE);
        assert_eq!(self.attach(&mut first), [LinkFound::Missing; 5]);
        first
    }

    /// Nothing judges, and the next start finds nothing.
    #[track_caller]
    fn is_as_before(&mut self) {
        self.connect(FOREIGN).expect("nothing is denied");
        for name in HOOKS {
            assert!(!self.pin(name).exists(), "{name} is pinned");
        }
        drop(self.enforce());
        self.is_enforced();
    }
}

#[test]
fn nothing_is_pinned_before_all_is_loaded() {
    let mut bench = Bench::new();
    let mut first = bench.enforce_first();
    assert!(bench.connect(FOREIGN).unwrap_err().contains("not permitted"));
    for name in HOOKS {
        assert!(!bench.pin(name).exists(), "{name} is pinned");
    }
    first.load_rest().unwrap();
    assert_eq!(bench.damages(&first), []);
    bench.is_enforced();
    drop(first);
    bench.is_enforced();
    // What is pinned by now is replaced as a whole.
    let pins = Arc::new(Pins::open(bench.instance.name()).unwrap());
    let (mut next, found) =
        Enforcement::load_first(&PORTS, Capacity::default(), &pins, Ahead::start()).unwrap();
    assert_eq!((found.policy, found.flows), (Was::Taken, Was::Taken));
    assert_eq!(bench.attach(&mut next), [LinkFound::Replaced; 5]);
    next.load_rest().unwrap();
    assert_eq!(bench.damages(&next), []);
    bench.is_enforced();
}

#[test]
fn a_table_that_is_put_back_is_enforced_as_it_was() {
    let mut bench = Bench::new();
    let before = bench.enforce();
    let image = Image::from_bytes(&before.image().unwrap().unwrap().to_bytes()).unwrap();
    let expected = before.policy().unwrap().unwrap();
    drop(before);
    let open = || Arc::new(Pins::open(bench.instance.name()).unwrap());
    // Not where there is a policy already.
    let (mut next, _) = Enforcement::load_first(&PORTS, image.capacity(), &open(), Ahead::start()).unwrap();
    assert!(!next.is_unfinished());
    assert!(matches!(next.put_back(&image), Err(KernelError::Map { .. })));
    assert_eq!(next.policy().unwrap().unwrap(), expected);
    drop(next);
    let pins = Pins::open_existing(bench.instance.name()).unwrap().unwrap();
    pins.remove().unwrap();
    assert!(!pins::is_anything_pinned(bench.instance.name()));

    // Nor in tables of another size, which stay without any.
    let pins = open();
    let other = Capacity::new(2 * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let (mut next, _) = Enforcement::load_first(&PORTS, other, &pins, Ahead::start()).unwrap();
    assert!(matches!(next.put_back(&image), Err(KernelError::Map { .. })));
    assert_eq!(next.policy().unwrap(), None);
    drop(next);
    assert!(!pins::is_anything_pinned(bench.instance.name()));

    let (mut next, _) = Enforcement::load_first(&PORTS, image.capacity(), &pins, Ahead::start()).unwrap();
    assert!(next.is_unfinished());
    next.put_back(&image).unwrap();
    let found = next.policy().unwrap().unwrap();
    assert_eq!(
        (found.settings, &found.ranges, &found.names),
        (expected.settings, &expected.ranges, &expected.names)
    );
    bench.attach(&mut next);
    let refused = bench.connect(FOREIGN).expect_err("a foreign address is denied");
    assert!(refused.contains("not permitted"), "{refused}");
    next.verify_rest().unwrap();
    assert!(next.is_unfinished() && !bench.pin("egress").exists());
    next.load_rest().unwrap();
    assert!(!next.is_unfinished() && pins::is_anything_pinned(bench.instance.name()));
    bench.is_enforced();
    // Another one goes on from there as ever.
    let generation = next.generation();
    assert!(next.publish(&policy().unwrap(), ENFORCE) > generation);
    bench.is_enforced();
}

#[test]
fn a_first_step_alone_leaves_nothing() {
    let mut bench = Bench::new();
    let first = bench.enforce_first();
    drop(first);
    bench.is_as_before();
}

#[test]
fn a_second_step_that_fails_takes_the_first_one_back() {
    let mut bench = Bench::new();
    let mut first = bench.enforce_first();
    fs::remove_dir_all(bench.instance.pins()).unwrap();
    let failed = first.load_rest().expect_err("there is no place for the pins");
    assert!(matches!(failed, KernelError::Pins { .. }), "{failed}");
    bench.connect(FOREIGN).expect("nothing is denied");
    drop(first);
    bench.is_as_before();
}

/// Without this capability the verifier takes the hooks, and none of what reads a hello.
#[test]
fn a_program_of_the_second_step_that_is_refused_takes_all_back() {
    let mut bench = Bench::new();
    let mut first = bench.enforce_first();
    let failed = std::thread::scope(|scope| {
        let refused = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            for capability in [CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN] {
                sets.effective.remove(capability);
            }
            set_capabilities(None, sets).unwrap();
            first.load_rest().expect_err("it is refused")
        });
        refused.join().unwrap()
    });
    assert!(matches!(failed, KernelError::Load { .. }), "{failed}");
    // Also while somebody still holds it.
    bench.connect(FOREIGN).expect("nothing is denied");
    assert!(!pins::is_anything_pinned(bench.instance.name()));
    drop(first);
    bench.is_as_before();
}

#[test]
fn hooks_that_can_not_all_be_attached_go_on_with_their_old_programs() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let of = |bench: &Bench| ["egress", "connect4", "connect6"].map(|name| link_of(&bench.pin(name)));
    let before = of(&bench);
    // Nothing can be pinned in the place of a folder, so a new link is of no use there.
    fs::remove_file(bench.pin("sendmsg4")).unwrap();
    fs::create_dir(bench.pin("sendmsg4")).unwrap();
    fs::create_dir(bench.pin("sendmsg4").join("in-the-way")).unwrap();
    let (mut next, found) = bench.load_for(&[8443]);
    assert_eq!(found.policy, Was::Taken);
    let folder = File::open(bench.cgroup.path()).unwrap();
    let failed = next.attach(folder.as_fd(), bench.cgroup.path()).unwrap_err();
    assert!(
        matches!(
            failed,
            KernelError::Attach {
                program: "enforcer_sendmsg4",
                ..
            }
        ),
        "{failed}"
    );
    assert_eq!(of(&bench), before, "the same links, with the same programs");
    bench.is_enforced();
    drop(next);
    bench.is_enforced();

    // Where the old programs are gone, that is said, and those that could be brought back are.
    let folders = fs::read_dir(bench.instance.pins())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for programs in folders.filter(|path| path.to_string_lossy().contains("/programs-")) {
        fs::remove_file(programs.join("enforcer_connect4")).unwrap();
    }
    let (mut next, _) = bench.load();
    let failed = next.attach(folder.as_fd(), bench.cgroup.path()).unwrap_err();
    let KernelError::HalfAttached { program, left, .. } = &failed else {
        panic!("{failed}");
    };
    assert_eq!((*program, &left[..]), ("enforcer_sendmsg4", &["connect4"][..]));
    let now = of(&bench);
    assert_eq!((&now[0], &now[2]), (&before[0], &before[2]));
    assert_ne!(now[1], before[1]);
    bench.is_enforced();
    drop(next);

    // The next start finds its way.
    fs::remove_dir_all(bench.pin("sendmsg4")).unwrap();
    let (mut next, _) = bench.load();
    let found = bench.attach(&mut next);
    assert_eq!(
        found
            .iter()
            .filter(|found| **found == LinkFound::Replaced)
            .count(),
        4
    );
    assert_eq!(bench.damages(&next), []);
    bench.is_enforced();
}

/// A link that was made anew is taken away again, and the one that it was to replace comes back.
#[test]
fn a_cgroup_that_can_not_be_attached_as_a_whole_is_not_at_all() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let before = HOOKS.map(|name| link_of(&bench.pin(name)));
    let other = Cgroup::new("pins-other").unwrap();
    fs::remove_file(bench.pin("sendmsg6")).unwrap();
    fs::create_dir(bench.pin("sendmsg6")).unwrap();
    fs::create_dir(bench.pin("sendmsg6").join("in-the-way")).unwrap();
    let (mut next, _) = bench.load();
    let folder = File::open(other.path()).unwrap();
    let failed = next.attach(folder.as_fd(), other.path()).unwrap_err();
    assert!(matches!(failed, KernelError::Attach { .. }), "{failed}");
    for (name, before) in HOOKS.iter().zip(&before).take(4) {
        assert_eq!(&link_of(&bench.pin(name)), before, "{name}");
    }
    bench.is_enforced();
    let attached = Command::new("bpftool")
        .args(["-j", "cgroup", "show"])
        .arg(other.path())
        .output()
        .unwrap();
    let attached = String::from_utf8_lossy(&attached.stdout);
    assert!(!attached.contains("enforcer"), "{attached}");
}

#[test]
fn removing_the_pins_ends_enforcement() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    bench.is_enforced();
    let pins = Pins::open_existing(bench.instance.name()).unwrap().unwrap();
    assert!(pins.enforces());
    assert_eq!(pins.remove().unwrap().detached, HOOKS);
    bench.connect(FOREIGN).expect("nothing judges");
    assert!(!bench.instance.pins().exists());
    assert!(Pins::open_existing(bench.instance.name()).unwrap().is_none());
}

/// The programs of a load may never judge: for want of memory, or since the cgroup is gone. What judges goes on, and is what the
/// next start finds.
#[test]
fn a_load_that_comes_to_nothing_leaves_what_judges() {
    let mut bench = Bench::new();
    drop(bench.enforce());
    let pins = Arc::new(Pins::open(bench.instance.name()).unwrap());
    let load = |capacity| Enforcement::load_pinned(&PORTS, capacity, &pins).unwrap();
    let (mut current, _) = load(Capacity::default());
    current.publish(&policy().unwrap(), ENFORCE);
    bench.attach(&mut current);
    let other = Capacity::new(2 * Capacity::IPV4_STEP, Capacity::IPV6_STEP).unwrap();
    let (mut next, found) = load(other);
    assert!(matches!(found.policy, Was::Unfit(_)), "{found:?}");
    next.publish(&Table::new(other), ENFORCE);
    drop(next);
    bench.is_enforced();
    assert_eq!(bench.damages(&current), []);
    drop(current);
    let ranges = policy().unwrap().ranges();
    // Then the same after a kill between the two renames.
    let folder = fs::read_dir(bench.instance.pins())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with("abi-"))
        .unwrap();
    for is_aside in [false, true] {
        if is_aside {
            fs::rename(bench.pin(&folder), bench.pin(&format!("old-{folder}"))).unwrap();
        }
        let (next, found) = load(Capacity::default());
        assert_eq!(
            (found.policy, found.flows),
            (Was::Taken, Was::Taken),
            "{is_aside}"
        );
        assert_eq!(next.policy().unwrap().unwrap().ranges, ranges);
        bench.is_enforced();
    }
}
