//! `enforcer reload`: has the daemon read its configuration again, and tells what came of it.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::message::{Failure, Output, print, tell};
use super::service::{self, Service};
use crate::control::client::Client;
use crate::control::model::{ChangeKind, ChangeLine, ConfigProblem, Outcome, ReloadOutcome};

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();

/// Have the daemon read its configuration again, and show what that changes
///
/// It waits until the new policy is in force, for which new names are asked for first. A file with errors changes
/// nothing: they are shown with line and column, and the policy from before stays in force. Needs root.
///
/// Exit status: 0 when the file is in force; 1 when it was refused.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    service: Service,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let instance = &arguments.service.instance;
    let outcome =
        super::block_on(Client::of(instance).reload())?.map_err(|error| service::failure(instance, error))?;
    if arguments.output == Output::Json {
        print(format_args!("{}\n", serde_json::to_string_pretty(&outcome)?))?;
        return Ok(match outcome.outcome {
            Outcome::Applied => ExitCode::SUCCESS,
            Outcome::Refused => ExitCode::FAILURE,
        });
    }
    for problem in &outcome.problems {
        show(problem);
    }
    match outcome.outcome {
        Outcome::Applied => {
            print(format_args!("{}", changes(&outcome)))?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Refused => {
            let message = format!(
                "the reload was refused, the policy from before (generation {}) stays in force",
                outcome.generation
            );
            let cause = outcome.causes.join(": ");
            Err(Failure::new(message, "mend the file, and reload again", cause).into())
        }
    }
}

pub(super) fn show(problem: &ConfigProblem) {
    let style = match problem.severity.as_str() {
        "error" => AnsiColor::Red.on_default().bold(),
        _ => AnsiColor::Yellow.on_default().bold(),
    };
    tell(format_args!(
        "{}:{}:{}: {style}{}{style:#}: {}",
        problem.file.display(),
        problem.line,
        problem.column,
        problem.severity,
        problem.message
    ));
    if let Some(hint) = &problem.hint {
        tell(format_args!("  hint: {hint}"));
    }
}

/// What is different, with the last line's end.
fn changes(outcome: &ReloadOutcome) -> String {
    let generation = outcome.generation;
    if outcome.changes.is_empty() {
        return format!("reloaded: nothing has changed, generation {generation} is in force\n");
    }
    let text = format!("reloaded: generation {generation} is in force\n");
    text + &lines(&outcome.changes, outcome.omitted)
}

/// Changes, a line each.
pub(super) fn lines(changes: &[ChangeLine], omitted: u64) -> String {
    let mut text = String::new();
    let width = changes
        .iter()
        .map(|change| change.what.chars().count())
        .max()
        .unwrap_or(0);
    for change in changes {
        let (style, sign) = match change.kind {
            ChangeKind::RuleAdded | ChangeKind::Added | ChangeKind::NameAdded => (ADDED, '+'),
            ChangeKind::RuleRemoved | ChangeKind::Removed | ChangeKind::NameRemoved => (REMOVED, '-'),
            ChangeKind::Setting | ChangeKind::Moved => (CHANGED, '~'),
        };
        let whose = match change.kind {
            ChangeKind::RuleAdded | ChangeKind::RuleRemoved => format!("a rule ({})", change.whose),
            _ => change.whose.clone(),
        };
        text += &format!("  {style}{sign}{style:#} {:width$}  {whose}\n", change.what);
    }
    if omitted > 0 {
        text += &format!("  and {omitted} more\n");
    }
    text
}
