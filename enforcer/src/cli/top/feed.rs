//! What the daemon tells: its status every few seconds, and the history as it grows, over lost connections and restarts.

use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep};

use crate::control::client::{Client, ClientError, Entries};
use crate::control::filter::{Query, Since};
use crate::control::model::Entry;
use crate::top::News;

/// How often it is asked for its status.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Where a status takes long, since there are many names, the daemon has so much more time for something else.
const STATUS_SHARE: u32 = 50;
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// News that wait to be shown; with more the daemon has to wait, and tells how many went by.
const NEWS_MAX: usize = 1024;

/// Asks from now on, until nobody wants to know. `entries` are those that come first.
pub(super) fn start(client: Client, entries: Entries) -> Receiver<News> {
    let (sender, receiver) = mpsc::channel(NEWS_MAX);
    tokio::spawn(statuses(client.clone(), sender.clone()));
    tokio::spawn(history(client, entries, sender));
    receiver
}

async fn statuses(client: Client, sender: Sender<News>) {
    let mut pause = STATUS_EVERY;
    loop {
        sleep(pause).await;
        let begin = Instant::now();
        let news = match client.status().await {
            Ok(status) => {
                pause = STATUS_EVERY.max(begin.elapsed() * STATUS_SHARE);
                News::Status(Box::new(status))
            }
            Err(error) => {
                pause = RETRY;
                News::StatusLost(words(&error))
            }
        };
        if sender.send(news).await.is_err() {
            return;
        }
    }
}

/// Follows the history. Ends when nobody wants to know.
async fn history(client: Client, mut entries: Entries, sender: Sender<News>) {
    let mut query = Query {
        follow: true,
        ..Query::default()
    };
    loop {
        let pid = entries.pid;
        let mut why = "the connection was closed".to_owned();
        loop {
            match entries.next().await {
                Ok(Some(entry)) => {
                    query.since = number(&entry).map(Since::After).or(query.since);
                    if sender.send(News::Entry(entry)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    why = words(&error);
                    break;
                }
            }
        }
        entries = loop {
            if sender.send(News::EventsLost(why)).await.is_err() {
                return;
            }
            sleep(RETRY).await;
            match client.entries(&query).await {
                // Another daemon counts from the beginning, and all that it has is new.
                Ok(entries) if entries.pid != pid && query.since.is_some() => {
                    query.since = None;
                    why = "the daemon was restarted".to_owned();
                }
                Ok(entries) => break entries,
                Err(error) => why = words(&error),
            }
        };
        if sender.send(News::EventsBack).await.is_err() {
            return;
        }
    }
}

fn number(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Event(event) => Some(event.number),
        Entry::Suppressed(suppressed) => Some(suppressed.number),
        Entry::Missed(_) => None,
    }
}

/// The error with what caused it.
fn words(error: &ClientError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}
