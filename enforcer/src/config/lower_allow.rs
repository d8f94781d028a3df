//! `[[allow]]`: a host, a pattern, or prefixes and the names under which they are reached.

use std::ops::Range;

use super::claim::{Asked, Claimed, claim};
use super::document::{Section, Text};
use super::lower::{Context, Lowered};
use super::open_names::{self, Instead, OpenName, Openness};
use super::problem::Problem;
use super::report::Report;
use super::risk::Risk;
use super::{
    Names, RuleKind, ServerNames, ServiceTag, Tenants, lower_tags, name, prefix, server_names, tenants,
};
use crate::names::{DomainPattern, NameRule, ServerName};

pub(super) fn lower(section: &Section<'_>, context: &mut Context<'_>) -> Option<Lowered> {
    let mut risk = Risk::read(section, context.report);
    lower_tags::refuse_file(section, "service_tag", context.report);
    let private_link = section
        .texts("private_link", "[\"10.20.0.0/16\"]", context.report)
        .map(|texts| prefix::read_private_link(&texts, context.report))
        .unwrap_or_default();
    let has_name = section.get("name").is_some();
    let addresses = addresses(section, context.report);
    let name = section
        .text("name", "\"updates.example.com\"", context.report)
        .and_then(|text| Some((name_rule(&text, &mut risk, context)?, text.span)));
    let kind = if let Some(addresses) = addresses {
        refuse_beside(addresses, section, context.report);
        let (names, key) = if has_name {
            (name.map(|(name, _)| Names::List(vec![name])), "name")
        } else {
            (server_names::read(section, &mut risk, context), "server_name")
        };
        let asked = names.as_ref().map(|names| asked(names, section, key, context));
        if addresses == "service_tag" {
            by_tags(section, names, asked, &mut risk, context)
        } else {
            by_prefix(section, names, asked, &mut risk, context)
        }
    } else {
        refuse_server_name(section, has_name, context.report);
        name.map(|(name, span)| by_name(name, &span, context))
    };
    if !has_name && addresses.is_none() && section.get("file").is_none() {
        let problem = context
            .report
            .error(&section.span, "this `[[allow]]` does not say what is allowed");
        context.report.push_missing(
            problem.hint("write `name = \"updates.example.com\"`, `prefix = \"10.30.0.0/24\"` or `service_tag = \"AzureContainerRegistry\"`"),
        );
    }
    let accepted_risk = risk.finish(context.report);
    Some(Lowered {
        kind: kind?,
        private_link,
        sanity_tags: Vec::new(),
        accepted_risk,
    })
}

