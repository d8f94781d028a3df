//! The other end of the control socket: what commands ask with, and what can come of it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::filter::Query;
use super::model::{Entry, Problem, ReloadOutcome, Status};
use super::{VERSION, VERSION_HEADER, socket};
use crate::state::{Folders, Instance};

/// How long a daemon may take that has nothing to wait for.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a reload may take, longer than the daemon gives it.
const RELOAD_LIMIT: Duration = Duration::from_secs(70);
/// How often whoever waits for longer looks whether the daemon still answers at all.
const LOOK: Duration = Duration::from_secs(5);
/// How long a connection may take, when many want one.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of a document.
const DOCUMENT_MAX: usize = 64 << 20;
/// Most bytes of a line of the history.
const LINE_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: no daemon runs, or it has not come so far.
    #[error("no daemon listens at {}", socket.display())]
    NotListening {
        /// The control socket.
        socket: PathBuf,
    },
    /// The socket can not be reached.
    #[error("{} can not be reached", socket.display())]
    Connect {
        /// The control socket.
        socket: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// The daemon listens and does not answer.
    #[error("the daemon does not answer")]
    Silent,
    /// The daemon speaks another version.
    #[error("this enforcer speaks version {VERSION} of the control socket, and the daemon {theirs}")]
    Version {
        /// What the daemon speaks, in words.
        theirs: String,
    },
    /// The daemon said why not.
    #[error("{}", .0.message)]
    Refused(Problem),
    /// The daemon hung up, which it does when it ends.
    #[error("the connection ended before the answer was whole")]
    Ended(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What came is no answer.
    #[error("the answer can not be understood")]
    Garbage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ClientError {
    /// Whether the daemon refused with this word.
    #[must_use]
    pub fn is_refused(&self, code: &str) -> bool {
        matches!(self, Self::Refused(problem) if problem.code == code)
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotListening { .. } => {
                "`systemctl start enforcer`, or `enforcer run`; with --instance, is it the right one?".to_owned()
            }
            Self::Connect { .. } => "run it as root: `sudo enforcer ...`".to_owned(),
            Self::Silent => {
                "look at its log; what is in force stays, and `systemctl restart enforcer` takes it over without a gap"
                    .to_owned()
            }
            Self::Version { .. } => {
                "use the enforcer that the daemon was started from, or restart the daemon: `systemctl restart enforcer`"
                    .to_owned()
            }
            Self::Refused(problem) => problem.hint.clone().unwrap_or_default(),
            Self::Ended(_) => {
                "ask again; if it says the same, look at the daemon's log: `journalctl -u enforcer`".to_owned()
            }
            Self::Garbage(_) => "is it an enforcer that listens there?".to_owned(),
        }
    }

    fn garbage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Garbage(error.into())
    }

    /// For what was read of an answer.
    fn of_read(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match error.downcast::<hyper::Error>() {
            Ok(error) => Self::of_http(*error),
            Err(error) => Self::Garbage(error),
        }
    }

    fn of_http(error: hyper::Error) -> Self {
        if error.is_parse() {
            Self::Garbage(error.into())
        } else {
            Self::Ended(error.into())
        }
    }
}

/// Asks the daemon of one instance. Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// The entries that were asked for, as they come.
pub struct Entries {
    body: Incoming,
    buffer: Vec<u8>,
    /// How long the next bytes may take, where nothing has to happen first.
    limit: Option<Duration>,
    /// The process that answers.
    pub pid: Option<u32>,
}

