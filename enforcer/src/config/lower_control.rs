//! `[control]`: who may ask the daemon.

use super::document::Section;
use super::problem::quote;
use super::report::Report;
use super::{Control, GROUP_MAX};

pub(super) fn lower(section: &Section<'_>, report: &mut Report) -> Control {
    Control {
        group: group(section, report),
    }
}

fn group(section: &Section<'_>, report: &mut Report) -> Option<String> {
    let text = section.text("group", "\"adm\"", report)?;
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = text.value.starts_with(is_first)
        && text.value.len() <= GROUP_MAX
        && text.value.chars().all(|c| is_first(c) || matches!(c, '-' | '.'));
    if !is_name {
        let problem = report.error(&text.span, format!("{} is no group", quote(text.value)));
        report.push(problem.hint("the name of a group of /etc/group, or its number: `group = \"adm\"`"));
        return None;
    }
    Some(text.value.to_owned())
}
