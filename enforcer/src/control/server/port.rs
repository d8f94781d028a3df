//! The port of the metrics, where the configuration names one: for those who read them and nothing else.
//!
//! Whoever can connect to the loopback gets them: TCP does not tell who that is. So there is nothing else here, what is
//! asked for is made once a second at the most, and everything has the limits of the socket. Who takes all its slots
//! keeps others from the metrics for as long as he does, and from nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::listen::{PAUSE, RETRY, turn_away};
use super::routes::{self, Refused, canned};
use super::slots::Slots;
use super::{Body, serve_with};
use crate::control::metrics;
use crate::control::view::{Board, View};

/// How long what was made is given to others as well.
const FRESH: Duration = Duration::from_secs(1);
/// In whose name slots are taken: nobody's. It has no more than one user of the socket.
const ANYBODY: u32 = u32::MAX;

/// What was made last, and when.
pub(super) type Latest = Arc<Mutex<Option<(Instant, Bytes)>>>;

/// Listens wherever the policy in force says, until it is stopped.
pub(super) async fn listen(board: &Arc<Board>, mut stop: watch::Receiver<bool>) {
    let serving = async {
        let mut views = board.views();
        loop {
            let wanted = views.borrow_and_update().as_deref().and_then(address);
            let changed = async {
                // The board lives as long as this does.
                let _changed = views
                    .wait_for(|view| view.as_deref().and_then(address) != wanted)
                    .await;
            };
            match wanted {
                Some(wanted) => tokio::select! {
                    () = changed => {}
                    () = serve_at(wanted, board) => {}
                },
                None => changed.await,
            }
            board.set_port_trouble(None);
        }
    };
    tokio::select! {
        () = serving => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

fn address(view: &View) -> Option<SocketAddr> {
    view.policy.config.control.metrics
}

/// Serves at `address`; while that is not possible it is tried again and again.
async fn serve_at(address: SocketAddr, board: &Arc<Board>) {
    let mut told = None;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(failed) => {
                let trouble = format!("{address} can not be listened at ({failed})");
                if told.as_ref() != Some(&trouble) {
                    warn!(
                        "there are no metrics: {trouble}; enforcement does not depend on it, and it is tried again"
                    );
                    board.set_port_trouble(Some(trouble.clone()));
                    told = Some(trouble);
                }
                sleep(RETRY).await;
            }
        }
    };
    board.set_port_trouble(None);
    info!("metrics are at http://{address}/metrics");
    let (slots, latest) = (Slots::default(), Latest::default());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left, or no memory; what waits is not lost.
            sleep(PAUSE).await;
            continue;
        };
        match slots.take(ANYBODY) {
            Some(slot) => {
                let (board, latest) = (Arc::clone(board), Arc::clone(&latest));
                tokio::spawn(async move {
                    serve_with(stream, |request| answer(request, &board, &latest)).await;
                    drop(slot);
                });
            }
            None => {
                // Without a slot the connection just ends.
                if let Some(slot) = slots.take_stranger() {
                    tokio::spawn(turn_away(stream, canned::busy(), slot));
                }
            }
        }
    }
}

/// Answers one request of anybody.
pub(super) async fn answer(request: Request<Incoming>, board: &Board, latest: &Latest) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        // The body of an answer to HEAD is not sent, but counted.
        (&Method::GET | &Method::HEAD, "/metrics") => match text(board, latest).await {
            Some(text) => routes::response(metrics::CONTENT_TYPE, Full::from(text).boxed_unsync()),
            None => routes::starting().response(),
        },
        (_, "/metrics") => routes::wrong_method("GET, HEAD").response(),
        _ => Refused::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this path",
            "/metrics is all that is here; everything else is at the control socket",
        )
        .response(),
    }
}

/// The metrics of a moment ago.
async fn text(board: &Board, latest: &Latest) -> Option<Bytes> {
    let mut latest = latest.lock().await;
    if let Some((made, text)) = latest.as_ref()
        && made.elapsed() < FRESH
    {
        return Some(text.clone());
    }
    let text = Bytes::from(routes::metrics_text(board).await?);
    *latest = Some((Instant::now(), text.clone()));
    Some(text)
}
