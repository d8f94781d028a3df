//! `enforcer learn`: a configuration from what was observed, and whether blob storage can be done without.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::message::{Failure, Output, print, tell};
use super::service::{self, Service};
use crate::config::{Config, Mode};
use crate::config_file;
use crate::control::client::{Client, ClientError};
use crate::control::filter::{Filter, Query, Since};
use crate::control::model::{Status, Verdict};
use crate::learn::{Learned, MigrationOutcome, Observations, Usage, learn, read};
use crate::state::Instance;

/// The status of "it ran, and the answer is no".
const NO: u8 = 3;
/// How long the daemon may take to say what was used.
const USAGE_LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of events that are read.
const BYTES_MAX: u64 = 1 << 30;

/// Write a configuration that grants what was observed
///
/// From what the daemon keeps of what was denied and granted, or from a file of events, it writes commented TOML: login
/// servers and data endpoints become one `[[registry]]`, other hosts an `[[allow]]`, each with how often it was asked for,
/// by whom and when.
/// What lets through what anybody can have stays a comment with the reason, and what has no name is listed apart. The
/// output is accepted by `enforcer check`; read it before it is enforced.
///
/// To learn from names before there is a policy, run in audit mode with a rule that asks for names everywhere, as in
/// `learn.toml` of the examples: only where a server name is asked for does the kernel read one.
///
/// With --migration it says whether the rule that grants blob storage to anybody can go: the daemon remembers over restarts
/// which granted names were used, since when, and by whom the last time. `--since 7d` leaves out what was used before.
///
/// Exit status: 0; with --migration 3 unless blob storage can be done without; 1 on an error.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    service: Service,
    /// Only what happened since: so long ago (24h, 7d), or at a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Learn from lines that `enforcer observe -o json` wrote, `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "instance")]
    from: Option<PathBuf>,
    /// The configuration under which the lines of --from were observed, for the check of the migration
    #[arg(long, value_name = "FILE", requires = "from")]
    config: Option<PathBuf>,
    /// The mode of the configuration that is written
    #[arg(long, value_enum, default_value_t = Written::Audit)]
    mode: Written,
    /// Say only whether blob storage is still used, or the rule that grants it can go
    #[arg(long)]
    migration: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A mode on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Written {
    /// Report first.
    Audit,
    /// Drop what is not in it.
    Enforce,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mode = match arguments.mode {
        Written::Audit => Mode::Audit,
        Written::Enforce => Mode::Enforce,
    };
    let (observations, usage, running) = match &arguments.from {
        Some(file) => {
            let (observations, running) = of_file(file, arguments)?;
            (observations, None, running)
        }
        None => of_daemon(&arguments.service.instance, arguments.since)?,
    };
    let learned = learn(&observations, usage.as_ref(), running.as_ref(), mode);
    match (arguments.output, arguments.migration) {
        (Output::Text, true) => print(format_args!("{}\n", learned.migration))?,
        (Output::Text, false) => text(&learned)?,
        (Output::Json, true) => {
            print(format_args!(
                "{}\n",
                serde_json::to_string_pretty(&learned.migration)?
            ))?;
        }
        (Output::Json, false) => print(format_args!("{}\n", serde_json::to_string_pretty(&learned)?))?,
    }
    let can_go = matches!(
        learned.migration.outcome,
        MigrationOutcome::CanGo | MigrationOutcome::NotGranted
    );
    Ok(if arguments.migration && !can_go {
        ExitCode::from(NO)
    } else {
        ExitCode::SUCCESS
    })
}

/// The configuration goes to stdout, so that it can be put into a file; what is known besides goes to stderr.
fn text(learned: &Learned) -> anyhow::Result<()> {
    print(format_args!("{}", learned.configuration))?;
    if learned.migration.outcome != MigrationOutcome::NotGranted {
        for line in learned.migration.to_string().lines() {
            tell(format_args!("{line}"));
        }
    }
    Ok(())
}

fn of_file(file: &Path, arguments: &Arguments) -> anyhow::Result<(Observations, Option<Config>)> {
    let since = match arguments.since {
        None => None,
        Some(Since::At(time)) => Some(time),
        Some(Since::Ago(ago)) => Some(before_now(ago)),
        Some(Since::After(_)) => {
            let message = "a number of an event means something to one daemon alone";
            return Err(Failure::msg(message, "name a time, or a span of time: `--since 24h`").into());
        }
    };
    let text = read_limited(file).map_err(|error| {
        Failure::new(
            format!("the events can not be read from `{}`", file.display()),
            "write them with `enforcer observe --since 24h -o json > FILE`",
            error,
        )
    })?;
    let observations = read(&text, since);
    if observations.coverage.events == 0 && observations.coverage.unreadable > 0 {
        let message = format!("`{}` has no line that is an event", file.display());
        return Err(Failure::msg(message, "write it with `enforcer observe -o json > FILE`").into());
    }
    let config = arguments
        .config
        .as_deref()
        .map(super::load_configuration)
        .transpose()?;
    Ok((observations, config))
}

fn read_limited(file: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    source.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        // What was learned from a part of it would look as if it were all.
        let message = format!("it has more than {} MiB", BYTES_MAX >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The events of the daemon, what it keeps of what was used, and the configuration that it reads, where that can be read.
fn of_daemon(
    instance: &Instance,
    since: Option<Since>,
) -> anyhow::Result<(Observations, Option<Usage>, Option<Config>)> {
    let client = Client::of(instance);
    let query = Query {
        since,
        filter: Filter {
            verdicts: vec![Verdict::Denied, Verdict::Audit, Verdict::Allowed],
            ..Filter::default()
        },
        ..Query::default()
    };
    let answered = super::block_on(async {
        let status = client.status().await?;
        let mut entries = client.entries(&query).await?;
        let mut lines = String::new();
        while let Some(entry) = entries.next().await? {
            lines.push_str(
                &serde_json::to_string(&entry).map_err(|error| ClientError::Garbage(error.into()))?,
            );
            lines.push('\n');
        }
        let usage: Usage = client.get("/v1/usage", USAGE_LIMIT).await?;
        Ok((status, lines, usage))
    })?;
    let (status, lines, usage) = answered.map_err(|error| service::failure(instance, error))?;
    let mut observations = read(&lines, None);
    let coverage = &mut observations.coverage;
    coverage.to = Some(Timestamp::now());
    let asked = match since {
        Some(Since::Ago(ago)) => Some(before_now(ago)),
        Some(Since::At(time)) => Some(time),
        Some(Since::After(_)) | None => None,
    };
    // Nothing was forgotten and nothing missed: then it was observed since the daemon's start, or since when was asked for.
    if coverage.missed == 0 && status_is_whole(&status) {
        let started = status
            .daemon
            .started
            .as_deref()
            .and_then(|time| time.parse().ok());
        coverage.from = started.max(asked).or(coverage.from);
    }
    // Those that were told of are kept, whether or not there was any.
    coverage.has_allowed = true;
    let usage = usage.since(asked);
    let running = status.daemon.configuration.as_deref().and_then(|file| {
        // For the check of the migration alone, which says when it does not know.
        config_file::load(file).ok().and_then(|parsed| parsed.config)
    });
    Ok((observations, Some(usage), running))
}

fn status_is_whole(status: &Status) -> bool {
    let is_whole = |kept: crate::control::model::Kept| kept.forgotten == 0 && kept.granted_forgotten == 0;
    status.daemon.history.is_some_and(is_whole)
}

fn before_now(ago: Duration) -> Timestamp {
    let ago = jiff::SignedDuration::try_from(ago).unwrap_or(jiff::SignedDuration::MAX);
    Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN)
}
