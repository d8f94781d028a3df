//! How an error looks to a person: `error:`, its causes, and a `hint:` that tells what to do.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// How a command prints its data on stdout.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// An error that carries what the user can do about it, and the exit status it ends in.
///
/// Wrap any error with [`Failure::new`] or start from words with [`Failure::msg`]; `anyhow` contexts may stand before it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: String,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Failure {
    /// An error in words of its own, and what to do about it.
    pub fn msg(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
            source: None,
        }
    }

    /// As [`Failure::msg`], with the error that caused it.
    pub fn new(
        message: impl Into<String>,
        hint: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
            source: Some(source.into()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Writes a command's data to stdout. A reader that went away (`| head`) has what it wanted: that is no error.
///
/// # Errors
/// The data could not be written: a full disk.
pub(super) fn print(data: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(data.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            "can not write the result",
            "look at where the output goes: is the disk full?",
            error,
        )),
        _ => Ok(()),
    }
}

/// Writes a line to stderr. When not even that can be written there is nobody left to tell.
pub(super) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Prints `error` to stderr, one cause a line and its hints last, and gives exit status 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let mut causes = error.chain();
    if let Some(first) = causes.next() {
        note(format_args!("{ERROR}error:{ERROR:#} {first}"));
    }
    for cause in causes {
        note(format_args!("  because: {cause}"));
    }
    for hint in error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>())
        .map(|failure| &failure.hint)
    {
        note(format_args!("{HINT}hint:{HINT:#} {hint}"));
    }
    ExitCode::FAILURE
}

/// Prints a warning to stderr.
pub(crate) fn warning(message: std::fmt::Arguments<'_>) {
    anstream::eprintln!("{WARNING}warning:{WARNING:#} {message}");
}
