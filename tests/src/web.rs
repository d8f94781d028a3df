//! TLS servers of the lab: front ends that serve many names, chosen by the server name that the client sends.

mod files;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ca::Ca;

pub(crate) use files::Files;

/// A TLS session that a server of the lab accepted, or a request in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visit {
    /// The address and port that was asked for.
    pub local: SocketAddr,
    /// Who asked.
    pub peer: SocketAddr,
    /// The server name of the session, when there was one.
    pub server_name: Option<String>,
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
    /// Takes whatever is sent and says thank you, as the account of somebody who collects does.
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(sites.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::spawn(accept(listener, acceptor.clone(), sites.clone(), visits.clone()));
    }
    Ok(())
}

async fn accept(
    listener: tokio::net::TcpListener,
    acceptor: TlsAcceptor,
    sites: Arc<Sites>,
    visits: VisitLog,
) {
    // A listener fails for good only when descriptors run out, and then the test fails anyway.
    while let Ok((stream, peer)) = listener.accept().await {
        let (acceptor, sites, visits) = (acceptor.clone(), sites.clone(), visits.clone());
        tokio::spawn(async move {
            // A client that goes away is its own business.
            let _gone = session(stream, peer, &acceptor, &sites, &visits).await;
        });
    }
}

async fn session(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
    sites: &Sites,
    visits: &VisitLog,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    let stream = acceptor.accept(stream).await?;
    let server_name = stream.get_ref().1.server_name().map(str::to_owned);
    let visit = Visit {
        local,
        peer,
        server_name,
        request: None,
    };
    visits.add(visit.clone());
    let site = match &visit.server_name {
        Some(name) => sites.named(name),
        None => sites.named(&local.ip().to_string()),
    };
    match site.map(|site| site.content.clone()) {
        Some(Content::Relay(to)) => relay(stream, to).await,
        content => http(stream, content, &visit, visits).await,
    }
}

async fn relay(mut stream: TlsStream<TcpStream>, to: SocketAddr) -> io::Result<()> {
    let mut behind = TcpStream::connect(to).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut behind)
        .await
        .map(drop)
}

async fn http(
    stream: TlsStream<TcpStream>,
    content: Option<Content>,
    visit: &Visit,
    visits: &VisitLog,
) -> io::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let content = content.clone();
        async move {
            let asked = format!("{} {}", request.method(), request.uri().path());
            let response = match content {
                Some(Content::Files(files)) => files.answer(&request).await,
                Some(Content::Collector) => collect(request).await?,
                // A name that this front end does not serve.
                Some(Content::Relay(_)) | None => plain(StatusCode::MISDIRECTED_REQUEST),
            };
            let request = Some(format!("{asked} {}", response.status().as_u16()));
            visits.add(Visit {
                request,
                ..visit.clone()
            });
            Ok::<_, hyper::Error>(response)
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// Reads a request to its end.
async fn collect(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(plain(StatusCode::CREATED))
}

/// The body of an answer.
type Body = BoxBody<Bytes, io::Error>;

/// An answer without a body.
fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
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
