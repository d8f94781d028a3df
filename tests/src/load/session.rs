//! Short sessions under the granted name, one after another.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use super::NAME;
use super::program::Shared;

/// Between two sessions.
const PAUSE: Duration = Duration::from_millis(5);

/// A TLS session with the load's server.
pub(super) type Session = StreamOwned<ClientConnection, TcpStream>;

/// Connects. Whatever takes longer than the limit fails.
pub(super) fn connect(shared: &Shared, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, shared.stall)?;
    stream.set_read_timeout(Some(shared.stall))?;
    stream.set_write_timeout(Some(shared.stall))?;
    stream.set_nodelay(true)?;
    // Closing it leaves no port in TIME_WAIT: there would soon be no more of them.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

/// Connects and begins TLS; the handshake is part of the first exchange.
pub(super) fn open(shared: &Shared, to: SocketAddr) -> Result<Session> {
    let client = ClientConnection::new(Arc::clone(&shared.tls), ServerName::try_from(NAME)?)?;
    Ok(StreamOwned::new(client, connect(shared, to).context("connect")?))
}

/// Opens sessions, exchanges a few bytes in each, and closes them.
pub(super) fn short(shared: &Shared, kind: &str, to: SocketAddr) -> Result<()> {
    while shared.goes_on() {
        match visit(shared, to) {
            Ok(()) => shared.counts().went(kind),
            Err(failed) => shared.counts().wrong(kind, &format!("{failed:#}")),
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn visit(shared: &Shared, to: SocketAddr) -> Result<()> {
    let mut session = open(shared, to)?;
    session.write_all(b"greetings").context("send")?;
    session.flush().context("send")?;
    let mut back = [0; 9];
    session.read_exact(&mut back).context("receive")?;
    ensure!(&back == b"greetings", "something else came back");
    Ok(())
}
