//! TLS servers of the lab: front ends that serve many names, chosen by the server name that the client sends.

mod answer;
mod files;
mod session;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::ca::Ca;
use crate::hybrid;

pub(crate) use files::Files;

/// A ClientHello that reached a server of the lab, or a request in its session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visit {
    /// The address and port that was asked for.
    pub local: SocketAddr,
    /// Who asked.
    pub peer: SocketAddr,
    /// The server name that was asked for, when there was one.
    pub server_name: Option<String>,
    /// The size of the TLS record with the ClientHello, its header included: all of it, as clients send it.
    pub hello_bytes: usize,
    /// Whether the server had to ask for a second ClientHello (HelloRetryRequest). Known once there is a request.
    pub second_hello: bool,
    /// Method, path and status of a request, such as `PUT /secrets/a 201`; none for the session as such.
    pub request: Option<String>,
}

/// Visits in the order in which they happened.
#[derive(Clone, Default)]
pub(crate) struct VisitLog(Arc<Mutex<Vec<Visit>>>);

impl VisitLog {
    fn add(&self, visit: Visit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    }

    pub(crate) fn all(&self) -> Vec<Visit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is behind a server name.
#[derive(Clone)]
pub(crate) enum Content {
    /// A server without TLS in the same namespace.
    Relay(SocketAddr),
    /// Files.
    Files(Files),
    /// Takes whatever is sent and says thank you, as the account of somebody who collects does; who asks for something
    /// is told whom he reached.
    Collector,
}

/// Names with one certificate and one content.
pub(crate) struct Site {
    names: Vec<String>,
    certificate: Arc<CertifiedKey>,
    content: Content,
}

impl Site {
    /// A site for host names, wildcards such as `*.azurecr.io`, and addresses.
    pub(crate) fn new(ca: &Ca, names: &[&str], content: Content) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = ca
            .issue(&names)
            .with_context(|| format!("no certificate for {}", names.join(", ")))?;
        Ok(Self {
            names,
            certificate,
            content,
        })
    }
}

/// The sites of one front end.
pub(crate) struct Sites(Vec<Site>);

impl Sites {
    fn named(&self, name: &str) -> Option<&Site> {
        self.0
            .iter()
            .find(|site| site.names.iter().any(|pattern| covers(pattern, name)))
    }
}

/// Whether a certificate's `pattern` covers `name`: a wildcard stands for one label (RFC 9525, 6.3).
fn covers(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(parent), Some((_, rest))) => parent.eq_ignore_ascii_case(rest),
        _ => false,
    }
}

impl std::fmt::Debug for Sites {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list()
            .entries(self.0.iter().map(|site| &site.names))
            .finish()
    }
}

impl ResolvesServerCert for Sites {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Without a name, or under one that nobody has here, a front end shows its first certificate.
        let site = hello
            .server_name()
            .and_then(|name| self.named(name))
            .or(self.0.first());
        site.map(|site| site.certificate.clone())
    }
}

/// Serves `sites` on each of `listeners`; to be called inside the runtime that lives in the listeners' namespace.
///
/// # Errors
/// When a listener cannot be handed to the runtime.
pub(crate) fn serve(listeners: Vec<TcpListener>, sites: Vec<Site>, visits: &VisitLog) -> Result<()> {
    let sites = Arc::new(Sites(sites));
    // The one that knows post-quantum key exchange, since clients do.
    let provider = Arc::new(hybrid::provider());
    let mut http1 = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(sites.clone());
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut http2 = http1.clone();
    http2.alpn_protocols.insert(0, b"h2".to_vec());
    let front = Arc::new(session::Front {
        sites,
        http1: Arc::new(http1),
        http2: Arc::new(http2),
        visits: visits.clone(),
    });
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::spawn(session::accept(listener, front.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("*.azurecr.io", "contoso.azurecr.io"));
        assert!(covers("contoso.azurecr.io", "CONTOSO.azurecr.io"));
        assert!(!covers("*.azurecr.io", "contoso.eastus.data.azurecr.io"));
        assert!(!covers("*.azurecr.io", "azurecr.io"));
        assert!(!covers("*.azurecr.io", "contoso.azurecr.io.example.com"));
    }
}
