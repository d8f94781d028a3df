//! A name server that says what a test tells it to say, over UDP and TCP, and over TLS and HTTPS where asked to.
//!
//! It answers like a recursive resolver that knows nothing beyond its [`Zone`]. A test changes the zone while the
//! server runs, and reads afterwards who asked for what. The server lives on a thread of its own, so that plain tests
//! use it as well as asynchronous ones:
//!
//! ```no_run
//! use enforcer_lab::nameserver::{Fault, NameServer, RecordType};
//!
//! let server = NameServer::start(&["127.0.0.1:0".parse().unwrap()]).unwrap();
//! server.script(|zone| {
//!     zone.cname("contoso.azurecr.io", 300, "contoso.westeurope.cloudapp.azure.com");
//!     zone.addresses("contoso.westeurope.cloudapp.azure.com", 10, &["198.51.100.1", "2001:db8::1"]);
//!     zone.fault("broken.example.com", RecordType::A, Fault::ServFail);
//! });
//! println!("nameserver {}", server.address());
//! assert!(server.asked().is_empty());
//! ```
//!
//! To run it inside a network namespace, bind the sockets on a thread that has entered the namespace ([`bind`]) and
//! give them to [`NameServer::with_sockets`]: a socket stays in the namespace it was made in.

mod garbage;
mod handler;
mod zone;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_server::Server;

pub use garbage::Garbage;
pub use hickory_proto::rr::RecordType;
pub use zone::{Fault, Zone};

use handler::Handler;

/// How long a TCP connection may be idle. Far above any time-out of a client under test.
const TCP_IDLE: Duration = Duration::from_secs(60);
/// Answers that may wait for a slow TCP client.
const TCP_ANSWERS_WAITING: usize = 64;
/// How often a free port is looked for that UDP and TCP can share.
const BIND_TRIES: usize = 64;

/// Something that questions come in by.
pub enum Listener {
    /// UDP and TCP.
    Plain(UdpSocket, TcpListener),
    /// DNS over TLS (RFC 7858).
    Tls(TcpListener, Arc<rustls::ServerConfig>),
    /// DNS over HTTPS (RFC 8484), HTTP/2 alone: the configuration has to offer `h2`.
    Https {
        /// Where it listens.
        listener: TcpListener,
        /// Its certificate and protocols.
        tls: Arc<rustls::ServerConfig>,
        /// The path of the queries, with its leading slash.
        path: String,
    },
}

/// A question that was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// The name, in lower case and without the trailing dot.
    pub name: String,
    /// The type of record that was asked for.
    pub kind: RecordType,
    /// Whether it came over TCP, TLS or HTTPS.
    pub tcp: bool,
    /// Who asked.
    pub from: SocketAddr,
}

/// A running name server; dropping it stops it.
pub struct NameServer {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handler and the test look at together.
#[derive(Default)]
struct Shared {
    zone: Mutex<Zone>,
    asked: Mutex<Vec<Asked>>,
}

/// Binds UDP and TCP on `address`, in the network namespace of the calling thread. With port 0 both get the same
/// free port.
///
/// # Errors
/// When one of the two can not be bound.
pub fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { BIND_TRIES } else { 1 };
    loop {
        tries -= 1;
        let udp = UdpSocket::bind(address)?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

impl NameServer {
    /// Listens on `addresses`, UDP and TCP each, with an empty zone: every name is NXDOMAIN.
    ///
    /// # Errors
    /// When an address can not be bound.
    pub fn start(addresses: &[SocketAddr]) -> io::Result<Self> {
        Self::with_sockets(
            addresses
                .iter()
                .map(|address| bind(*address))
                .collect::<Result<_, _>>()?,
        )
    }

    /// Serves on sockets that are already bound, in whatever network namespace they were made.
    ///
    /// # Errors
    /// When a socket can not be made non-blocking, or the server's thread can not be started.
    pub fn with_sockets(sockets: Vec<(UdpSocket, TcpListener)>) -> io::Result<Self> {
        Self::with_listeners(
            sockets
                .into_iter()
                .map(|(udp, tcp)| Listener::Plain(udp, tcp))
                .collect(),
        )
    }

    /// Serves on listeners of any kind that are already bound. All say the same.
    ///
    /// # Errors
    /// When a socket can not be made non-blocking, or the server's thread can not be started.
    pub fn with_listeners(listeners: Vec<Listener>) -> io::Result<Self> {
        let mut addresses = Vec::with_capacity(listeners.len());
        for listener in &listeners {
            let (Listener::Plain(_, tcp) | Listener::Tls(tcp, _) | Listener::Https { listener: tcp, .. }) =
                listener;
            addresses.push(tcp.local_addr()?);
            tcp.set_nonblocking(true)?;
            if let Listener::Plain(udp, _) = listener {
                udp.set_nonblocking(true)?;
            }
        }
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell_ready, ready) = mpsc::channel();
        let handler = Handler {
            shared: shared.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("nameserver".to_owned())
            .spawn(move || serve(listeners, handler, &tell_ready, stopped))?;
        // A server that could not start has dropped its end.
        ready
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the name server's thread ended at once")))?;
        Ok(Self {
            shared,
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens, in the order they were given, with the ports that port 0 became.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The first of [`Self::addresses`].
    ///
    /// # Panics
    /// When the server was started without an address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Changes what it says, from the next question on. All that `change` does is seen at once.
    pub fn script<R>(&self, change: impl FnOnce(&mut Zone) -> R) -> R {
        change(&mut lock(&self.shared.zone))
    }

    /// Every question received so far, in order; also those that were answered with silence.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// How often `name` was asked for with `kind`, over UDP and TCP together.
    #[must_use]
    pub fn count(&self, name: &str, kind: RecordType) -> usize {
        let name = zone::key(name);
        lock(&self.shared.asked)
            .iter()
            .filter(|asked| asked.kind == kind && asked.name == name)
            .count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // An error means that the thread is gone already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The body of the server's thread: until `stopped` resolves.
fn serve(
    listeners: Vec<Listener>,
    handler: Handler,
    tell_ready: &mpsc::Sender<io::Result<()>>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell_ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        let mut server = Server::new(handler);
        for listener in listeners {
            let registered = register(&mut server, listener);
            if let Err(error) = registered {
                let _ = tell_ready.send(Err(error));
                return;
            }
        }
        let _ = tell_ready.send(Ok(()));
        let _ = stopped.await;
        // Not gracefully: a test that ends does not wait for answers that are being delayed.
    });
}

/// Has `server` listen; within its runtime.
fn register(server: &mut Server<Handler>, listener: Listener) -> io::Result<()> {
    let tokio_listener = tokio::net::TcpListener::from_std;
    match listener {
        Listener::Plain(udp, tcp) => {
            server.register_socket(tokio::net::UdpSocket::from_std(udp)?);
            server.register_listener(tokio_listener(tcp)?, TCP_IDLE, TCP_ANSWERS_WAITING);
            Ok(())
        }
        Listener::Tls(tcp, tls) => {
            server.register_tls_listener_with_tls_config(tokio_listener(tcp)?, TCP_IDLE, tls)
        }
        Listener::Https { listener, tls, path } => server.register_https_listener_with_tls_config(
            tokio_listener(listener)?,
            TCP_IDLE,
            tls,
            None,
            path,
        ),
    }
}

/// A test that panicked while it changed the zone shall not hide its own message behind a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
