//! A process in a cgroup, what judges it, and its pins.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use enforcer::config::{Capacity, Existing, Mode, Quic};
use enforcer::kernel::{Damage, Enforcement, LinkFound, Loaded, MapsFound, Pins, Settings, Was, loaded};
use enforcer_lab::caller::Caller;
use enforcer_lab::vectors::{FOREIGN_V4, GRANTED_V4, PORTS, policy};
use enforcer_lab::wire::Wire;
use enforcer_lab::{Cgroup, Instance};

pub(crate) const GRANTED: SocketAddr = SocketAddr::new(IpAddr::V4(GRANTED_V4), 443);
pub(crate) const FOREIGN: SocketAddr = SocketAddr::new(IpAddr::V4(FOREIGN_V4), 443);
pub(crate) const ENFORCE: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Deny,
    existing: Existing::Deny,
};
pub(crate) const HOOKS: [&str; 5] = ["egress", "connect4", "connect6", "sendmsg4", "sendmsg6"];

/// A process in a cgroup, and the pins of what judges it.
pub(crate) struct Bench {
    pub(crate) caller: Caller,
    pub(crate) cgroup: Cgroup,
    _wire: Wire,
    pub(crate) instance: Instance,
    sockets: u32,
}

impl Bench {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn load(&self) -> (Enforcement, MapsFound) {
        self.load_for(&PORTS)
    }

    pub(crate) fn load_for(&self, ports: &[u16]) -> (Enforcement, MapsFound) {
        let pins = Arc::new(Pins::open(self.instance.name()).unwrap());
        Enforcement::load_pinned(ports, Capacity::default(), &pins).unwrap()
    }

    pub(crate) fn attach(&self, enforcement: &mut Enforcement) -> Vec<LinkFound> {
        let folder = File::open(self.cgroup.path()).unwrap();
        enforcement.attach(folder.as_fd(), self.cgroup.path()).unwrap()
    }

    pub(crate) fn repair(&self, enforcement: &mut Enforcement) {
        let folder = File::open(self.cgroup.path()).unwrap();
        enforcement.repair(folder.as_fd(), self.cgroup.path()).unwrap();
    }

    /// With the policy of the vectors.
    pub(crate) fn enforce(&self) -> Enforcement {
        let (mut enforcement, found) = self.load();
        assert_eq!((found.policy, found.flows), (Was::Missing, Was::Missing));
        enforcement.publish(&policy().unwrap(), ENFORCE);
        assert_eq!(self.attach(&mut enforcement), [LinkFound::Missing; 5]);
        enforcement
    }

    pub(crate) fn cgroup_id(&self) -> u64 {
        fs::metadata(self.cgroup.path()).unwrap().ino()
    }

    /// What somebody else finds on the cgroup.
    pub(crate) fn loaded(&self) -> Option<Loaded> {
        let folder = File::open(self.cgroup.path()).unwrap();
        loaded(folder.as_fd()).unwrap()
    }

    pub(crate) fn damages(&self, enforcement: &Enforcement) -> Vec<Damage> {
        enforcement.damages(self.cgroup_id())
    }

    /// A connected socket, or the error.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> Result<String, String> {
        self.sockets += 1;
        let name = format!("s{}", self.sockets);
        self.caller.call(&format!("socket {name} inet stream 0")).unwrap();
        self.caller
            .call(&format!("connect {name} {to}"))
            .map(|_| name)
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    pub(crate) fn is_enforced(&mut self) {
        let refused = self.connect(FOREIGN).expect_err("a foreign address is denied");
        assert!(refused.contains("not permitted"), "{refused}");
        let socket = self.connect(GRANTED).expect("a granted address is reached");
        assert_eq!(
            self.caller.call(&format!("exchange {socket} 1000")).unwrap(),
            1000
        );
    }

    pub(crate) fn pin(&self, name: &str) -> std::path::PathBuf {
        self.instance.pins().join(name)
    }
}

/// The number of the link that is pinned there, and of its program.
pub(crate) fn link_of(path: &Path) -> (String, String) {
    let output = Command::new("bpftool")
        .args(["-j", "link", "show", "pinned"])
        .arg(path)
        .output()
        .expect("`cargo xtask setup` installs bpftool");
    let link: serde_json::Value = serde_json::from_slice(&output.stdout).expect("bpftool tells of a link");
    (link["id"].to_string(), link["prog_id"].to_string())
}

pub(crate) fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}
