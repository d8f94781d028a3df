//! TLS sessions with the registry, each request answered before the next.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::FOLDER;
use crate::lab::world;

/// What a registry answers to `/v2/` is shorter.
const BODY_MAX: usize = 4096;

/// What all sessions share.
pub(super) fn config() -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(Path::new(FOLDER).join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A session that is open.
pub(super) struct Session(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Session {
    /// Connects to an address of [`world`] and shakes hands under `name`, waiting for each answer for at most `limit`.
    ///
    /// # Errors
    /// What the network or TLS says.
    pub(super) fn open(config: Arc<ClientConfig>, name: &str, to: &str, limit: Duration) -> Result<Self> {
        let session = ClientConnection::new(config, ServerName::try_from(name.to_owned())?)?;
        let address = SocketAddr::new(world::address(to), 443);
        let socket = TcpStream::connect_timeout(&address, limit).context("connect")?;
        socket.set_read_timeout(Some(limit))?;
        socket.set_nodelay(true)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.conn.complete_io(&mut stream.sock).context("handshake")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks the registry whether it is one, and reads its answer.
    ///
    /// # Errors
    /// When the session is cut, and when the answer is not the one of a registry.
    pub(super) fn ask(&mut self) -> Result<()> {
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: {}\r\n\r\n", world::CONTOSO);
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .context("request")?;
        let mut line = String::new();
        self.0.read_line(&mut line).context("answer")?;
        ensure!(
            line.starts_with("HTTP/1.1 200"),
            "the answer is {:?}",
            line.trim()
        );
        let mut length = 0;
        while !line.trim_end().is_empty() {
            line.clear();
            self.0.read_line(&mut line).context("head of the answer")?;
            if let Some((key, value)) = line.split_once(':')
                && key.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        ensure!(length <= BODY_MAX, "the answer has {length} bytes");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).context("body of the answer")
    }
}

/// One session and one request.
///
/// # Errors
/// As [`Session::open`] and [`Session::ask`].
pub(super) fn visit(config: &Arc<ClientConfig>, name: &str, to: &str, limit: Duration) -> Result<()> {
    Session::open(config.clone(), name, to, limit)?.ask()
}
