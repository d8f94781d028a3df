//! What the daemon tells: its status every few seconds, and the history as it grows, over lost connections and restarts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep};

use crate::cli::service;
use crate::control::client::{Client, ClientError, Entries};
use crate::control::filter::{Query, Since};
use crate::control::model::Entry;
use crate::state::Instance;
use crate::top::News;

/// How often it is asked for its status.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Where a status takes long, since there are many names, the daemon has so much more time for something else.
const STATUS_SHARE: u32 = 50;
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// News that wait to be shown; with more the daemon has to wait, and tells how many went by.
const NEWS_MAX: usize = 1024;

/// Whom the news are of.
#[derive(Clone)]
struct Source {
    instance: Instance,
    client: Client,
    /// Told when the history breaks off: how the daemon is will be another thing than before.
    broken: Arc<Notify>,
}

/// Asks the daemon of `instance` from now on, until nobody wants to know. `entries` are those that come first.
pub(super) fn start(instance: Instance, client: Client, entries: Entries) -> Receiver<News> {
    let (sender, receiver) = mpsc::channel(NEWS_MAX);
    let source = Source {
        instance,
        client,
        broken: Arc::default(),
    };
    tokio::spawn(statuses(source.clone(), sender.clone()));
    tokio::spawn(history(source, entries, sender));
    receiver
}

async fn statuses(source: Source, sender: Sender<News>) {
    let mut pause = STATUS_EVERY;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = source.broken.notified() => {}
        }
        let begin = Instant::now();
        let news = match source.client.status().await {
            Ok(status) => {
                pause = STATUS_EVERY.max(begin.elapsed() * STATUS_SHARE);
                News::Status(Box::new(status))
            }
            Err(error) => {
                pause = RETRY;
                News::StatusLost(source.words(error).await)
            }
        };
        if sender.send(news).await.is_err() {
            return;
        }
    }
}

/// Follows the history. Ends when nobody wants to know.
async fn history(source: Source, mut entries: Entries, sender: Sender<News>) {
    let mut query = Query {
        follow: true,
        ..Query::default()
    };
    loop {
        let pid = entries.pid;
        let mut why = "the daemon hung up".to_owned();
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
                    why = source.words(error).await;
                    break;
                }
            }
        }
        source.broken.notify_one();
        entries = loop {
            if sender.send(News::EventsLost(why)).await.is_err() {
                return;
            }
            sleep(RETRY).await;
            match source.client.entries(&query).await {
                // Another daemon counts from the beginning, and all that it has is new.
                Ok(entries) if entries.pid != pid && query.since.is_some() => {
                    query.since = None;
                    why = "the daemon was restarted".to_owned();
                }
                Ok(entries) => break entries,
                Err(error) => why = source.words(error).await,
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

impl Source {
    /// Why there is no answer. What the kernel holds is looked at by a thread of its own, so that keys are answered.
    async fn words(&self, error: ClientError) -> String {
        let instance = self.instance.clone();
        let words = tokio::task::spawn_blocking(move || service::interruption(&instance, &error));
        words
            .await
            .unwrap_or_else(|_| "the daemon can not be asked".to_owned())
    }
}
