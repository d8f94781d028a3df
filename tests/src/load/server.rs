//! What the load talks to, and what has arrived there.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::LazyConfigAcceptor;

use super::counts::Counts;
use super::{FOREIGN, NAME, NAMED, PLAIN, PORT, denied, own_addresses};
use crate::ca::Ca;
use crate::lab::{Lab, Protocol, runtime_in, world};

/// Servers that echo, on the lab's servers' host: with TLS at [`NAMED`], without at [`PLAIN`].
pub struct Server {
    _runtime: Runtime,
    foreign: Arc<AtomicU64>,
    certificates: PathBuf,
}

/// What came of a load, from both ends.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What the load counted.
    pub counts: Counts,
    /// What arrived although nothing granted it: packets, and ClientHellos under a foreign name.
    pub leaked: Vec<(&'static str, u64)>,
}

impl Tally {
    /// Everything that arrived although nothing granted it.
    #[must_use]
    pub fn all_leaked(&self) -> u64 {
        self.leaked.iter().map(|(_, count)| count).sum()
    }
}

impl Server {
    /// Starts them.
    ///
    /// # Errors
    /// When there is one already.
    pub fn start(lab: &Lab) -> Result<Self> {
        let host = lab.server();
        host.add_addresses(own_addresses())?;
        let ca = Ca::new()?;
        let certificates = lab.write_config("load-ca.pem", ca.pem())?;
        let certificate = ca.issue(&[NAME.to_owned()])?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(certificate)));
        let runtime = runtime_in(host)?;
        let config = Arc::new(config);
        let foreign = Arc::<AtomicU64>::default();
        for address in NAMED {
            let (config, foreign) = (Arc::clone(&config), Arc::clone(&foreign));
            serve(&runtime, lab, address, move |stream| {
                named(stream, Arc::clone(&config), Arc::clone(&foreign))
            })?;
        }
        for address in PLAIN {
            serve(&runtime, lab, address, echo)?;
        }
        Ok(Self {
            _runtime: runtime,
            foreign,
            certificates,
        })
    }

    /// The file of certificates that a client has to trust.
    pub(super) fn certificates(&self) -> &Path {
        &self.certificates
    }

    /// What has arrived so far although nothing granted it, by kind. The lab's own servers are at [`FOREIGN`].
    ///
    /// # Errors
    /// When nftables cannot be asked.
    pub fn leaked(&self, lab: &Lab) -> Result<Vec<(&'static str, u64)>> {
        let arrived = |protocol, list: [&str; 2]| -> Result<u64> {
            list.into_iter()
                .map(|address| lab.arrived(protocol, world::address(address), PORT))
                .sum()
        };
        Ok(vec![
            ("tcp", arrived(Protocol::Tcp, FOREIGN)?),
            ("udp", arrived(Protocol::Udp, FOREIGN)?),
            (denied::QUIC, arrived(Protocol::Udp, NAMED)?),
            (denied::SERVER_NAME, self.foreign.load(Ordering::Relaxed)),
        ])
    }
}

/// The same certificate whatever the name: what counts is whether a hello arrives.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Serves each connection to `address` on a task of its own.
fn serve<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    lab: &Lab,
    address: &str,
    with: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<()> {
    let address = SocketAddr::new(world::address(address), PORT);
    let listener = lab
        .server()
        .run(|| TcpListener::bind(address))?
        .with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    runtime.spawn(async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        loop {
            // One that is gone already is no reason to stop.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(with(stream));
            }
        }
    });
    Ok(())
}

async fn named(stream: TcpStream, config: Arc<ServerConfig>, foreign: Arc<AtomicU64>) {
    let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else {
        return;
    };
    if start.client_hello().server_name() != Some(NAME) {
        foreign.fetch_add(1, Ordering::Relaxed);
    }
    if let Ok(stream) = start.into_stream(config).await {
        echo(stream).await;
    }
}

async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (mut read, mut write) = tokio::io::split(stream);
    // A client that goes away is its own business.
    let _gone = tokio::io::copy(&mut read, &mut write).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_the_load_belong_to_nobody_else() {
        let own: Vec<_> = own_addresses().collect();
        assert!(
            !own.iter()
                .any(|address| world::service_addresses().any(|other| other == *address))
        );
    }
}
