//! From the tables of a document to a [`Config`], reporting every problem on the way.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::claim::{self, Claim};
use super::document::{KEYS, Section, Value};
use super::lower_tags::Tags;
use super::report::Report;
use super::server_names::Lists;
use super::{Config, Control, Enforce, Files, Mode, Resolver, Rule, RuleId, RuleKind, ServerNames};
use super::{ServiceTag, TagFileSummary};
use super::{lower_allow, lower_control, lower_enforce, lower_registry, lower_resolver};

/// Most rules of one configuration.
pub const RULES_MAX: usize = 4096;

/// What the rules of a file share while they are read.
pub(super) struct Context<'a> {
    pub(super) report: &'a mut Report,
    pub(super) files: &'a dyn Files,
    /// The folder of the configuration, as the user named it.
    pub(super) folder: &'a Path,
    pub(super) claims: Vec<Claim>,
    /// The service tags of the file so far.
    pub(super) tags: Tags,
    /// The lists of server names of the file so far.
    pub(super) lists: Lists,
    /// `server_name` of `[enforce]`.
    pub(super) server_names: ServerNames,
    /// The first `server_name = "require"` of a rule.
    pub(super) first_require: Option<Range<usize>>,
}

/// What one table says, before it is numbered.
pub(super) struct Lowered {
    pub(super) kind: RuleKind,
    pub(super) private_link: Vec<IpNet>,
    pub(super) sanity_tags: Vec<Arc<ServiceTag>>,
    pub(super) accepted_risk: Option<String>,
}

/// Reads a whole document. The result means something only when no error was reported.
pub(super) fn document(table: &DeTable<'_>, folder: &Path, files: &dyn Files, report: &mut Report) -> Config {
    let top = Section::open(KEYS[0].0, table, 0..0, report);
    let mode = top
        .choice(
            "mode",
            &[("enforce", Mode::Enforce), ("audit", Mode::Audit)],
            report,
        )
        .unwrap_or_default();
    let enforce = single(&top, "enforce", "[enforce]", report)
        .map_or_else(Enforce::default, |section| lower_enforce::lower(&section, report));
    let tags = single(&top, "service_tags", "[service_tags]", report);
    let tags = Tags::new(tags.as_ref(), report);
    let (rules, tag_files) = rules(&top, folder, files, tags, enforce.server_names, report);
    let resolver = single(&top, "resolver", "[resolver]", report).map_or_else(Resolver::default, |section| {
        lower_resolver::lower(&section, report)
    });
    let control = single(&top, "control", "[control]", report)
        .map_or_else(Control::default, |section| lower_control::lower(&section, report));
    Config {
        mode,
        rules,
        enforce,
        resolver,
        tag_files,
        control,
    }
}

fn rules(
    top: &Section<'_>,
    folder: &Path,
    files: &dyn Files,
    tags: Tags,
    server_names: ServerNames,
    report: &mut Report,
) -> (Vec<Rule>, Vec<TagFileSummary>) {
    let errors_before = report.errors();
    let mut sections = repeated(top, "registry", "[[registry]]", report);
    sections.extend(repeated(top, "allow", "[[allow]]", report));
    sections.sort_by_key(|section| section.span.start);
    if sections.is_empty() && report.errors() == errors_before {
        let problem = report.error(&(0..0), "the policy is empty: nothing would be let through");
        report.push_missing(problem.hint("add a `[[registry]]` or an `[[allow]]`"));
    }
    if let Some(first) = sections.get(RULES_MAX) {
        let message = format!("{} rules, {RULES_MAX} are the most", sections.len());
        let problem = report.error(&first.span, message);
        report.push(problem.hint("put prefixes of one purpose into one `[[allow]] prefix = [...]`"));
        sections.truncate(RULES_MAX);
    }
    let mut context = Context {
        report,
        files,
        folder,
        claims: Vec::new(),
        tags,
        lists: Lists::default(),
        server_names,
        first_require: None,
    };
    let mut rules = Vec::with_capacity(sections.len());
    for (section, number) in sections.iter().zip(1..) {
        let lowered = if section.name == "[[registry]]" {
            lower_registry::lower(section, &mut context)
        } else {
            lower_allow::lower(section, &mut context)
        };
        if let Some(lowered) = lowered {
            rules.push(Rule {
                id: RuleId(number),
                place: context.report.span(&section.span).place(),
                kind: lowered.kind,
                private_link: lowered.private_link,
                sanity_tags: lowered.sanity_tags,
                accepted_risk: lowered.accepted_risk,
            });
        }
    }
    let Context {
        claims,
        tags,
        report,
        first_require,
        ..
    } = context;
    claim::check(&claims, report);
    let is_prefixes = |rule: &Rule| rule.kind.names_at_addresses().is_some();
    if let Some(span) = first_require
        && rules.len() == sections.len()
        && rules.iter().all(is_prefixes)
    {
        let message = "no session passes here: the names of the policy are asked for, and no rule names any";
        let problem = report.warning(&span, message);
        report.push(problem.hint(
            "list the names here: `server_name = [\"a.example.com\"]`, or add a `[[registry]]` or an `[[allow]] name`",
        ));
    }
    (rules, tags.summaries())
}

/// The tables of an array of tables.
fn repeated<'a>(
    top: &Section<'a>,
    key: &'static str,
    name: &'static str,
    report: &mut Report,
) -> Vec<Section<'a>> {
    let Some(value) = top.get(key) else {
        return Vec::new();
    };
    let items = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        DeValue::Table(_) => {
            let problem = report.error(&value.span(), format!("`{key}` is repeated, one table for each"));
            report.push(problem.hint(format!("write `{name}`, with two brackets")));
            vec![value]
        }
        _ => {
            push_not_a_table(key, name, value, report);
            Vec::new()
        }
    };
    items
        .into_iter()
        .filter_map(|item| table(item, key, name, report))
        .collect()
}

/// A table that a document has once.
fn single<'a>(
    top: &Section<'a>,
    key: &'static str,
    name: &'static str,
    report: &mut Report,
) -> Option<Section<'a>> {
    let value = top.get(key)?;
    if let DeValue::Array(items) = value.get_ref()
        && let Some(first) = items.iter().next()
        && matches!(first.get_ref(), DeValue::Table(_))
    {
        let problem = report.error(&first.span(), format!("`{key}` stands once, and is no array"));
        report.push(problem.hint(format!("write `{name}`, with one bracket")));
        return table(first, key, name, report);
    }
    table(value, key, name, report)
}

fn table<'a>(
    value: &'a Value<'a>,
    key: &'static str,
    name: &'static str,
    report: &mut Report,
) -> Option<Section<'a>> {
    if let DeValue::Table(table) = value.get_ref() {
        Some(Section::open(name, table, value.span(), report))
    } else {
        push_not_a_table(key, name, value, report);
        None
    }
}

fn push_not_a_table(key: &str, name: &str, value: &Value<'_>, report: &mut Report) {
    let problem = report.error(&value.span(), format!("`{key}` is a table, not a value"));
    report.push(problem.hint(format!("write `{name}` on a line of its own, and its keys below")));
}
