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
    /// A granted connection: a call to `connect` where the address is enough, otherwise the session under a granted server
    /// name; of datagrams the first to a destination that a call named.
    Granted(Attempt),
}

impl Told {
    /// Reads what lies in the ring; `None` when its length or a code is not of this build.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let raw = abi::Event::from_bytes(bytes)?;
        let attempt = Attempt::from_raw(&raw)?;
        if raw.is_granted() {
            return Some(Self::Granted(attempt));
        }
        Some(Self::Denied(Event {
            attempt,
            audit: raw.audit != 0,
            reason: raw.reason()?,
            cookie: raw.cookie,
        }))
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
    /// What was denied.
    pub attempt: Attempt,
    /// Whether audit mode let it through.
    pub audit: bool,
    /// Why.
    pub reason: Reason,
    /// The socket's cookie; 0 when there is none, and for calls.
    pub cookie: u64,
}

/// A packet or a call that was judged: who, where to, and where in the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// When, since boot (`CLOCK_MONOTONIC`).
    pub time: Duration,
    /// Where it was judged.
    pub hook: Hook,
    /// Protocol number.
    pub protocol: u8,
    /// Where from; `None` before the socket is bound.
    pub source: Option<SocketAddr>,
    /// Where to; `None` when the packet could not be read that far.
    pub destination: Option<SocketAddr>,
    /// The server name that was asked for, any bytes; empty when none was read.
    pub server_name: Vec<u8>,
    /// The rule that grants the address; `None` where a denial is about the address.
    pub rule: Option<RuleId>,
    /// The process in the initial pid namespace; `None` when it can not be told.
    pub pid: Option<u32>,
    /// The name of the thread; empty when it can not be told.
    pub comm: String,
    /// The cgroup's inode number.
    pub cgroup: u64,
    /// Denials of the same reason, or granted connections, on the same CPU that were suppressed before this one.
    pub suppressed: u32,
}

impl Attempt {
    fn from_raw(raw: &abi::Event) -> Option<Self> {
        // Up to its NUL.
        let comm = raw.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(Self {
            time: Duration::from_nanos(raw.time_ns),
            hook: Hook::from_code(raw.hook)?,
            protocol: raw.protocol,
            source: raw.source(),
            destination: raw.destination(),
            server_name: raw.server_name().to_vec(),
            rule: (raw.rule != 0).then_some(RuleId(raw.rule)),
            pid: (raw.pid != 0).then_some(raw.pid),
            comm: String::from_utf8_lossy(comm).into_owned(),
            cgroup: raw.cgroup,
            suppressed: raw.suppressed,
        })
    }
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
