//! The daemon's end of the control socket: a thread and a runtime of its own, so that no client disturbs the run loop.
//!
//! ```text
//! listen ── who is it (access) ──> slots ──> http (hyper) ──> routes ──> Board
//!              └── nobody: 403, without a byte of his being read
//! port ─────── anybody ──────────> slots ──> http (hyper) ──> metrics, and nothing else
//! ```
//!
//! Anybody may connect, so that whoever has no rights is told so; what he sends is never looked at. Everything has a
//! limit: connections in all and of each user, with some kept for root ([`slots`]); the time for a head and for a write
//! ([`stall`]); the sizes of head and body.

mod events;
mod explain;
mod listen;
mod plan;
mod port;
mod routes;
mod slots;
mod stall;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::error;

use self::listen::Place;
use self::stall::Stall;
use super::access::Rights;
use super::view::Board;

/// How long the head of a request may take.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a write may wait for a reader that does not read.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Most bytes of a head, and of what is buffered for a client.
const BUFFER_MAX: usize = 16 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 32;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The running server. Dropping it ends it and takes its socket away.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<bool>,
    place: Arc<Place>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `socket`, in place of whatever dead daemon's is there, and answers from `board`. Where that is not
    /// possible it is told, and tried again and again: enforcement does not depend on it.
    ///
    /// # Errors
    /// No thread or no runtime can be started.
    pub fn start(socket: PathBuf, board: Arc<Board>) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            // One for an explanation, one for a plan: see their turns.
            .max_blocking_threads(2)
            .enable_all()
            .build()?;
        let place = Arc::new(Place::new(socket));
        let listens_at = Arc::clone(&place);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let port = port::listen(&board, stopped.clone());
                    tokio::join!(listen::listen(&listens_at, &board, stopped.clone()), port);
                });
            })?;
        Ok(Self {
            stop,
            place,
            thread: Some(thread),
        })
    }

    /// Looks whether the socket is still in its place, and has it made again when it is not. To be called every few seconds
    /// by whoever is awake anyway: the thread itself wakes for clients only.
    pub fn look(&self) {
        self.place.look();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread of the control socket had failed");
        }
    }
}

/// Answers the one request of a connection.
async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, rights: Rights, board: Arc<Board>) {
    let answer = |request| {
        let board = Arc::clone(&board);
        async move { routes::answer(request, rights, &board).await }
    };
    serve_with(io, answer).await;
}

/// As [`serve`], by what `answer` gives.
async fn serve_with<F>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Body>>,
{
    let answer = service_fn(|request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    // What a client does wrong is his own affair, and told to him where that is possible.
    let _ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .keep_alive(false)
        .max_buf_size(BUFFER_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Stall::new(io, WRITE_LIMIT)), answer)
        .await;
}

#[cfg(test)]
mod tests;
