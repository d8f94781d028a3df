//! The stream of denials and granted connections from the ring buffer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use enforcer_common::Reason;
use enforcer_common::abi::{self, Hook};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;

use super::error::KernelError;
use crate::config::RuleId;

/// What the kernel tells of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// A denial, or in audit mode what would have been one.
    Denied(Event),
    /// A connection that is granted.
    Granted(Granted),
}

impl Told {
    /// Reads what lies in the ring; `None` when its length or a code is not of this build.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let raw = abi::Event::from_bytes(bytes)?;
        if raw.is_granted() {
            Granted::from_raw(&raw).map(Self::Granted)
        } else {
            Event::from_raw(&raw).map(Self::Denied)
        }
    }

    /// The denial, if it is one.
    #[must_use]
    pub fn denied(self) -> Option<Event> {
        match self {
            Self::Denied(event) => Some(event),
            Self::Granted(_) => None,
        }
    }
}

/// One denial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// When, since boot (`CLOCK_MONOTONIC`).
    pub time: Duration,
    /// Whether audit mode let it through.
    pub audit: bool,
    /// Why.
    pub reason: Reason,
    /// Where it was judged.
    pub hook: Hook,
    /// Protocol number.
    pub protocol: u8,
    /// Where from; `None` before the socket is bound.
    pub source: Option<SocketAddr>,
    /// Where to; `None` when the packet could not be read that far.
    pub destination: Option<SocketAddr>,
    /// The socket's cookie; 0 when there is none, and for calls.
    pub cookie: u64,
    /// The server name that was asked for, any bytes; empty when none was read.
    pub server_name: Vec<u8>,
    /// The rule that grants the address, where the denial is not about the address.
    pub rule: Option<RuleId>,
    /// The process in the initial pid namespace; `None` when it can not be told.
    pub pid: Option<u32>,
    /// The name of the thread; empty when it can not be told.
    pub comm: String,
    /// The cgroup's inode number.
    pub cgroup: u64,
    /// Events of this reason on the same CPU that were suppressed before this one.
    pub suppressed: u32,
}

impl Event {
    fn from_raw(raw: &abi::Event) -> Option<Self> {
        Some(Self {
            time: Duration::from_nanos(raw.time_ns),
            audit: raw.audit != 0,
            reason: raw.reason()?,
            hook: Hook::from_code(raw.hook)?,
            protocol: raw.protocol,
            source: raw.source(),
            destination: raw.destination(),
            cookie: raw.cookie,
            server_name: raw.server_name().to_vec(),
            rule: rule(raw),
            pid: pid(raw),
            comm: comm(raw),
            cgroup: raw.cgroup,
            suppressed: raw.suppressed,
        })
    }
}

/// One granted connection: a call to `connect` where the address is enough, otherwise the session under a granted server
/// name; of datagrams the first to a destination that a call named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Granted {
    /// When, since boot (`CLOCK_MONOTONIC`).
    pub time: Duration,
    /// Where it was judged.
    pub hook: Hook,
    /// Protocol number.
    pub protocol: u8,
    /// Where from; `None` before the socket is bound.
    pub source: Option<SocketAddr>,
    /// Where to.
    pub destination: Option<SocketAddr>,
    /// The server name of the session, any bytes; empty where none was asked for.
    pub server_name: Vec<u8>,
    /// The rule that grants the address.
    pub rule: Option<RuleId>,
    /// The process in the initial pid namespace; `None` when it can not be told.
    pub pid: Option<u32>,
    /// The name of the thread; empty when it can not be told.
    pub comm: String,
    /// The cgroup's inode number.
    pub cgroup: u64,
    /// Granted connections on the same CPU that were suppressed before this one.
    pub suppressed: u32,
}

impl Granted {
    fn from_raw(raw: &abi::Event) -> Option<Self> {
        Some(Self {
            time: Duration::from_nanos(raw.time_ns),
            hook: Hook::from_code(raw.hook)?,
            protocol: raw.protocol,
            source: raw.source(),
            destination: raw.destination(),
            server_name: raw.server_name().to_vec(),
            rule: rule(raw),
            pid: pid(raw),
            comm: comm(raw),
            cgroup: raw.cgroup,
            suppressed: raw.suppressed,
        })
    }
}

fn rule(raw: &abi::Event) -> Option<RuleId> {
    (raw.rule != 0).then_some(RuleId(raw.rule))
}

fn pid(raw: &abi::Event) -> Option<u32> {
    (raw.pid != 0).then_some(raw.pid)
}

/// Up to its NUL.
fn comm(raw: &abi::Event) -> String {
    let name = raw.comm.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// The reader of the ring buffer. Needs a tokio runtime with I/O.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> Result<Self, KernelError> {
        // SAFETY: the ring owns its descriptor, which is open as long as the ring is, and nothing here replaces it.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }.map_err(|error| {
            KernelError::Map {
                map: "EVENTS",
                action: "watched",
                source: error.into(),
            }
        })?;
        Ok(Self { ring })
    }

    /// The next thing that is told, as soon as there is one. Cancel-safe.
    ///
    /// Of a flood, others have their turn every now and then: signals and timers are not even looked at while a task goes on
    /// without waiting, and a daemon that is kept from its signs of life is taken for dead.
    ///
    /// # Errors
    /// When the descriptor can not be waited for.
    pub async fn next(&mut self) -> io::Result<Told> {
        consume_budget().await;
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            let mut guard = self.ring.readable_mut().await?;
            guard.clear_ready();
            // An event that came in between would not wake us again.
            if let Some(event) = read(guard.get_inner_mut()) {
                return Ok(event);
            }
        }
    }

    /// What is there already.
    pub fn try_next(&mut self) -> Option<Told> {
        read(self.ring.get_mut())
    }
}

/// The next event that is of this build.
fn read(ring: &mut RingBuf<MapData>) -> Option<Told> {
    while let Some(item) = ring.next() {
        if let Some(told) = Told::from_bytes(&item) {
            return Some(told);
        }
    }
    None
}
