//! The stream of denials from the ring buffer.

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
    /// Reads an event; `None` when its length or a code is not of this build.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let raw = abi::Event::from_bytes(bytes)?;
        let end = raw
            .comm
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(raw.comm.len());
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
            rule: (raw.rule != 0).then_some(RuleId(raw.rule)),
            pid: (raw.pid != 0).then_some(raw.pid),
            comm: String::from_utf8_lossy(&raw.comm[..end]).into_owned(),
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

    /// The next denial, as soon as there is one. Cancel-safe.
    ///
    /// Of a flood, others have their turn every now and then: signals and timers are not even looked at while a task goes on
    /// without waiting, and a daemon that is kept from its signs of life is taken for dead.
    ///
    /// # Errors
    /// When the descriptor can not be waited for.
    pub async fn next(&mut self) -> io::Result<Event> {
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

    /// A denial that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        read(self.ring.get_mut())
    }
}

/// The next event that is of this build.
fn read(ring: &mut RingBuf<MapData>) -> Option<Event> {
    while let Some(item) = ring.next() {
        if let Some(event) = Event::from_bytes(&item) {
            return Some(event);
        }
    }
    None
}
