//! `enforcer observe`: what was judged, live and from the recent past.

mod line;

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use self::line::Columns;
use super::message::{Failure, Output, tell};
use super::service::{self, Service};
use crate::control::client::{Client, ClientError, Entries};
use crate::control::filter::{Destination, Filter, Glob, Process, Query, Since};
use crate::control::model::{Entry, Verdict};

/// How long after a lost connection the next one is tried.
const RETRY: Duration = Duration::from_secs(1);

/// Show what was denied or granted, by whom, where to, under which name, and why
///
/// The daemon keeps the last few thousand denials, and as many granted connections apart from them, which `--verdict allowed`
/// shows. On a terminal it is a line each; otherwise, and with `-o json`, an
/// object of JSON a line. What is missing (more denials than the kernel tells of, or than this command could read) is
/// said in their place. It needs root, or membership in the group of `[control]` in the configuration.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    service: Service,
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    /// Begin so long ago (10m, 2h), or at a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only these verdicts, by default `denied,audit`: what was denied, or would have been
    #[arg(long, value_name = "denied|allowed|audit", value_delimiter = ',')]
    verdict: Vec<Verdict>,
    /// Only this process, by its id or the name of its thread
    #[arg(long, value_name = "NAME|PID")]
    process: Option<Process>,
    /// Only this name, which the address was answered for or the session asked for; `*` stands for any text
    #[arg(long, value_name = "NAME")]
    name: Option<Glob>,
    /// Only to this address or prefix, and port; port 0 is that of packets whose port can not be told, as of fragments
    #[arg(long, value_name = "ADDRESS|PREFIX[:PORT]")]
    to: Option<Destination>,
    /// The form of the output
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let query = Query {
        filter: Filter {
            verdicts: arguments.verdict,
            process: arguments.process,
            name: arguments.name,
            to: arguments.to,
        },
        since: arguments.since,
        follow: arguments.follow,
    };
    let is_terminal = std::io::stdout().is_terminal();
    let output = arguments
        .output
        .unwrap_or(if is_terminal { Output::Text } else { Output::Json });
    let mut printer = Printer {
        output,
        columns: Columns::default(),
    };
    let instance = &arguments.service.instance;
    let client = Client::of(instance);
    let outcome = super::block_on(async {
        let entries = begin(&client, &query).await;
        let entries = entries.map_err(|error| service::failure(instance, error))?;
        if query.follow {
            tokio::select! {
                followed = follow(&client, query, entries, &mut printer) => followed,
                () = nobody_reads() => Ok(()),
            }
        } else {
            show(entries, &mut printer, &mut None)
                .await?
                .map_err(|error| service::failure(instance, error))
        }
    })?;
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// The entries from where they are asked for. Whoever follows waits for a daemon that is starting.
async fn begin(client: &Client, query: &Query) -> Result<Entries, ClientError> {
    let mut is_told = false;
    loop {
        match client.entries(query).await {
            Err(error) if query.follow && error.is_refused("starting") => {
                if !is_told {
                    tell(format_args!("enforcer: {error}; waiting for it"));
                    is_told = true;
                }
                tokio::time::sleep(RETRY).await;
            }
            answered => return answered,
        }
    }
}

/// Shows entries to their end. The outer error is that of stdout; `last` is the number of the last one.
async fn show(
    mut entries: Entries,
    printer: &mut Printer,
    last: &mut Option<u64>,
) -> anyhow::Result<Result<(), ClientError>> {
    loop {
        match entries.next().await {
            Ok(Some(entry)) => {
                *last = number(&entry).or(*last);
                printer.print(&entry)?;
            }
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Goes on over lost connections and restarts of the daemon.
async fn follow(
    client: &Client,
    mut query: Query,
    mut entries: Entries,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    loop {
        let pid = entries.pid;
        let mut last = None;
        // How it ended makes no difference: it is followed again.
        let _ended = show_followed(client, entries, printer, &mut last).await?;
        if let Some(last) = last {
            query.since = Some(Since::After(last));
        } else if !matches!(query.since, Some(Since::After(_))) {
            // What was asked for of the past has been shown, and there was nothing.
            query.since = Some(Since::Ago(Duration::ZERO));
        }
        let mut is_told = false;
        entries = loop {
            match client.entries(&query).await {
                // Another daemon counts from the beginning, and all that it has is new.
                Ok(entries) if entries.pid != pid && query.since.is_some() => {
                    query.since = None;
                    drop(entries);
                }
                Ok(entries) => break entries,
                Err(error) if !may_pass(&error) => {
                    let hint = error.hint();
                    return Err(Failure::new("the daemon can not be followed any more", hint, error).into());
                }
                Err(error) => {
                    if !is_told {
                        tell(format_args!(
                            "enforcer: {error}; waiting for it to be there again"
                        ));
                        is_told = true;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
    }
}

/// As [`show`], and says when the daemon hangs: one that has nothing to tell looks the same.
async fn show_followed(
    client: &Client,
    entries: Entries,
    printer: &mut Printer,
    last: &mut Option<u64>,
) -> anyhow::Result<Result<(), ClientError>> {
    let mut shown = pin!(show(entries, printer, last));
    tokio::select! {
        ended = &mut shown => return ended,
        () = client.hangs() => tell(format_args!(
            "enforcer: {}; what it enforces stays in force, and what it tells later is shown",
            ClientError::Silent
        )),
    }
    shown.await
}

/// Comes to an end when the reader of stdout has gone, as in `| head`: nothing may have to be written for long, and whoever
/// waits for this command would wait for that. Never where there is no reader, as of a file.
async fn nobody_reads() {
    let reader = || -> std::io::Result<Sender> {
        let out = std::io::stdout().as_fd().try_clone_to_owned()?;
        // Also for what is no pipe: nothing is written here.
        Sender::from_owned_fd_unchecked(out)
    };
    let Ok(reader) = reader() else {
        return std::future::pending().await;
    };
    loop {
        match reader.ready(Interest::ERROR).await {
            Ok(ready) if ready.is_error() || ready.is_write_closed() => return,
            Ok(_) => tokio::time::sleep(RETRY).await,
            Err(_) => return std::future::pending().await,
        }
    }
}

/// Whether what keeps from following may be over in a while.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Version { .. } | ClientError::Connect { .. } => false,
        ClientError::Refused(problem) => ["starting", "busy", "silent"].contains(&problem.code.as_str()),
        ClientError::NotListening { .. }
        | ClientError::Silent
        | ClientError::Ended(_)
        | ClientError::Garbage(_) => true,
    }
}

fn number(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Event(event) => Some(event.number),
        Entry::Suppressed(suppressed) => Some(suppressed.number),
        Entry::Missed(_) => None,
    }
}

/// Writes lines to stdout.
struct Printer {
    output: Output,
    columns: Columns,
}

impl Printer {
    /// Writes one line at once: somebody may be waiting for it. A reader that has gone ends the command.
    fn print(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let line = match self.output {
            Output::Text => self.columns.line(entry),
            Output::Json => serde_json::to_string(entry)?,
        };
        let mut out = anstream::stdout();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::new(
                "the output can not be written",
                "look at where stdout goes: is the disk full?",
                error,
            )
            .into()),
        }
    }
}
