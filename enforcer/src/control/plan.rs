//! What a reload would change, worked out beside the run loop, which goes on meanwhile.

use std::path::Path;
use std::time::Duration;

use super::VERSION;
use super::model::{ConfigProblem, PlanReport};
use super::view::View;
use crate::daemon::policy::{Policy, Told};
use crate::daemon::run::changes;
use crate::resolve::{Question, Snapshot, resolve_once};

/// A file, as a reload would find it.
pub struct Loaded {
    problems: Vec<Told>,
    /// The policy, or why there is none.
    pub policy: anyhow::Result<Policy>,
}

/// Reads the file as a reload would.
#[must_use]
pub fn load(file: &Path) -> Loaded {
    let (problems, policy) = Policy::load_recorded(file);
    Loaded {
        problems,
        policy: policy.map(|(policy, _)| policy),
    }
}

/// The answers with which `policy` would come into force: what the daemon knows, and for what is new what is answered within
/// `limit`.
///
/// # Errors
/// The name servers of the policy can not be asked.
pub async fn answers(view: &View, policy: &Policy, limit: Duration) -> anyhow::Result<Snapshot> {
    let is_known = |question: &Question| {
        let known = view.policy.questions.iter();
        // Another `private_link` refuses other addresses.
        known.clone().any(|known| known == question)
    };
    let (known, new): (Vec<&Question>, Vec<&Question>) =
        policy.questions.iter().partition(|question| is_known(question));
    let answers = if new.is_empty() || policy.upstreams.is_empty() {
        Snapshot::default()
    } else {
        let new = new.into_iter().cloned().collect();
        resolve_once(new, &policy.config.resolver, policy.connect()?, limit).await
    };
    let held = view.answers.names.iter();
    let held = held.filter(|held| known.iter().any(|question| question.name == held.name));
    Ok(Snapshot {
        names: answers.names.iter().chain(held).cloned().collect(),
    })
}

/// What would change.
#[must_use]
pub fn report(view: &View, loaded: Loaded, answers: anyhow::Result<Snapshot>) -> PlanReport {
    let mut report = PlanReport {
        version: VERSION,
        file: view.file.clone(),
        generation: view.generation,
        is_usable: false,
        causes: Vec::new(),
        problems: loaded.problems.iter().map(problem).collect(),
        changes: Vec::new(),
        omitted: 0,
        unresolved: Vec::new(),
    };
    let outcome = loaded.policy.and_then(|policy| {
        let answers = answers?;
        // Too large for the kernel's tables is found here as by a reload.
        policy.desired(&answers)?;
        Ok((policy, answers))
    });
    match outcome {
        Err(failed) => report.causes = failed.chain().map(ToString::to_string).collect(),
        Ok((policy, answers)) => {
            report.is_usable = true;
            report.changes = changes::between(&view.policy, &view.answers, &policy, &answers);
            report.omitted = report.changes.len().saturating_sub(PlanReport::CHANGES_MAX) as u64;
            report.changes.truncate(PlanReport::CHANGES_MAX);
            let empty = answers.names.iter().filter(|known| known.addresses.is_empty());
            report.unresolved = empty.map(|known| known.name.to_string()).collect();
        }
    }
    report
}

/// A problem of a file as a document.
pub(crate) fn problem(told: &Told) -> ConfigProblem {
    let problem = &told.0;
    let place = problem.span.place();
    ConfigProblem {
        file: place.file,
        line: place.line,
        column: place.column,
        severity: problem.severity.as_str().to_owned(),
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::model::{ChangeKind, ChangeLine};
    use crate::control::{samples, tests::golden};

    fn loaded(text: &str) -> Loaded {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(file.path())
    }

    #[test]
    fn the_form_of_a_plan() {
        let report = PlanReport {
            version: VERSION,
            file: "/etc/enforcer/enforcer.toml".into(),
            generation: 12,
            is_usable: true,
            causes: vec!["why a reload would be refused".into()],
            problems: vec![ConfigProblem {
                file: "/etc/enforcer/enforcer.toml".into(),
                line: 3,
                column: 1,
                severity: "warning".into(),
                message: "what is wrong".into(),
                hint: Some("what to do".into()),
            }],
            changes: vec![ChangeLine {
                kind: ChangeKind::Added,
                what: "198.51.100.7".into(),
                whose: "rule 2".into(),
            }],
            omitted: 1,
            unresolved: vec!["a.example.com".into()],
        };
        golden("plan.json", &report);
    }

    #[test]
    fn what_would_be_refused_says_why_and_changes_nothing() {
        let view = samples::view(samples::now());
        let wrong = loaded("[[allow]]\nname = \"*.com\"\n");
        let report = report(&view, wrong, Ok(Snapshot::default()));
        assert!(!report.is_usable && report.changes.is_empty());
        assert_eq!(report.problems[0].severity, "error");
        assert_eq!(report.causes, ["the configuration has errors"]);
    }

    #[test]
    fn rules_and_addresses_are_compared_with_those_in_force() {
        let view = samples::view(samples::now());
        let other = loaded("[[allow]]\nprefix = \"203.0.113.0/24\"\n");
        let report = report(&view, other, Ok(Snapshot::default()));
        assert!(report.is_usable, "{report:?}");
        let has = |kind, what: &str| {
            report
                .changes
                .iter()
                .any(|line| line.kind == kind && line.what == what)
        };
        assert!(has(ChangeKind::RuleAdded, "allow 203.0.113.0/24"), "{report:?}");
        assert!(has(ChangeKind::Added, "203.0.113.0/24"), "{report:?}");
    }
}
