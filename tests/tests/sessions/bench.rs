//! A process under a policy with names, its connections, and what arrives of each.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use enforcer::config::{Capacity, Existing, Mode, Quic, RuleId};
use enforcer::endpoints::{Condition, GrantedName, Scope, Scopes};
use enforcer::kernel::{Ahead, Attempt, Enforcement, Event, Events, KernelError, Pins, Settings, Told};
use enforcer::names::{DomainPattern, NameRule, ServerName};
use enforcer::policy::table::{Grant, Table};
use enforcer_common::Reason;
use enforcer_common::abi::Hook;
use enforcer_common::packet::segment;
use enforcer_lab::caller::Caller;
use enforcer_lab::hellos::Hello;
use enforcer_lab::sockets::hex;
use enforcer_lab::vectors::{GRANTED_V6, PORTS};
use enforcer_lab::wire::{Frame, Wire};
use enforcer_lab::{Cgroup, Instance};
use ipnet::IpNet;
use tokio::runtime::Runtime;

const fn v4(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 443)
}

/// Granted under the names of the policy.
pub(crate) const NAMED: SocketAddr = v4(10);
/// As [`NAMED`].
pub(crate) const NAMED6: SocketAddr = SocketAddr::new(IpAddr::V6(GRANTED_V6), 443);
/// Granted under any name, or none.
pub(crate) const ANY: SocketAddr = v4(20);
/// Granted under the names of its own list.
pub(crate) const LISTED: SocketAddr = v4(30);
/// Granted under both.
pub(crate) const BOTH: SocketAddr = v4(40);

/// A name of the policy.
pub(crate) const NAME: &str = enforcer_lab::hellos::vectors::NAME;
/// A pattern of the policy.
pub(crate) const PATTERN: &str = "*.data.mcr.microsoft.com";
/// A name of the list.
pub(crate) const OWN: &str = "own.example";
/// A name that nothing grants.
pub(crate) const EVIL: &str = "evil.azurecr.io";

pub(crate) const ENFORCE: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Deny,
    existing: Existing::Deny,
};
pub(crate) const AUDIT: Settings = Settings {
    mode: Mode::Audit,
    ..ENFORCE
};
pub(crate) const EXISTING: Settings = Settings {
    existing: Existing::Allow,
    ..ENFORCE
};

/// A change of cipher, as TLS 1.3 clients send it.
pub(crate) const CHANGE_OF_CIPHER: [u8; 6] = [20, 3, 3, 0, 1, 1];

/// A limit for what happens at once when all is well.
const LIMIT: Duration = Duration::from_secs(10);

/// A ClientHello.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    Hello::asking_for(name).bytes()
}

/// A record of application data.
pub(crate) fn data(length: u16) -> Vec<u8> {
    let mut record = vec![23, 3, 3];
    record.extend(length.to_be_bytes());
    record.resize(record.len() + usize::from(length), 0xda);
    record
}

/// The rule that grants an address of the policy.
pub(crate) fn rule(to: SocketAddr) -> RuleId {
    let all = [NAMED, NAMED6, ANY, LISTED, BOTH];
    let at = all
        .iter()
        .position(|address| *address == to)
        .expect("it is granted");
    RuleId(u32::try_from(at).unwrap() + 1)
}

/// A policy that asks for no name at [`NAMED`].
pub(crate) fn open_policy() -> Table {
    let grant = Grant {
        net: IpNet::from(NAMED.ip()),
        rule: rule(NAMED),
        condition: Condition::Unconditional,
    };
    Table::of(&[grant], &[]).unwrap()
}

/// The policy of the tests, without the addresses in `without` and with these names beside the one of the list.
pub(crate) fn policy(names: &[&str], without: &[SocketAddr]) -> Table {
    let list = Scopes::of(Scope::of_list(0).unwrap());
    let grants: Vec<Grant> = [
        (NAMED, Condition::POLICY),
        (NAMED6, Condition::POLICY),
        (ANY, Condition::Unconditional),
        (LISTED, Condition::NameIn(list)),
        (BOTH, Condition::NameIn(list.union(Scopes::POLICY))),
    ]
    .into_iter()
    .filter(|(to, _)| !without.contains(to))
    .map(|(to, condition)| Grant {
        net: IpNet::from(to.ip()),
        rule: rule(to),
        condition,
    })
    .collect();
    let mut granted: Vec<GrantedName> = names.iter().map(|name| granted(name, Scopes::POLICY)).collect();
    granted.push(self::granted(OWN, list));
    Table::of(&grants, &granted).unwrap()
}

