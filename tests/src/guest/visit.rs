//! TLS sessions under server names, to addresses that somebody else has chosen.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An emulated machine is slow; a denial that the client learns comes long before.
const LIMIT: Duration = Duration::from_secs(15);

/// Behind the name of a session whose hello comes in two segments.
pub(super) const PIECES: &str = "/pieces";

/// How a session went, as the client saw it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// From before the connect to the request or the error, in milliseconds.
    pub(super) took_ms: u64,
    /// What the network or TLS said.
    pub(super) error: Option<String>,
}

/// Begins one session after the other, each `NAME@ADDRESS:PORT`, or `NAME/pieces@ADDRESS:PORT` for one whose hello comes in
/// two segments, and prints an [`Outcome`] a line.
///
/// # Errors
/// When there is nothing to begin with.
pub(super) fn visit(ca: &Path, sessions: &[&str]) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    for session in sessions {
        let (name, address) = session.split_once('@').context("not a name at an address")?;
        let (name, in_pieces) = name
            .strip_suffix(PIECES)
            .map_or((name, false), |name| (name, true));
        let (name, address) = (ServerName::try_from(name.to_owned())?, address.parse()?);
        let begin = Instant::now();
        let error = begin_session(config.clone(), name, address, in_pieces).err();
        let words = error.map_or_else(String::new, |error| format!("{error:#}"));
        println!("{} {words}", begin.elapsed().as_millis());
    }
    Ok(())
}

/// What [`visit`] printed.
pub(super) fn outcomes(printed: &str) -> Vec<Outcome> {
    printed
        .lines()
        .filter_map(|line| {
            let (took, words) = line.split_once(' ')?;
            Some(Outcome {
                took_ms: took.parse().ok()?,
                error: (!words.is_empty()).then(|| words.to_owned()),
            })
        })
        .collect()
}

/// Connects, shakes hands and sends the head of a request.
fn begin_session(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    address: SocketAddr,
    in_pieces: bool,
) -> Result<()> {
    let mut session = ClientConnection::new(config, name)?;
    let mut socket = TcpStream::connect_timeout(&address, LIMIT).context("connect")?;
    socket.set_read_timeout(Some(LIMIT))?;
    if in_pieces {
        let mut hello = Vec::new();
        session.write_tls(&mut hello)?;
        // Neither waits for the other.
        socket.set_nodelay(true)?;
        let (first, second) = hello.split_at(hello.len() / 2);
        socket.write_all(first).context("first piece")?;
        socket.write_all(second).context("second piece")?;
    }
    let mut stream = StreamOwned::new(session, socket);
    stream.conn.complete_io(&mut stream.sock).context("handshake")?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: lab\r\n\r\n")
        .context("request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_as_they_are_printed() {
        let read = outcomes("12 \n3400 connect: refused\nwords\n");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].took_ms, read[0].error.as_deref()), (12, None));
        assert_eq!(
            (read[1].took_ms, read[1].error.as_deref()),
            (3400, Some("connect: refused"))
        );
    }
}
