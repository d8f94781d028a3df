//! What nothing grants, tried all the time. Except for the first, one attempt is one packet.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::counts::Denied;
use super::program::Shared;
use super::segment::Raw;
use super::session::connect;
use super::{FOREIGN, FOREIGN_NAME, NAMED, at};
use crate::hellos::Hello;

pub(super) const CONNECT: &str = "connect";
pub(super) const DATAGRAM: &str = "datagram";
pub(super) const FLOW: &str = "flow of datagrams";
pub(super) const QUIC: &str = "quic";
pub(super) const SEGMENT: &str = "segment";
pub(super) const SERVER_NAME: &str = "server name";

/// The keys of [`super::Counts::denied`].
pub(super) const KINDS: [&str; 6] = [CONNECT, DATAGRAM, FLOW, QUIC, SEGMENT, SERVER_NAME];

/// A thread of the load.
type Part = fn(&Shared) -> Result<()>;

pub(super) const PARTS: [(&str, Part); KINDS.len()] = [
    (CONNECT, connects),
    (DATAGRAM, datagrams),
    (FLOW, flows),
    (QUIC, quic),
    (SEGMENT, segments),
    (SERVER_NAME, server_names),
];

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a connect, or a foreign ClientHello, is watched. Whether it arrived is not for the client to say.
const WATCHED: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

impl Denied {
    fn note(&mut self, outcome: &io::Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => self.refused += 1,
        }
    }
}

/// Goes on with `attempt` at each of `targets`, counting under `kind`.
fn attempts(
    shared: &Shared,
    kind: &str,
    targets: [&str; 2],
    attempt: impl Fn(SocketAddr) -> io::Result<()>,
) -> Result<()> {
    while shared.goes_on() {
        for to in targets.map(at) {
            let outcome = attempt(to);
            shared.counts().sent(kind).note(&outcome);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn connects(shared: &Shared) -> Result<()> {
    attempts(shared, CONNECT, FOREIGN, |to| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_linger(Some(Duration::ZERO))?;
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            other => return other,
        }
        if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&WATCHED))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.take_error()?.map_or(Ok(()), Err)
    })
}

fn udp() -> Result<[UdpSocket; 2]> {
    Ok([
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    ])
}

fn datagrams(shared: &Shared) -> Result<()> {
    let sockets = udp()?;
    attempts(shared, DATAGRAM, FOREIGN, |to| {
        sockets[usize::from(to.is_ipv6())].send_to(b"leak", to).map(drop)
    })
}

/// The hooks of calls do not see what a connected socket sends.
fn flows(shared: &Shared) -> Result<()> {
    let sockets = udp()?;
    for (socket, to) in sockets.iter().zip(FOREIGN) {
        socket.connect(at(to))?;
    }
    attempts(shared, FLOW, FOREIGN, |to| {
        sockets[usize::from(to.is_ipv6())].send(b"leak").map(drop)
    })
}

fn quic(shared: &Shared) -> Result<()> {
    let sockets = udp()?;
    attempts(shared, QUIC, NAMED, |to| {
        sockets[usize::from(to.is_ipv6())].send_to(b"leak", to).map(drop)
    })
}

fn segments(shared: &Shared) -> Result<()> {
    let raw = Raw::open()?;
    attempts(shared, SEGMENT, FOREIGN, |to| raw.send(to))
}

/// The connection is granted, the name is not.
fn server_names(shared: &Shared) -> Result<()> {
    let hello = Hello::asking_for(FOREIGN_NAME).bytes();
    while shared.goes_on() {
        for to in NAMED.map(at) {
            // Closed with the hello unsent, the kernel goes on trying to send it for a while.
            let connected = connect(shared, to).and_then(|stream| {
                SockRef::from(&stream).set_linger(None)?;
                Ok(stream)
            });
            let mut stream = match connected {
                Ok(stream) => stream,
                Err(error) => {
                    shared
                        .counts()
                        .wrong(SERVER_NAME, &format!("its connect: {error}"));
                    continue;
                }
            };
            let outcome = stream.write_all(&hello).and_then(|()| {
                if poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&WATCHED))? == 0 {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                // An answer, or the error with which it was ended.
                stream.read_exact(&mut [0])
            });
            shared.counts().sent(SERVER_NAME).note(&outcome);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
