//! `[[allow]]`: a host, a pattern, or prefixes.

use super::claim::{Claimed, claim};
use super::document::{Section, Text};
use super::lower::{Context, Lowered};
use super::open_names::{self, Instead, OpenName, Openness};
use super::problem::Problem;
use super::report::Report;
use super::risk::Risk;
use super::{RuleKind, name, prefix};

pub(super) fn lower(section: &Section<'_>, context: &mut Context<'_>) -> Option<Lowered> {
    let mut risk = Risk::read(section, context.report);
    let has_tag = refuse_service_tags(section, context.report);
    let private_link = section
        .texts("private_link", "[\"10.20.0.0/16\"]", context.report)
        .map(|texts| prefix::read_private_link(&texts, context.report))
        .unwrap_or_default();
    let (has_name, has_prefix) = (section.get("name").is_some(), section.get("prefix").is_some());
    let name = by_name(section, &mut risk, context);
    let prefixes = by_prefix(section, &mut risk, context);
    if has_prefix && section.get("private_link").is_some() {
        let problem = context.report.error(
            &section.key_span("private_link"),
            "`private_link` has no meaning beside `prefix`, which resolves no name",
        );
        context.report.push(problem.hint("take it away"));
    }
    if has_name && has_prefix {
        let problem = context.report.error(
            &section.key_span("prefix"),
            "`name` and `prefix` in one `[[allow]]`: a rule lets through the one or the other",
        );
        let related = context.report.span(&section.key_span("name"));
        context.report.push(
            problem
                .related(related, "the other one")
                .hint("write two `[[allow]]`; a name limited to a prefix is not supported by this version"),
        );
    }
    if !has_name && !has_prefix && !has_tag {
        let problem = context
            .report
            .error(&section.span, "this `[[allow]]` does not say what is allowed");
        context.report.push_missing(
            problem.hint("write `name = \"updates.example.com\"` or `prefix = \"10.30.0.0/24\"`"),
        );
    }
    let accepted_risk = risk.finish(context.report);
    Some(Lowered {
        kind: name.or(prefixes)?,
        private_link,
        accepted_risk,
    })
}

/// Whether the rule is about a service tag.
fn refuse_service_tags(section: &Section<'_>, report: &mut Report) -> bool {
    let key = ["service_tag", "file"]
        .into_iter()
        .find(|key| section.get(key).is_some());
    let Some(key) = key else { return false };
    let problem = report.error(
        &section.key_span(key),
        format!("`{key}`: service tags are not supported by this version"),
    );
    report.push(problem.hint("name the tag's prefixes instead: `prefix = [\"10.30.0.0/24\", ...]`"));
    true
}

fn by_name(section: &Section<'_>, risk: &mut Risk, context: &mut Context<'_>) -> Option<RuleKind> {
    let text = section.text("name", "\"updates.example.com\"", context.report)?;
    if text.value.starts_with('*') {
        return by_pattern(&text, risk, context);
    }
    let name = name::read(&text, context.report)?;
    let claimed = claim(Claimed::Name(name.clone()), &text.span, context.report);
    context.claims.push(claimed);
    if let Some(open) = open_names::host_openness(&name) {
        let problem = context
            .report
            .error(
                &text.span,
                format!("everybody's {} are on `{name}`, under this one name", open.what),
            )
            .label("what is written there may be an attacker's");
        let instead = "mirror what you need into your own registry";
        risk.take(problem, instead, context.report);
    }
    Some(RuleKind::Name(name))
}

fn by_pattern(text: &Text<'_>, risk: &mut Risk, context: &mut Context<'_>) -> Option<RuleKind> {
    let report = &mut *context.report;
    let stem = text.value.strip_prefix("*.").unwrap_or_default();
    let label = stem.strip_suffix('.').unwrap_or(stem).to_ascii_lowercase();
    let is_label = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_label && !label.is_empty() {
        let problem = open_problem(text, open_names::single_label_openness(&label), report);
        risk.mark_needed();
        report.push(problem.hint("name the hosts you need; a pattern has two labels or more behind the `*`"));
        return None;
    }
    let pattern = name::read_pattern(text, report)?;
    if let Some(openness) = open_names::pattern_openness(&pattern) {
        let problem = open_problem(text, openness, report);
        let instead = match openness {
            Openness::Known(open) => instead(open),
            Openness::TopLevel | Openness::PublicSuffix => "name the hosts you need",
        };
        if !risk.take(problem, instead, report) {
            return None;
        }
    }
    let claimed = claim(Claimed::Pattern(pattern.clone()), &text.span, report);
    context.claims.push(claimed);
    Some(RuleKind::Pattern(pattern))
}

fn open_problem(text: &Text<'_>, openness: Openness, report: &Report) -> Problem {
    let shown = super::problem::quote(text.value);
    let (message, label) = match openness {
        Openness::Known(open) => (
            format!("{shown} lets through {} that anybody can have", open.what),
            format!("an attacker's name below `{}` is one of them", open.name),
        ),
        Openness::TopLevel => (
            format!("{shown} lets through a whole top-level domain"),
            "anybody can register a name there".into(),
        ),
        Openness::PublicSuffix => (
            format!("{shown} lets through a public suffix"),
            "anybody can register a name there".into(),
        ),
    };
    report.error(&text.span, message).label(label)
}

fn instead(open: &OpenName) -> &'static str {
    match open.instead {
        Instead::DataEndpoints => {
            "for a registry's blobs enable dedicated data endpoints and name their `data_regions` in its `[[registry]]`; \
             for an account of your own name its host"
        }
        Instead::Registries => "write a `[[registry]]` for each registry",
        Instead::OwnNames => "name the hosts that are yours",
        Instead::Nothing => "mirror what you need into your own registry",
    }
}

fn by_prefix(section: &Section<'_>, risk: &mut Risk, context: &mut Context<'_>) -> Option<RuleKind> {
    let texts = section.texts("prefix", "\"10.30.0.0/24\"", context.report)?;
    if texts.is_empty() && section.get("prefix").is_some_and(is_empty_array) {
        let problem = context
            .report
            .error(&section.key_span("prefix"), "`prefix` is an empty list");
        context
            .report
            .push(problem.hint("write a prefix, as in `prefix = \"10.30.0.0/24\"`"));
    }
    let mut prefixes = Vec::with_capacity(texts.len());
    for text in &texts {
        let Some(prefix) = prefix::read(text, context.report) else {
            continue;
        };
        if prefix::is_wide(prefix) {
            let problem = context.report.error(
                &text.span,
                format!("`{prefix}` lets through addresses that anybody can have"),
            );
            if !risk.take(problem, "name the prefixes you need", context.report) {
                continue;
            }
        }
        let claimed = claim(Claimed::Prefix(prefix), &text.span, context.report);
        context.claims.push(claimed);
        prefixes.push(prefix);
    }
    Some(RuleKind::Prefixes(prefixes))
}

fn is_empty_array(value: &super::document::Value<'_>) -> bool {
    value.get_ref().as_array().is_some_and(|items| items.is_empty())
}