impl Client {
    /// For the daemon of `instance`.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::at(socket(&Folders::of(instance).runtime))
    }

    /// For whoever listens at `socket`.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// How the instance is.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/v1/status", ANSWER_LIMIT).await
    }

    /// Has the daemon read its configuration again, and waits for what comes of it.
    ///
    /// # Errors
    /// A [`ClientError`]; a file with problems is none.
    pub async fn reload(&self) -> Result<ReloadOutcome, ClientError> {
        self.ask(Method::POST, "/v1/reload", RELOAD_LIMIT).await
    }

    /// Entries of the history.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn entries(&self, query: &Query) -> Result<Entries, ClientError> {
        let path = format!("/v1/events?{}", query.encode());
        let response = timeout(ANSWER_LIMIT, self.send(Method::GET, &path))
            .await
            .map_err(|_| ClientError::Silent)??;
        let pid = response.headers().get("enforcer-pid");
        Ok(Entries {
            pid: pid.and_then(|pid| pid.to_str().ok()?.parse().ok()),
            body: response.into_body(),
            buffer: Vec::new(),
            limit: (!query.follow).then_some(ANSWER_LIMIT),
        })
    }

    /// Comes to an end when the daemon answers nothing any more, for whoever waits longer than for an answer. Never
    /// when it is gone: that shows where it is waited for.
    pub async fn hangs(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            // There is nothing at this path, and to say so is all that is asked of the daemon.
            let answered = timeout(ANSWER_LIMIT, self.send(Method::GET, "/")).await;
            if matches!(answered, Err(_) | Ok(Err(ClientError::Silent))) {
                return;
            }
        }
    }

    /// Metrics, in the text format of OpenMetrics.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let body = self.body(Method::GET, "/metrics", ANSWER_LIMIT).await?;
        String::from_utf8(body.into()).map_err(ClientError::garbage)
    }

    /// Asks for a document at `path` (with its query, percent-encoded), for `limit` at the most.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, ClientError> {
        self.ask(Method::GET, path, limit).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let body = self.body(method, path, limit).await?;
        serde_json::from_slice(&body).map_err(ClientError::garbage)
    }

    async fn body(&self, method: Method, path: &str, limit: Duration) -> Result<Bytes, ClientError> {
        let whole = async {
            let response = self.send(method, path).await?;
            let body = Limited::new(response.into_body(), DOCUMENT_MAX).collect().await;
            Ok(body.map_err(ClientError::of_read)?.to_bytes())
        };
        tokio::select! {
            answered = timeout(limit, whole) => answered.map_err(|_| ClientError::Silent)?,
            () = self.hangs(), if limit > ANSWER_LIMIT => Err(ClientError::Silent),
        }
    }

    /// Sends a request; an answer that is an error is one here.
    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::of_http)?;
        // Its errors are those of the request.
        tokio::spawn(async {
            let _ended = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "enforcer")
            .body(Empty::<Bytes>::new())
            .map_err(ClientError::garbage)?;
        let response = sender.send_request(request).await.map_err(ClientError::of_http)?;
        self.accept(response).await
    }

    async fn accept(&self, response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
        let theirs = response.headers().get(VERSION_HEADER);
        let theirs = theirs.and_then(|theirs| theirs.to_str().ok());
        if theirs.is_none_or(|theirs| theirs != VERSION.to_string()) {
            let theirs = theirs.map_or_else(|| "none".to_owned(), |theirs| format!("version {theirs}"));
            return Err(ClientError::Version { theirs });
        }
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), LINE_MAX).collect().await;
        let body = body.map_err(ClientError::of_read)?.to_bytes();
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(ClientError::garbage(format!(
                "the status {status} without a reason"
            ))),
        }
    }

    /// Connects. Where many wait for their turn it takes its own, which a socket that does not block would not get.
    fn connect(&self) -> Result<UnixStream, ClientError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotListening {
                socket: self.socket.clone(),
            },
            io::ErrorKind::WouldBlock => ClientError::Silent,
            _ => ClientError::Connect {
                socket: self.socket.clone(),
                source,
            },
        };
        let stream = || -> io::Result<UnixStream> {
            let address = SocketAddrUnix::new(&self.socket)?;
            let socket = socket_with(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )?;
            set_socket_timeout(&socket, Timeout::Send, Some(CONNECT_LIMIT))?;
            connect(&socket, &address)?;
            let stream = std::os::unix::net::UnixStream::from(socket);
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        };
        stream().map_err(failed)
    }
}

impl Entries {
    /// The next entry; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// A [`ClientError`], also when the connection ends in the middle.
    pub async fn next(&mut self) -> Result<Option<Entry>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(ClientError::garbage);
            }
            if self.buffer.len() > LINE_MAX {
                return Err(ClientError::garbage("a line without an end"));
            }
            let frame = match self.limit {
                Some(limit) => timeout(limit, self.body.frame())
                    .await
                    .map_err(|_| ClientError::Silent)?,
                None => self.body.frame().await,
            };
            match frame {
                Some(frame) => {
                    let frame = frame.map_err(ClientError::of_http)?;
                    if let Some(bytes) = frame.data_ref() {
                        self.buffer.extend_from_slice(bytes);
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(ClientError::garbage("half a line")),
            }
        }
    }
}
