//! One TLS session under a server name, to an address that somebody else has chosen.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An emulated machine is slow; a denial that the client learns comes long before.
const LIMIT: Duration = Duration::from_secs(15);

/// Connects, shakes hands and sends a request's first line.
///
/// # Errors
/// What the network or TLS said.
pub(super) fn visit(name: &str, address: &str, ca: &Path) -> Result<()> {
    let address: SocketAddr = address.parse().context("not an address with a port")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned())?)?;
    let socket = TcpStream::connect_timeout(&address, LIMIT).context("connect")?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut stream = StreamOwned::new(session, socket);
    stream.conn.complete_io(&mut stream.sock).context("handshake")?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: lab\r\n\r\n")
        .context("request")
}
