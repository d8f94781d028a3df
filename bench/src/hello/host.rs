//! A host with a server that takes everything, the programs on a cgroup, and clients in it and beside it.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use enforcer::config::{Capacity, RuleId};
use enforcer::endpoints::{Condition, GrantedName};
use enforcer::kernel::{Counters, Enforcement, Pins, Settings};
use enforcer::policy::table::{Grant, Table};
use enforcer_lab::{Cgroup, Instance, Namespace};
use rustix::net::{Shutdown, listen, shutdown};

use super::asked::granted_one;
use super::telling::Telling;
use super::watched::{self, By, Floors, Watched};

/// Granted under the names of the policy.
pub(super) const NAMED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Granted as such.
pub(super) const ANY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
/// Connections that may wait for the server: more than anybody makes without waiting for it.
const WAITING: i32 = 4096;
/// The filtered port.
pub(super) const PORT: u16 = 443;

/// The host. Dropping it removes everything; what is dropped first comes first.
pub(super) struct Host {
    watched: Vec<Watched>,
    _floors: Floors,
    enforcement: Enforcement,
    telling: Telling,
    _instance: Instance,
    _under: Cgroup,
    _server: Server,
    _namespace: Namespace,
}

pub(super) const fn at(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(address, PORT))
}

impl Host {
    pub(super) fn new() -> Result<Self> {
        let namespace = Namespace::new("hello")?;
        namespace.ip(&format!(
            "address add {NAMED}/32 dev lo\naddress add {ANY}/32 dev lo"
        ))?;
        // There are more connections than ports, which by themselves are free again a minute after a connection has ended.
        let reuse = namespace.run(|| fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1"))?;
        reuse.context("ports cannot be taken again")?;
        let server = Server::start(&namespace)?;
        let under = Cgroup::new("hello")?;
        let instance = Instance::new("hello")?;
        let pins = Arc::new(Pins::open(instance.name())?);
        let (mut enforcement, _) = Enforcement::load_pinned(&[PORT], Capacity::default(), &pins)?;
        enforcement.publish(&policy(&granted_one()?)?, Settings::default());
        let telling = Telling::of(&instance)?;
        let mut floors = Floors::load(&instance)?;
        let mut all = Vec::new();
        for by in By::ALL {
            all.push(match by.program() {
                Some(program) => floors.watch(&namespace, program)?,
                None => {
                    let folder = watched::open(&under)?;
                    enforcement.attach(folder.as_fd(), under.path())?;
                    Watched::by_what_is_there(&namespace, &under)?
                }
            });
        }
        Ok(Self {
            watched: all,
            _floors: floors,
            enforcement,
            telling,
            _instance: instance,
            _under: under,
            _server: server,
            _namespace: namespace,
        })
    }

    /// What is under somebody's program.
    pub(super) fn watched(&mut self, by: By) -> &mut Watched {
        &mut self.watched[by as usize]
    }

    /// Puts another policy into force.
    pub(super) fn publish(&mut self, policy: &Table) {
        self.enforcement.publish(policy, Settings::default());
    }

    /// What was denied, and what was granted.
    pub(super) fn counters(&self) -> Result<Counters> {
        Ok(self.enforcement.counters()?)
    }

    /// What limits events.
    pub(super) fn telling(&mut self) -> &mut Telling {
        &mut self.telling
    }
}

/// As long as it lives the kernel keeps the time that programs run.
pub(super) fn statistics() -> Result<OwnedFd> {
    enable_stats(Stats::RunTime).context("the kernel keeps no statistics of programs (Linux 5.8)")
}

/// A policy under which the one address is granted under these names.
pub(super) fn policy(names: &[GrantedName]) -> Result<Table> {
    let grant = |address: Ipv4Addr, rule, condition| Grant {
        net: std::net::IpAddr::from(address).into(),
        rule: RuleId(rule),
        condition,
    };
    let grants = [
        grant(NAMED, 1, Condition::POLICY),
        grant(ANY, 2, Condition::Unconditional),
    ];
    Ok(Table::of(&grants, names)?)
}

/// Takes every connection and everything on it, and ends a connection when the client does.
struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: &Namespace) -> Result<Self> {
        let listener = host.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
        let listener = listener.context("the server has no port")?;
        listen(&listener, WAITING)?;
        let accepting = listener.try_clone()?;
        let thread = std::thread::spawn(move || {
            while let Ok((mut socket, _)) = accepting.accept() {
                // Ends with the connection.
                std::thread::spawn(move || {
                    let mut bytes = vec![0; 1 << 18];
                    while socket.read(&mut bytes).is_ok_and(|count| count > 0) {}
                });
            }
        });
        Ok(Self {
            listener,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread: what is shut down accepts nothing.
        if shutdown(&self.listener, Shutdown::Both).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}