/// The key that says which addresses the rule has of its own, if it has any.
fn addresses(section: &Section<'_>, report: &mut Report) -> Option<&'static str> {
    let present = ["prefix", "service_tag"].map(|key| section.get(key).is_some());
    if present == [true, true] {
        let problem = report.error(
            &section.key_span("service_tag"),
            "`prefix` and `service_tag` say two things about which addresses are meant",
        );
        let related = report.span(&section.key_span("prefix"));
        report.push(
            problem
                .related(related, "the other one")
                .hint("write an `[[allow]]` for each"),
        );
    }
    match present {
        [_, true] => Some("service_tag"),
        [true, false] => Some("prefix"),
        [false, false] => None,
    }
}

/// Reports keys that can not stand beside `addresses`, or not all of them together.
fn refuse_beside(addresses: &str, section: &Section<'_>, report: &mut Report) {
    if section.get("private_link").is_some() {
        let problem = report.error(
            &section.key_span("private_link"),
            format!("`private_link` has no meaning beside `{addresses}`, which resolves no name"),
        );
        report.push(problem.hint("take it away"));
    }
    if section.get("name").is_some() && section.get("server_name").is_some() {
        let problem = report.error(
            &section.key_span("server_name"),
            format!("`name` and `server_name` beside a `{addresses}` say two things about which names are let through there"),
        );
        let related = report.span(&section.key_span("name"));
        report.push(
            problem
                .related(related, "the other one")
                .hint("put all names into `server_name = [...]`, and take `name` away"),
        );
    }
}

/// Reports a `server_name` without a prefix.
fn refuse_server_name(section: &Section<'_>, has_name: bool, report: &mut Report) {
    if section.get("server_name").is_some() {
        let problem = report.error(
            &section.key_span("server_name"),
            "`server_name` has no meaning without `prefix` or `service_tag`",
        );
        report.push(problem.hint(if has_name {
            "take it away: where a name resolves to, a granted name is asked for anyway"
        } else {
            "say where these names are: `prefix = \"10.30.0.0/24\"`, or write `name` to have one resolved"
        }));
    }
}

fn by_name(name: NameRule, span: &Range<usize>, context: &mut Context<'_>) -> RuleKind {
    let (what, kind) = match name {
        NameRule::Name(name) => (Claimed::Name(name.clone()), RuleKind::Name(name)),
        NameRule::Pattern(pattern) => (Claimed::Pattern(pattern.clone()), RuleKind::Pattern(pattern)),
    };
    let claimed = claim(what, span, context.report);
    context.claims.push(claimed);
    kind
}

/// A host or a pattern, unless anybody can have a place under it and the rule does not say why.
pub(super) fn name_rule(text: &Text<'_>, risk: &mut Risk, context: &mut Context<'_>) -> Option<NameRule> {
    if text.value.starts_with('*') {
        return pattern(text, risk, context.report).map(NameRule::Pattern);
    }
    let name = name::read(text, context.report)?;
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
    Some(NameRule::Name(name))
}

fn pattern(text: &Text<'_>, risk: &mut Risk, report: &mut Report) -> Option<DomainPattern> {
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
    Some(pattern)
}

/// Every pattern that a name, or the pattern over everything below it, can be under, the narrowest first.
pub(super) fn patterns_over(name: &ServerName) -> impl Iterator<Item = DomainPattern> {
    // A name has at most 127 labels.
    name.as_str()
        .match_indices('.')
        .filter_map(|(at, _)| ServerName::parse(&name.as_str()[at + 1..]).ok())
        .map(DomainPattern::below)
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

/// What claims say about `names`, which stand at `key`; reports names that have no effect.
fn asked(names: &Names, section: &Section<'_>, key: &str, context: &mut Context<'_>) -> Asked {
    let asked = server_names::asked(names, section, key, context);
    if asked == Asked::OfThePolicy {
        context.first_require.get_or_insert_with(|| section.key_span(key));
    }
    if context.server_names == ServerNames::Off && asked != Asked::Nothing {
        let problem = context.report.warning(
            &section.key_span(key),
            format!(
                "`{key}` has no effect: `[enforce]` has `server_name = \"off\"`, and any name passes here"
            ),
        );
        context
            .report
            .push(problem.hint("take `server_name = \"off\"` away from `[enforce]`"));
    }
    asked
}

/// A rule over service tags. `names` and `asked` are `None` where what says them is wrong.
fn by_tags(
    section: &Section<'_>,
    names: Option<Names>,
    asked: Option<Asked>,
    risk: &mut Risk,
    context: &mut Context<'_>,
) -> Option<RuleKind> {
    let is_any_name = asked == Some(Asked::Nothing) || context.server_names == ServerNames::Off;
    let mut tags = Vec::new();
    for (tag, span) in lower_tags::read(section, "service_tag", context)? {
        if is_any_name {
            open_tag(&tag, &span, risk, context.report);
        }
        if let Some(asked) = asked {
            let what = Claimed::Tag(tag.file.clone(), tag.name.clone(), asked);
            let claimed = claim(what, &span, context.report);
            context.claims.push(claimed);
        }
        tags.push(tag);
    }
    Some(RuleKind::ServiceTags { tags, names: names? })
}

/// Reports a tag that lets through what anybody can have behind it, unless the rule says why. Under the tag of registries
/// only a few things are to be had, and all of them under names: it passes with a warning.
fn open_tag(tag: &ServiceTag, span: &Range<usize>, risk: &mut Risk, report: &mut Report) {
    const INSTEAD: &str =
        "ask for the names of the other rules with `server_name = \"require\"`, or for a list of names";
    let name = &tag.name;
    match tenants(name) {
        Tenants::Owner => {}
        Tenants::Registries => {
            let message = format!("`{name}` lets through every registry there is, under any name");
            let problem = report
                .warning(span, message)
                .label("an attacker's registry is one of them");
            risk.take(problem, INSTEAD, report);
        }
        Tenants::Anybody => {
            let message =
                format!("`{name}` lets through what anybody can have behind the addresses of a service");
            let problem = report
                .error(span, message)
                .label("whoever has an account there is reached");
            risk.take(problem, INSTEAD, report);
        }
    }
}

/// A rule over prefixes. `names` and `asked` are `None` where what says them is wrong.
fn by_prefix(
    section: &Section<'_>,
    names: Option<Names>,
    asked: Option<Asked>,
    risk: &mut Risk,
    context: &mut Context<'_>,
) -> Option<RuleKind> {
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
        if let Some(asked) = asked {
            let claimed = claim(Claimed::Prefix(prefix, asked), &text.span, context.report);
            context.claims.push(claimed);
        }
        prefixes.push(prefix);
    }
    Some(RuleKind::Prefixes {
        prefixes,
        names: names?,
    })
}

pub(super) fn is_empty_array(value: &super::document::Value<'_>) -> bool {
    value.get_ref().as_array().is_some_and(|items| items.is_empty())
}
