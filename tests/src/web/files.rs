//! A static file server: whole files and byte ranges, as fast as it is told.

use std::io::{self, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT_RANGES, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;

use super::answer::{Body, plain};

/// Bytes that are sent at a time. Small, so that a low rate is smooth and a change of it is felt at once.
const CHUNK: usize = 16 * 1024;

/// The files below a folder.
#[derive(Clone)]
pub(crate) struct Files {
    root: PathBuf,
    /// Bytes a second and connection; 0 for no limit.
    rate: Arc<AtomicU64>,
    /// Whether the connection ends with the answer.
    closes: Arc<AtomicBool>,
}

impl Files {
    pub(crate) fn new(root: PathBuf, rate: Arc<AtomicU64>, closes: Arc<AtomicBool>) -> Self {
        Self { root, rate, closes }
    }

    /// Answers GET and HEAD.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(path) = below(&self.root, request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND);
        };
        let Ok(mut file) = File::open(&path).await else {
            return plain(StatusCode::NOT_FOUND);
        };
        let size = match file.metadata().await {
            Ok(about) if about.is_file() => about.len(),
            _ => return plain(StatusCode::NOT_FOUND),
        };
        let wanted = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let (begin, end, status) = match wanted.map(|wanted| range(wanted, size)) {
            None => (0, size, StatusCode::OK),
            Some(Some((begin, end))) => (begin, end, StatusCode::PARTIAL_CONTENT),
            Some(None) => return plain(StatusCode::RANGE_NOT_SATISFIABLE),
        };
        if file.seek(SeekFrom::Start(begin)).await.is_err() {
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let mut response = Response::builder()
            .status(status)
            .header(ACCEPT_RANGES, "bytes")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, end - begin);
        if status == StatusCode::PARTIAL_CONTENT {
            response = response.header(
                CONTENT_RANGE,
                format!("bytes {begin}-{}/{size}", end.saturating_sub(1)),
            );
        }
        if self.closes.load(Ordering::Relaxed) {
            response = response.header(CONNECTION, "close");
        }
        let body = if request.method() == Method::HEAD {
            plain(status).into_body()
        } else {
            self.stream(file, end - begin)
        };
        response
            .body(body)
            .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
    }

    fn stream(&self, file: File, length: u64) -> Body {
        // One chunk waits at most, so that the rate is that of the connection.
        let (sender, chunks) = mpsc::channel(1);
        tokio::spawn(send(file, length, self.rate.clone(), sender));
        Chunks { chunks, left: length }.boxed()
    }
}

async fn send(mut file: File, length: u64, rate: Arc<AtomicU64>, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut left = length;
    while left > 0 {
        let take = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = vec![0; take];
        let outcome = file.read_exact(&mut chunk).await.map(|_| Bytes::from(chunk));
        let failed = outcome.is_err();
        // A receiver that is gone is a client that is gone.
        if sender.send(outcome).await.is_err() || failed {
            return;
        }
        left -= take as u64;
        if let Some(pause) = (take as u64 * 1_000_000).checked_div(rate.load(Ordering::Relaxed)) {
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
    }
}

/// A body out of a channel.
struct Chunks {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        if let Some(Ok(bytes)) = &chunk {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(chunk.map(|bytes| bytes.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The file that a path in a URL means; none when it leads out of `root`.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
        .then(|| root.join(path))
}

/// The bytes `begin..end` that a `Range` header asks for out of `size` (RFC 9110, 14.1.2): one range only.
fn range(header: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (begin, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(begin), Ok(last)) => (begin, last.saturating_add(1).min(size)),
        (Ok(begin), Err(_)) if last.is_empty() => (begin, size),
        (Err(_), Ok(count)) if first.is_empty() => (size.saturating_sub(count), size),
        _ => return None,
    };
    (begin < end).then_some((begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (header, wanted) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=90-", Some((90, 100))),
            ("bytes=-10", Some((90, 100))),
            ("bytes=90-900", Some((90, 100))),
            ("bytes=100-", None),
            ("bytes=9-5", None),
            ("bytes=x-5", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(range(header, 100), wanted, "{header}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let root = Path::new("/srv");
        assert_eq!(below(root, "/a/b"), Some(PathBuf::from("/srv/a/b")));
        assert_eq!(below(root, "/../etc/passwd"), None);
        assert_eq!(below(root, "/a/../../etc/passwd"), None);
        assert_eq!(
            below(root, "//etc/passwd"),
            Some(PathBuf::from("/srv/etc/passwd"))
        );
    }
}