fn granted(text: &str, scopes: Scopes) -> GrantedName {
    let name = match DomainPattern::parse(text) {
        Ok(pattern) => NameRule::Pattern(pattern),
        Err(_) => NameRule::Name(ServerName::parse(text).unwrap()),
    };
    GrantedName { name, scopes }
}

/// The whole policy.
pub(crate) fn whole() -> Table {
    policy(&[NAME, PATTERN], &[])
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    socket: String,
    pub(crate) to: SocketAddr,
    pub(crate) port: u16,
    pub(crate) cookie: u64,
    /// Everything that was written to it.
    pub(crate) sent: Vec<u8>,
    echoed: usize,
    /// Whether the programs saw it connect.
    is_known: bool,
}

/// The fields go away in their order: the programs before the cgroup, the process before its host.
pub(crate) struct Bench {
    enforcement: Enforcement,
    events: Events,
    pub(crate) caller: Caller,
    cgroup: Cgroup,
    wire: Wire,
    runtime: Runtime,
    frames: Vec<Frame>,
    told: Vec<Event>,
    granted: Vec<Attempt>,
    sockets: u32,
    is_attached: bool,
    _instance: Option<Instance>,
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut bench = Self::unattached(settings);
        bench.attach();
        bench
    }

    /// The policy is there, but it is not attached.
    pub(crate) fn unattached(settings: Settings) -> Self {
        Self::with(Enforcement::load(&PORTS), None, settings)
    }

    /// It is attached, but what egress goes on with is not loaded.
    pub(crate) fn first(settings: Settings) -> Self {
        let instance = Instance::new("start").unwrap();
        let pins = Arc::new(Pins::open(instance.name()).unwrap());
        let loaded = Enforcement::load_first(&PORTS, Capacity::default(), &pins, Ahead::start());
        let mut bench = Self::with(loaded.map(|(loaded, _)| loaded), Some(instance), settings);
        bench.attach();
        bench
    }

    /// Loads it.
    pub(crate) fn load_rest(&mut self) {
        self.enforcement.load_rest().unwrap();
    }

    fn with(
        loaded: Result<Enforcement, KernelError>,
        instance: Option<Instance>,
        settings: Settings,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut enforcement = loaded.unwrap_or_else(|error| {
            panic!(
                "the programs do not load: {error}: {:?}\nhint: {}",
                std::error::Error::source(&error),
                error.hint()
            )
        });
        enforcement.publish(&whole(), settings);
        let events = {
            let _inside = runtime.enter();
            enforcement.take_events().unwrap()
        };
        let wire = Wire::new().expect("the hosts need root and `cargo xtask setup`");
        let cgroup = Cgroup::new("sessions").unwrap();
        let caller = Caller::start(wire.near(), &cgroup).unwrap();
        Self {
            enforcement,
            events,
            caller,
            cgroup,
            wire,
            runtime,
            frames: Vec::new(),
            told: Vec::new(),
            granted: Vec::new(),
            sockets: 0,
            is_attached: false,
            _instance: instance,
        }
    }

    pub(crate) fn attach(&mut self) {
        let folder = File::open(self.cgroup.path()).unwrap();
        self.enforcement
            .attach(folder.as_fd(), self.cgroup.path())
            .unwrap();
        self.is_attached = true;
    }

    pub(crate) fn publish(&mut self, policy: &Table, settings: Settings) {
        self.enforcement.publish(policy, settings);
    }

    /// What was denied so far for this reason.
    pub(crate) fn denied_for(&self, reason: Reason) -> u64 {
        self.enforcement.counters().unwrap().get(reason).denied
    }

    /// What was denied so far, for any reason.
    pub(crate) fn denied(&self) -> u64 {
        self.enforcement.counters().unwrap().denied()
    }

    /// A call that must work.
    #[track_caller]
    pub(crate) fn must(&mut self, line: &str) -> u64 {
        self.caller
            .call(line)
            .unwrap_or_else(|error| panic!("{}: {error}", &line[..line.len().min(80)]))
    }

    /// A TCP socket that holds nothing back and leaves nothing behind when it is closed.
    pub(crate) fn socket(&mut self, to: SocketAddr) -> String {
        const LINGER: &str = "1 13 0100000000000000";
        const NO_DELAY: &str = "6 1 01000000";
        self.sockets += 1;
        let name = format!("s{}", self.sockets);
        let family = if to.is_ipv4() { "inet" } else { "inet6" };
        self.must(&format!("socket {name} {family} stream 0"));
        for option in [LINGER, NO_DELAY] {
            self.must(&format!("option {name} {option}"));
        }
        name
    }

    #[track_caller]
    pub(crate) fn connect(&mut self, to: SocketAddr) -> Session {
        let socket = self.socket(to);
        self.must(&format!("connect {socket} {to}"));
        self.session(socket, to)
    }

    /// The connection that a socket has come to.
    pub(crate) fn session(&mut self, socket: String, to: SocketAddr) -> Session {
        Session {
            port: u16::try_from(self.must(&format!("port {socket}"))).unwrap(),
            cookie: self.must(&format!("cookie {socket}")),
            socket,
            to,
            sent: Vec::new(),
            echoed: 0,
            is_known: self.is_attached,
        }
    }

    /// The same socket, connected once more.
    pub(crate) fn reconnect(&mut self, session: Session, to: SocketAddr) -> Session {
        let socket = session.socket;
        self.must(&format!("disconnect {socket}"));
        self.must(&format!("connect {socket} {to}"));
        let again = self.session(socket, to);
        assert_eq!(again.cookie, session.cookie);
        again
    }

    /// Writes; whether it arrives is another matter, which TCP does not tell.
    #[track_caller]
    pub(crate) fn send(&mut self, session: &mut Session, bytes: &[u8]) {
        let sent = self.must(&format!("send {} {}", session.socket, hex(bytes)));
        assert_eq!(sent, bytes.len() as u64);
        session.sent.extend(bytes);
    }

    /// Writes urgent data: the byte before the urgent pointer is the last one.
    pub(crate) fn send_urgent(&mut self, session: &mut Session, bytes: &[u8]) {
        const MSG_OOB: u32 = 1;
        let (socket, to) = (&session.socket, session.to);
        let line = format!("sendto {socket} {to} {MSG_OOB} {}", hex(bytes));
        self.must(&line);
        session.sent.extend(bytes);
    }

    /// Writes bulk and reads its echo, once that of everything before has been read.
    #[track_caller]
    pub(crate) fn exchange(&mut self, session: &mut Session, count: usize) {
        let returned = self.must(&format!("exchange {} {count}", session.socket));
        assert_eq!(returned, count as u64);
        session.sent.resize(session.sent.len() + count, 7);
        session.echoed += count;
    }

    pub(crate) fn begin_exchange(&mut self, session: &Session, count: u64) {
        self.caller.begin(&format!("exchange {} {count}", session.socket));
    }

    pub(crate) fn close(&mut self, session: Session) {
        self.must(&format!("close {}", session.socket));
        self.frames.clear();
    }

    /// The frames that have arrived since a connection was last closed, in order.
    pub(crate) fn frames(&mut self) -> &[Frame] {
        self.frames.extend(self.wire.arrived().unwrap());
        &self.frames
    }

    /// The bytes that have arrived of a connection, from the first one on. Nothing is still on its way.
    pub(crate) fn arrived(&mut self, session: &Session) -> Vec<u8> {
        let mut first = 0;
        let mut stream: Vec<u8> = Vec::new();
        for frame in self.frames() {
            if !frame.is_for(session.to) || frame.packet.ports.source != session.port {
                continue;
            }
            let segment = segment(frame.bytes.as_slice(), frame.packet.transport).expect("it is TCP");
            if segment.opens() {
                first = segment.sequence.wrapping_add(1);
                stream.clear();
            }
            let at = segment.sequence.wrapping_sub(first) as usize;
            let payload = &frame.bytes[segment.payload as usize..][..segment.length as usize];
            if !segment.opens() && at <= stream.len() && at + payload.len() > stream.len() {
                stream.truncate(at);
                stream.extend(payload);
            }
        }
        stream
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Denied(event) => self.told.push(event),
            Told::Granted(granted) => self.granted.push(granted),
        }
    }

    /// The sessions and connections that were granted since the last look.
    pub(crate) fn granted(&mut self) -> Vec<Attempt> {
        self.drain();
        std::mem::take(&mut self.granted)
    }

    fn drain(&mut self) {
        while let Some(told) = self.events.try_next() {
            self.take(told);
        }
    }

    /// What was told about a socket since the last look.
    pub(crate) fn told(&mut self, cookie: u64) -> Vec<Event> {
        self.drain();
        self.told.extract_if(.., |event| event.cookie == cookie).collect()
    }

    /// As [`Self::told`], once there is something.
    #[track_caller]
    pub(crate) fn wait_told(&mut self, what: &str, cookie: u64) -> Vec<Event> {
        loop {
            let told = self.told(cookie);
            if !told.is_empty() {
                return told;
            }
            let Self { events, runtime, .. } = self;
            let next = runtime.block_on(async { tokio::time::timeout(LIMIT, events.next()).await });
            let next = next.unwrap_or_else(|_| panic!("{what}: nobody says that it was denied"));
            self.take(next.unwrap());
        }
    }

    /// The other side has got everything, and nobody says anything.
    #[track_caller]
    pub(crate) fn expect_passed(&mut self, what: &str, session: &mut Session) {
        self.expect_arrived(what, session);
        let told = self.told(session.cookie);
        assert!(told.is_empty(), "{what}: {told:?}");
    }

    /// The other side has got everything.
    #[track_caller]
    pub(crate) fn expect_arrived(&mut self, what: &str, session: &mut Session) {
        self.expect_echo(what, session, session.sent.len());
        assert!(
            self.arrived(session) == session.sent,
            "{what}: other bytes arrived"
        );
    }

    /// So many bytes come back, with those that came back before.
    #[track_caller]
    pub(crate) fn expect_echo(&mut self, what: &str, session: &mut Session, bytes: usize) {
        let left = bytes - session.echoed;
        let echoed = self.caller.call(&format!("receive {} {left}", session.socket));
        if echoed != Ok(left as u64) {
            let told = self.told(session.cookie);
            panic!("{what}: {left} bytes should come back, not {echoed:?}; was told: {told:?}");
        }
        session.echoed = bytes;
    }

    /// It is denied for this reason, with this name, and the first `arrived` bytes of what was sent have arrived.
    #[track_caller]
    pub(crate) fn expect_denied(
        &mut self,
        what: &str,
        session: &Session,
        arrived: usize,
        reason: Reason,
        name: impl AsRef<[u8]>,
    ) {
        self.expect_denied_in(what, session, arrived..=arrived, reason, name);
    }

    /// As [`Self::expect_denied`], where it is up to TCP how much had left before.
    #[track_caller]
    pub(crate) fn expect_denied_in(
        &mut self,
        what: &str,
        session: &Session,
        arrived: RangeInclusive<usize>,
        reason: Reason,
        name: impl AsRef<[u8]>,
    ) {
        let mut told = self.wait_told(what, session.cookie);
        let got = self.arrived(session);
        told.extend(self.told(session.cookie));
        let reasons: Vec<Reason> = told.iter().map(|event| event.reason).collect();
        assert!(
            arrived.contains(&got.len()),
            "{what}: {} bytes arrived, not {arrived:?}; {reasons:?}",
            got.len()
        );
        assert!(session.sent.starts_with(&got), "{what}: other bytes arrived");
        for event in told {
            self.expect_event(what, session, &event, reason, name.as_ref());
            assert!(!event.audit, "{what}: {event:?}");
        }
    }

    /// Audit mode has told of it, once, and everything has arrived.
    #[track_caller]
    pub(crate) fn expect_audited(
        &mut self,
        what: &str,
        session: &mut Session,
        reason: Reason,
        name: impl AsRef<[u8]>,
    ) {
        self.expect_arrived(what, session);
        let told = self.told(session.cookie);
        let [event] = told.as_slice() else {
            panic!("{what}: one event, not {told:?}");
        };
        self.expect_event(what, session, event, reason, name.as_ref());
        assert!(event.audit, "{what}: {event:?}");
    }

    #[track_caller]
    fn expect_event(&self, what: &str, session: &Session, event: &Event, reason: Reason, name: &[u8]) {
        assert_eq!(event.reason, reason, "{what}: {event:?}");
        assert_eq!(event.attempt.hook, Hook::Egress, "{what}: {event:?}");
        assert!(
            event.attempt.server_name == name,
            "{what}: {:?} was asked for, not {:?}",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(&event.attempt.server_name)
        );
        let rule = (reason != Reason::AddressNotGranted).then(|| rule(session.to));
        assert_eq!(event.attempt.rule, rule, "{what}: {event:?}");
        assert_eq!(event.attempt.destination, Some(session.to), "{what}: {event:?}");
        let source = event.attempt.source.map(|source| source.port());
        assert_eq!(source, Some(session.port), "{what}: {event:?}");
        if session.is_known {
            assert_eq!(event.attempt.pid, Some(self.caller.pid()), "{what}: {event:?}");
            assert_eq!(event.attempt.comm, "caller", "{what}: {event:?}");
        } else {
            assert_eq!(event.attempt.pid, None, "{what}: {event:?}");
        }
    }
}
