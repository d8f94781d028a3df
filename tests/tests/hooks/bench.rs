//! A process under a policy, and everything that can be seen of its traffic.

use std::fs::File;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::pin::pin;

use enforcer::config::{Existing, Mode, Quic, RuleId};
use enforcer::endpoints::Condition;
use enforcer::kernel::{
    Attempt, Count, Enforcement, Event, Events, GrantedCount, KernelError, Settings, Told,
};
use enforcer::policy::table::{Grant, Table};
use enforcer_common::Reason;
use enforcer_common::abi::Hook;
use enforcer_lab::Cgroup;
use enforcer_lab::caller::Caller;
use enforcer_lab::sockets::Answer;
use enforcer_lab::vectors::{FOREIGN_V4, FOREIGN_V6, GRANTED_V4, GRANTED_V6, PORTS, policy};
use enforcer_lab::wire::{Frame, Wire};
use ipnet::IpNet;
use rustix::io::Errno;

pub(crate) const GRANTED: SocketAddr = SocketAddr::new(IpAddr::V4(GRANTED_V4), 443);
pub(crate) const GRANTED6: SocketAddr = SocketAddr::new(IpAddr::V6(GRANTED_V6), 443);
pub(crate) const FOREIGN: SocketAddr = SocketAddr::new(IpAddr::V4(FOREIGN_V4), 443);
pub(crate) const FOREIGN6: SocketAddr = SocketAddr::new(IpAddr::V6(FOREIGN_V6), 443);

pub(crate) const ENFORCE: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Deny,
    existing: Existing::Deny,
};
/// UDP is judged by its address.
pub(crate) const QUIC: Settings = Settings {
    mode: Mode::Enforce,
    quic: Quic::Allow,
    existing: Existing::Deny,
};
pub(crate) const AUDIT: Settings = Settings {
    mode: Mode::Audit,
    quic: Quic::Deny,
    existing: Existing::Deny,
};

/// The fields go away in their order: the programs before the cgroup, the process before its host.
pub(crate) struct Bench {
    pub(crate) enforcement: Option<Enforcement>,
    events: Events,
    pub(crate) caller: Caller,
    pub(crate) cgroup: Cgroup,
    pub(crate) wire: Wire,
    runtime: tokio::runtime::Runtime,
}

/// What was seen of a few calls.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What the last of them said.
    pub(crate) answer: Answer,
    pub(crate) frames: Vec<Frame>,
    pub(crate) events: Vec<Event>,
    pub(crate) counts: Vec<(Reason, Count)>,
    pub(crate) granted: Vec<Attempt>,
    pub(crate) granted_count: GrantedCount,
}

pub(crate) fn load() -> Enforcement {
    Enforcement::load(&PORTS).unwrap_or_else(|error| {
        panic!(
            "the programs do not load: {error}: {:?}\nhint: {}",
            std::error::Error::source(&error),
            error.hint()
        )
    })
}

/// A policy that grants these addresses, each by its own rule.
pub(crate) fn policy_of(addresses: &[SocketAddr]) -> Table {
    let grants: Vec<Grant> = (0..)
        .zip(addresses)
        .map(|(rule, to)| Grant {
            net: IpNet::from(to.ip()),
            rule: RuleId(rule),
            condition: Condition::Unconditional,
        })
        .collect();
    Table::of(&grants, &[]).unwrap()
}

impl Bench {
    /// Under the policy of the vectors.
    pub(crate) fn new(settings: Settings) -> Self {
        let mut bench = Self::unattached(settings);
        bench.attach();
        bench
    }

    /// The policy is there, but it is not attached.
    pub(crate) fn unattached(settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut enforcement = load();
        enforcement.publish(&policy().unwrap(), settings);
        let events = {
            let _inside = runtime.enter();
            enforcement.take_events().unwrap()
        };
        let wire = Wire::new().expect("the hosts need root and `cargo xtask setup`");
        let cgroup = Cgroup::new("hooks").unwrap();
        let caller = Caller::start(wire.near(), &cgroup).unwrap();
        Self {
            enforcement: Some(enforcement),
            events,
            caller,
            cgroup,
            wire,
            runtime,
        }
    }

    pub(crate) fn attach(&mut self) {
        self.try_attach().unwrap();
    }

    pub(crate) fn try_attach(&mut self) -> Result<(), KernelError> {
        let folder = File::open(self.cgroup.path()).unwrap();
        let path = self.cgroup.path().to_owned();
        self.enforcement().attach(folder.as_fd(), &path).map(drop)
    }

    pub(crate) fn enforcement(&mut self) -> &mut Enforcement {
        self.enforcement.as_mut().expect("it is loaded")
    }

    /// The number under which events know the cgroup.
    pub(crate) fn cgroup_id(&self) -> u64 {
        std::fs::metadata(self.cgroup.path()).unwrap().ino()
    }

