//! One TLS session with a front end: its ClientHello, its handshake, and what is behind its name.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{collect, plain};
use super::{Content, Sites, Visit, VisitLog};

/// A front end: what it serves, how, and where it writes down who came.
pub(super) struct Front {
    pub(super) sites: Arc<Sites>,
    /// For what is relayed as it comes, or closes connections as HTTP/2 cannot.
    pub(super) http1: Arc<ServerConfig>,
    pub(super) http2: Arc<ServerConfig>,
    pub(super) visits: VisitLog,
}

/// Serves who comes.
pub(super) async fn accept(listener: TcpListener, front: Arc<Front>) {
    // A listener fails for good only when descriptors run out, and then the test fails anyway.
    while let Ok((stream, peer)) = listener.accept().await {
        let front = front.clone();
        tokio::spawn(async move {
            // A client that goes away is its own business.
            let _gone = session(stream, peer, &front).await;
        });
    }
}

async fn session(stream: TcpStream, peer: SocketAddr, front: &Front) -> io::Result<()> {
    let local = stream.local_addr()?;
    let hello_bytes = record_bytes(&stream).await?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let visit = Visit {
        local,
        peer,
        server_name: start.client_hello().server_name().map(str::to_owned),
        hello_bytes,
        second_hello: false,
        request: None,
    };
    // Before the handshake: a hello that arrives has said what it says, whatever becomes of the session.
    front.visits.add(visit.clone());
    let site = match &visit.server_name {
        Some(name) => front.sites.named(name),
        None => front.sites.named(&local.ip().to_string()),
    };
    let content = site.map(|site| site.content.clone());
    let config = match content {
        Some(Content::Collector) => &front.http2,
        _ => &front.http1,
    };
    let stream = start.into_stream(config.clone()).await?;
    match content {
        Some(Content::Relay(to)) => relay(stream, to).await,
        content => http(stream, content, visit, &front.visits).await,
    }
}

/// The size of the first TLS record (RFC 8446, 5.1), without taking it.
async fn record_bytes(stream: &TcpStream) -> io::Result<usize> {
    let mut header = [0; 5];
    // What is there already wakes the task again at once; a header in pieces is rare and the rest is on its way.
    loop {
        match stream.peek(&mut header).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            5.. => return Ok(5 + usize::from(u16::from_be_bytes([header[3], header[4]]))),
            _ => tokio::task::yield_now().await,
        }
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
    mut visit: Visit,
    visits: &VisitLog,
) -> io::Result<()> {
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    visit.second_hello = session.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest);
    let (requests, content) = (AtomicU64::new(0), Arc::new(content));
    let visits = visits.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (content, visit, visits) = (content.clone(), visit.clone(), visits.clone());
        let number = 1 + requests.fetch_add(1, Ordering::Relaxed);
        async move {
            let asked = format!("{} {}", request.method(), request.uri().path());
            let response = match content.as_ref() {
                Some(Content::Files(files)) => files.answer(&request).await,
                Some(Content::Collector) => collect(request, visit.server_name.as_deref(), number).await,
                // A name that this front end does not serve.
                Some(Content::Relay(_)) | None => plain(StatusCode::MISDIRECTED_REQUEST),
            };
            let request = Some(format!("{asked} {}", response.status().as_u16()));
            visits.add(Visit { request, ..visit });
            Ok::<_, Infallible>(response)
        }
    });
    let stream = TokioIo::new(stream);
    let outcome = if is_http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(stream, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new()
            .serve_connection(stream, service)
            .await
    };
    outcome.map_err(io::Error::other)
}
