//! Where the daemon's messages go: text or JSON on stderr, or the journal.

mod journal;

pub use journal::kind;

use std::fmt;
use std::io::IsTerminal as _;

use anstyle::AnsiColor;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use journal::Journal;

/// The environment variable with a filter of tracing-subscriber: `debug`, `enforcer=trace`, ...
const FILTER: &str = "ENFORCER_LOG";
/// What is logged without it. What becomes of names the daemon tells itself, with what it means for the policy.
const FILTER_DEFAULT: &str = "enforcer=info,enforcer::resolve=off";
/// The target of the daemon's own messages.
const DAEMON: &str = "enforcer::daemon";

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// The journal when stderr goes there, otherwise text
    #[default]
    Auto,
    /// One line for people
    Text,
    /// One object a line, with every field
    Json,
    /// The systemd journal, with every field
    Journald,
}

/// Sets up logging for the whole process.
///
/// # Errors
/// The journal was asked for and is not there, or [`FILTER`] can not be read.
pub fn start(format: Format) -> anyhow::Result<()> {
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            crate::cli::Failure::new(
                format!("{FILTER} is not a filter"),
                format!("for example {FILTER}=debug or {FILTER}=enforcer=trace"),
                error,
            )
        })?,
        Err(_) => EnvFilter::new(FILTER_DEFAULT),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let is_journal =
        format == Format::Auto && std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream));
    match format {
        Format::Journald => {
            let journal = Journal::new().map_err(|error| {
                crate::cli::Failure::new(
                    "the journal can not be reached",
                    "choose `--log-format text` or `json` where systemd-journald does not run",
                    error,
                )
            })?;
            registry.with(journal).init();
        }
        Format::Auto if is_journal => match Journal::new() {
            Ok(journal) => registry.with(journal).init(),
            // The journal then still takes the lines of stderr.
            Err(_) => registry.with(text(false)).init(),
        },
        Format::Auto | Format::Text => registry.with(text(std::io::stderr().is_terminal())).init(),
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(std::io::stderr);
            registry.with(layer).init();
        }
    }
    Ok(())
}

fn text<S>(is_coloured: bool) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .event_format(Line)
        .with_ansi(is_coloured && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_writer(std::io::stderr)
}

/// Time, level, message. The daemon's own messages say it all in words, and their fields are for machines; those of
/// others need theirs.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut out)?;
        let level = *event.metadata().level();
        let style = match level {
            Level::ERROR => AnsiColor::Red.on_default(),
            Level::WARN => AnsiColor::Yellow.on_default(),
            _ => AnsiColor::Green.on_default(),
        };
        if out.has_ansi_escapes() {
            write!(out, " {style}{level:>5}{style:#} ")?;
        } else {
            write!(out, " {level:>5} ")?;
        }
        if event.metadata().target().starts_with(DAEMON) {
            event.record(&mut Message(&mut out));
        } else {
            context.field_format().format_fields(out.by_ref(), event)?;
        }
        writeln!(out)
    }
}

/// Writes the message of an event and none of its fields.
struct Message<'a, 'writer>(&'a mut Writer<'writer>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A line that can not be written can not be told of either.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

/// Whether `JOURNAL_STREAM` (systemd.exec(5)), `device:inode`, names what stderr is.
fn is_stderr(stream: &str) -> bool {
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
