//! The stream of the history: a line of JSON for each entry that is wanted.
//!
//! A task reads the history and writes lines; at most a chunk waits for a client. One that does not read holds only
//! itself up: when it reads again it is told what went by.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame};
use tokio::sync::mpsc;

use super::Body;
use crate::control::filter::Query;
use crate::control::history::{Batch, Moment};
use crate::control::model::{Entry, Missed};
use crate::control::view::Board;

/// Entries that are looked at in one go, before others have their turn.
const BATCH_MAX: usize = 64;

struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// The entries that `query` asks for.
pub(super) fn stream(board: &Arc<Board>, query: Query) -> Body {
    let (send, lines) = mpsc::channel(1);
    tokio::spawn(write(Arc::clone(board), query, send));
    Lines(lines).boxed_unsync()
}

async fn write(board: Arc<Board>, query: Query, send: mpsc::Sender<Bytes>) {
    let mut newest = board.history.newest();
    let shares = query.filter.shares();
    let (mut next, missed) = board.history.begin(query.since, Moment::now(), shares);
    let end = *newest.borrow_and_update();
    let mut lines = String::new();
    if let Some(missed) = missed {
        push_missed(&mut lines, missed);
    }
    loop {
        let batch = board.history.read(next, BATCH_MAX, shares);
        next = batch.next;
        let is_last = batch.entries.is_empty() || !query.follow && batch.last >= end;
        push(&mut lines, batch, &query);
        if !lines.is_empty() && send.send(std::mem::take(&mut lines).into()).await.is_err() {
            return;
        }
        if !is_last {
            tokio::task::yield_now().await;
            continue;
        }
        if !query.follow {
            return;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = send.closed() => return,
        }
    }
}

fn push(lines: &mut String, batch: Batch, query: &Query) {
    if let Some(missed) = batch.missed {
        push_missed(lines, missed);
    }
    for entry in batch.entries {
        if query.filter.wants(&entry) {
            push_line(lines, &entry);
        }
    }
}

fn push_missed(lines: &mut String, missed: Missed) {
    push_line(lines, &Entry::Missed(missed));
}

fn push_line(lines: &mut String, entry: &Entry) {
    // Of these types every value can be written.
    if let Ok(line) = serde_json::to_string(entry) {
        lines.push_str(&line);
        lines.push('\n');
    }
}
