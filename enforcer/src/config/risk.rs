//! `accept_exfiltration_risk`: the reason that a rule gives for letting through what anybody can have a part of.

use std::ops::Range;

use super::document::Section;
use super::problem::{Problem, quote};
use super::report::Report;

const KEY: &str = "accept_exfiltration_risk";

/// The reason of one rule, and whether anything in the rule needed it.
pub(super) struct Risk {
    /// The key, and the reason unless it is not one.
    given: Option<(Range<usize>, Option<String>)>,
    needed: bool,
}

impl Risk {
    pub(super) fn read(section: &Section<'_>, report: &mut Report) -> Self {
        let given = section.get(KEY).map(|_| {
            let example = "\"why it can not be avoided\"";
            let reason = section.text(KEY, example, report).and_then(|text| {
                // One line, whatever was written: what shows it must not be made to show lines of its own.
                let reason: Vec<&str> = text.value.split_whitespace().collect();
                let reason = reason.join(" ");
                if reason.contains(char::is_control) {
                    let problem = report.error(&text.span, format!("`{KEY}` has control characters"));
                    report.push(problem.hint("take them out; every status repeats the reason"));
                    return None;
                }
                if reason.is_empty() {
                    let problem = report.error(&text.span, format!("`{KEY}` gives no reason"));
                    report.push(problem.hint("say why it can not be avoided; every status repeats it"));
                    return None;
                }
                Some(reason)
            });
            (section.key_span(KEY), reason)
        });
        Self { given, needed: false }
    }

    /// Lets the risk pass when a reason was given; otherwise pushes `problem`, whose hint is completed.
    ///
    /// Whether the rule may go on.
    pub(super) fn take(&mut self, problem: Problem, instead: &str, report: &mut Report) -> bool {
        self.needed = true;
        // A reason that is given and not valid has its own problem.
        if self.given.is_some() {
            return true;
        }
        report.push(problem.hint(format!(
            "{instead}, or state why it can not be avoided: `{KEY} = \"reason\"`"
        )));
        false
    }

    /// Says that the rule is of the kind that needs a reason, although none helps it.
    pub(super) fn mark_needed(&mut self) {
        self.needed = true;
    }

    /// The reason, where one was needed.
    pub(super) fn finish(self, report: &mut Report) -> Option<String> {
        let (span, reason) = self.given?;
        if self.needed {
            return reason;
        }
        if let Some(reason) = reason {
            let problem = report.warning(
                &span,
                "nothing in this rule needs an exfiltration risk to be accepted",
            );
            report.push(problem.hint(format!("take the key away (its reason: {})", quote(&reason))));
        }
        None
    }
}
