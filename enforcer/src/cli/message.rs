//! How an error looks to a person: `error:`, its causes, and a `hint:` that tells what to do.

use std::fmt;
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

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Writes a line to stderr.
///
/// That nobody can read it (a full disk, a pipe whose reader has gone) must not end what is being done: the standard
/// macros would panic, and with the process its enforcement would go.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    // In one piece, so that what the command of `exec` writes meanwhile does not land in the middle of it.
    let _nobody_reads = anstream::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Writes a command's data to stdout.
///
/// # Errors
/// It can not be written. A reader that wanted no more (`| head`) is none.
pub(super) fn print(data: fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    match write!(out, "{data}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            "the output can not be written",
            "look at where stdout goes: is the disk full?",
            error,
        )
        .into()),
        _ => Ok(()),
    }
}

/// Prints `error` to stderr, one cause a line and its hints last, and gives exit status 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let mut causes = error.chain();
    if let Some(first) = causes.next() {
        tell(format_args!("{ERROR}error:{ERROR:#} {}", plain(first)));
    }
    for cause in causes {
        tell(format_args!("  because: {}", plain(cause)));
    }
    for hint in error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>())
        .map(|failure| &failure.hint)
    {
        tell(format_args!("{HINT}hint:{HINT:#} {}", plain(hint)));
    }
    ExitCode::FAILURE
}

/// Words of an error for a terminal: a path in them, which others may have named, is not to steer it.
fn plain(words: impl fmt::Display) -> String {
    let mut out = String::new();
    for character in words.to_string().chars() {
        if character.is_control() && character != '\n' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Prints a warning to stderr.
pub(crate) fn warning(message: fmt::Arguments<'_>) {
    tell(format_args!("{WARNING}warning:{WARNING:#} {message}"));
}
