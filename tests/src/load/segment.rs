//! Single segments from a raw socket: each is judged by itself, and a refusal comes back as an error. TCP would send a
//! wrongly dropped segment again, and nobody would see it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::PORT;
use super::program::Shared;
use crate::packets::transport;

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(1);

/// Sockets for raw TCP segments by IPv4 and IPv6.
pub(super) struct Raw([Socket; 2]);

impl Raw {
    pub(super) fn open() -> Result<Self> {
        let open = |domain| Socket::new(domain, Type::RAW, Some(Protocol::TCP));
        let [v4, v6] = [Domain::IPV4, Domain::IPV6].map(open);
        let sockets = [v4.context("a raw socket")?, v6.context("a raw socket")?];
        for socket in &sockets {
            // Nobody reads what comes back.
            socket.set_recv_buffer_size(0)?;
        }
        Ok(Self(sockets))
    }

    /// Sends a segment without payload.
    pub(super) fn send(&self, to: SocketAddr) -> io::Result<()> {
        let mut segment = transport(PORT);
        // The port of no connection.
        segment[..2].copy_from_slice(&9_u16.to_be_bytes());
        // Raw sockets of IPv6 refuse a port.
        let address = SockAddr::from(SocketAddr::new(to.ip(), 0));
        let socket = &self.0[usize::from(to.is_ipv6())];
        socket.send_to(&segment, &address).map(drop)
    }
}

/// Sends segments to granted addresses.
pub(super) fn granted(shared: &Shared, targets: &[(&str, SocketAddr)]) -> Result<()> {
    let raw = Raw::open()?;
    while shared.goes_on() {
        for &(kind, to) in targets {
            match raw.send(to) {
                Ok(()) => shared.counts().went(kind),
                Err(error) => shared.counts().wrong(kind, &error.to_string()),
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