    /// A call that must work and that nobody looks at.
    #[track_caller]
    pub(crate) fn must(&mut self, line: &str) -> u64 {
        self.caller
            .call(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Makes the calls, of which all but the last must work.
    #[track_caller]
    pub(crate) fn see(&mut self, lines: &[&str]) -> Seen {
        let (last, first) = lines.split_last().expect("a call");
        for line in first {
            self.must(line);
        }
        self.look(|caller| caller.call(last))
    }

    /// Waits for `count` events as the daemon does, and gives how often the waiting task was given a turn.
    pub(crate) fn turns_for(&mut self, count: usize) -> usize {
        let events = &mut self.events;
        let mut taking = pin!(async {
            for _ in 0..count {
                events.next().await.unwrap();
            }
        });
        let mut turns = 0;
        self.runtime.block_on(poll_fn(|context| {
            turns += 1;
            taking.as_mut().poll(context)
        }));
        turns
    }

    /// Reads what is told by now, in its order.
    pub(crate) fn told(&mut self) -> (Vec<Event>, Vec<Attempt>) {
        let (mut events, mut granted) = (Vec::new(), Vec::new());
        while let Some(told) = self.events.try_next() {
            match told {
                Told::Denied(event) => events.push(event),
                Told::Granted(connection) => granted.push(connection),
            }
        }
        (events, granted)
    }

    /// What is seen while `act` runs.
    pub(crate) fn look(&mut self, act: impl FnOnce(&mut Caller) -> Answer) -> Seen {
        self.wire.arrived().unwrap();
        while self.events.try_next().is_some() {}
        let before = self.enforcement().counters().unwrap();
        let answer = act(&mut self.caller);
        let frames = self.wire.arrived().unwrap();
        let after = self.enforcement().counters().unwrap();
        let (events, granted) = self.told();
        let granted_count = GrantedCount {
            total: after.granted().total - before.granted().total,
            suppressed: after.granted().suppressed - before.granted().suppressed,
        };
        let counts = after
            .iter()
            .map(|(reason, count)| {
                let before = before.get(reason);
                let count = Count {
                    denied: count.denied - before.denied,
                    audit: count.audit - before.audit,
                    suppressed: count.suppressed - before.suppressed,
                };
                (reason, count)
            })
            .filter(|(_, count)| count.denied > 0)
            .collect();
        Seen {
            answer,
            frames,
            events,
            counts,
            granted,
            granted_count,
        }
    }

    /// The last call works, a frame arrives at `to`, and nobody says anything.
    #[track_caller]
    pub(crate) fn passes(&mut self, name: &str, to: SocketAddr, lines: &[&str]) {
        let seen = self.see(lines);
        assert!(seen.answer.is_ok(), "{name}: {seen:?}");
        assert!(seen.arrived(to) > 0, "{name}: {seen:?}");
        seen.expect_silence(name);
    }

    /// The last call is refused at once, nothing arrives, and one event says who did it and why.
    #[track_caller]
    pub(crate) fn refuses(&mut self, name: &str, to: SocketAddr, lines: &[&str], reason: Reason, hook: Hook) {
        let seen = self.see(lines);
        assert_eq!(seen.answer, Err(Errno::PERM), "{name}: {seen:?}");
        let event = seen.expect_denial(name, to, reason, hook);
        assert_eq!(event.attempt.cgroup, self.cgroup_id(), "{name}");
        if hook != Hook::Egress {
            assert_eq!(event.attempt.pid, Some(self.caller.pid()), "{name}");
            assert_eq!(event.attempt.comm, "caller", "{name}");
        }
    }
}

impl Seen {
    /// How many frames for `to` have arrived.
    pub(crate) fn arrived(&self, to: SocketAddr) -> usize {
        self.frames.iter().filter(|frame| frame.is_for(to)).count()
    }

    /// Nothing was reported or counted.
    #[track_caller]
    pub(crate) fn expect_silence(&self, name: &str) {
        assert!(
            self.events.is_empty() && self.counts.is_empty(),
            "{name}: {self:?}"
        );
    }

    /// One denial: it is counted, and this is its event. Nothing has arrived.
    #[track_caller]
    pub(crate) fn expect_denial(&self, name: &str, to: SocketAddr, reason: Reason, hook: Hook) -> &Event {
        assert_eq!(self.arrived(to), 0, "{name}: {self:?}");
        let one = Count {
            denied: 1,
            ..Count::default()
        };
        assert_eq!(self.counts, [(reason, one)], "{name}: {self:?}");
        let [event] = self.events.as_slice() else {
            panic!("{name}: one event, not {:?}", self.events);
        };
        assert_eq!(
            (event.reason, event.attempt.hook),
            (reason, hook),
            "{name}: {event:?}"
        );
        let canonical = SocketAddr::new(to.ip().to_canonical(), to.port());
        assert_eq!(event.attempt.destination, Some(canonical), "{name}: {event:?}");
        assert!(!event.audit, "{name}: {event:?}");
        event
    }
}
