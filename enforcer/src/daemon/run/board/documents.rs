//! What the run loop knows, as documents of the control socket.

use crate::control::VERSION;
use crate::control::history::Moment;
use crate::control::model::{Event, Hook, Outcome, Owner, ReloadOutcome, Verdict};
use crate::control::plan::problem;
use crate::control::view::Findings;
use crate::daemon::attempt::Attempt;
use crate::daemon::denial::Denial;
use crate::daemon::granted::Granted;
use crate::daemon::policy::Told;
use crate::kernel::{Damage, pins};

/// What came of a reload, as far as that does not depend on whether it was refused.
pub(super) fn outcome(generation: u64, problems: &[Told]) -> ReloadOutcome {
    ReloadOutcome {
        version: VERSION,
        outcome: Outcome::Refused,
        generation,
        causes: Vec::new(),
        problems: problems.iter().map(problem).collect(),
        changes: Vec::new(),
        omitted: 0,
    }
}

/// A reload that was refused.
pub(super) fn refused(generation: u64, failed: &anyhow::Error, problems: &[Told]) -> ReloadOutcome {
    ReloadOutcome {
        causes: failed.chain().map(ToString::to_string).collect(),
        ..outcome(generation, problems)
    }
}

/// Why a reload was refused, in one sentence.
pub(super) fn refusal_words(failed: &anyhow::Error, problems: &[Told]) -> String {
    let is_error = |told: &&Told| told.0.severity == crate::config::Severity::Error;
    match problems.iter().find(is_error) {
        Some(first) => first.to_string(),
        None => format!("{failed:#}"),
    }
}

/// The hooks as a document.
pub(super) fn hooks(findings: &Findings, is_pinned: bool) -> Vec<Hook> {
    let damages = &findings.damages;
    pins::hook_names()
        .into_iter()
        .map(|name| {
            let judges = |damage: &Damage| match damage {
                Damage::Detached(hook) | Damage::OtherProgram(hook) => *hook != name,
                Damage::Pin(_) => true,
            };
            Hook {
                name: name.to_owned(),
                attached: !findings.is_gone && damages.iter().all(judges),
                pinned: is_pinned && !damages.contains(&Damage::Pin(name)),
            }
        })
        .collect()
}

/// A denial as a document.
pub(super) fn denied_event(denial: &Denial, rule_at: Option<String>, owner: Owner, moment: Moment) -> Event {
    Event {
        verdict: if denial.audit {
            Verdict::Audit
        } else {
            Verdict::Denied
        },
        reason: Some(denial.reason.name().into()),
        explanation: Some(denial.reason.explain().into()),
        rule: denial.rule.map(|rule| rule.0),
        rule_at,
        ..event(&denial.attempt, owner, moment)
    }
}

/// A granted connection as a document.
pub(super) fn granted_event(granted: &Granted, owner: Owner, moment: Moment) -> Event {
    Event {
        rule: granted.rule,
        rule_at: granted.rule_at.clone(),
        ..event(&granted.attempt, owner, moment)
    }
}

/// What was granted, by whatever rule, as a document. What a process chose itself can not write into a terminal.
fn event(attempt: &Attempt, owner: Owner, moment: Moment) -> Event {
    let known = attempt.known_as.as_ref();
    Event {
        number: 0,
        time: moment.text(),
        verdict: Verdict::Allowed,
        reason: None,
        explanation: None,
        hook: attempt.hook.name().into(),
        protocol: attempt.protocol.to_string(),
        source: attempt.source,
        destination: attempt.destination,
        name: known.map(|known| known.name.to_string()),
        refused: known.and_then(|known| known.refused).map(str::to_owned),
        server_name: attempt.server_name.clone(),
        rule: None,
        rule_at: None,
        pid: attempt.pid,
        process: attempt.process.clone(),
        cgroup_id: attempt.cgroup,
        owner,
    }
}

/// `skopeo (docker 4f1c9dd3a0b8)`, `curl (cron.service)`.
pub(super) fn by(process: &str, owner: &Owner) -> String {
    const ID_CHARS: usize = 12;
    let process = if process.is_empty() {
        "an unknown process"
    } else {
        process
    };
    match (&owner.container, &owner.unit) {
        (Some(container), _) => {
            let id: String = container.id.chars().take(ID_CHARS).collect();
            format!("{process} ({} {id})", container.runtime)
        }
        (None, Some(unit)) => format!("{process} ({unit})"),
        (None, None) => process.to_owned(),
    }
}
