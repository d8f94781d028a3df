//! What `check -o json` prints.

use std::collections::HashMap;

use serde::Serialize;

use super::{by_pattern, needed, target_words};
use crate::config::{Config, Parsed, Problem, RuleId, ServerNames, Severity, Span, TagFileSummary};
use crate::endpoints::{self, Asked, Condition, Endpoint, Unaddressed};

/// All of it.
#[derive(Serialize)]
pub(super) struct Checked {
    /// Whether the configuration can be used.
    usable: bool,
    errors: usize,
    warnings: usize,
    /// Problems that are not listed because there are too many.
    omitted: usize,
    problems: Vec<ProblemJson>,
    /// `require` or `off`; absent unless usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'static str>,
    /// Its rules; empty unless usable.
    rules: Vec<RuleJson>,
    /// What they would mean; empty unless usable.
    endpoints: Vec<EndpointJson>,
    /// The files of service tags that the rules refer to.
    service_tag_files: Vec<TagFileJson>,
    /// What its user must know of service tags, a sentence each.
    cautions: Vec<String>,
}

#[derive(Serialize)]
struct TagFileJson {
    file: String,
    change_number: Option<u64>,
    cloud: Option<String>,
    tags: usize,
}

#[derive(Serialize)]
struct RuleJson {
    rule: u32,
    title: String,
    /// The server names that sessions to its addresses must carry.
    server_names: Asked,
    /// The service tags outside of which public answers for its names are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sanity_tags: Vec<String>,
}

#[derive(Serialize)]
struct ProblemJson {
    #[serde(flatten)]
    place: PlaceJson,
    severity: &'static str,
    message: String,
    label: Option<String>,
    hint: Option<String>,
    related: Option<RelatedJson>,
}

#[derive(Serialize)]
struct PlaceJson {
    file: String,
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct RelatedJson {
    #[serde(flatten)]
    place: PlaceJson,
    label: String,
}

#[derive(Serialize)]
struct EndpointJson {
    rule: u32,
    role: &'static str,
    target: String,
    /// Whether it leads anywhere; a pattern does not while no rule says where its hosts are.
    enforceable: bool,
    /// What to write where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_exfiltration_risk: Option<String>,
}

impl Checked {
    pub(super) fn of(parsed: &Parsed) -> Self {
        Self {
            usable: parsed.config.is_some(),
            errors: parsed.count(Severity::Error),
            warnings: parsed.count(Severity::Warning),
            omitted: parsed.omitted,
            problems: parsed.problems.iter().map(problem_json).collect(),
            server_name: parsed
                .config
                .as_ref()
                .map(|config| match config.enforce.server_names {
                    ServerNames::Require => "require",
                    ServerNames::Off => "off",
                }),
            rules: parsed.config.as_ref().map(rules_json).unwrap_or_default(),
            endpoints: parsed.config.as_ref().map(endpoints_json).unwrap_or_default(),
            service_tag_files: parsed.config.as_ref().map(tag_files_json).unwrap_or_default(),
            cautions: parsed.config.as_ref().map_or_else(Vec::new, |config| {
                let open = endpoints::open_tags(config);
                open.iter().map(ToString::to_string).collect()
            }),
        }
    }
}

fn problem_json(problem: &Problem) -> ProblemJson {
    ProblemJson {
        place: place_json(&problem.span),
        severity: problem.severity.as_str(),
        message: problem.message.clone(),
        label: problem.label.clone(),
        hint: problem.hint.clone(),
        related: problem.related.as_ref().map(|(span, label)| RelatedJson {
            place: place_json(span),
            label: label.clone(),
        }),
    }
}

fn place_json(span: &Span) -> PlaceJson {
    let place = span.place();
    PlaceJson {
        file: place.file.to_string_lossy().into_owned(),
        line: place.line,
        column: place.column,
    }
}

fn rules_json(config: &Config) -> Vec<RuleJson> {
    let endpoints = endpoints::expand(config);
    let granted = endpoints::granted_names(config, &endpoints);
    let of_rule = endpoints::by_rule(&endpoints);
    let mut asked: HashMap<Condition, Asked> = HashMap::new();
    config
        .rules
        .iter()
        .filter_map(|rule| {
            let condition = of_rule.get(&rule.id)?.first()?.condition;
            let asked = asked.entry(condition);
            Some(RuleJson {
                rule: rule.id.0,
                title: rule.kind.to_string(),
                server_names: asked.or_insert_with(|| Asked::of(condition, &granted)).clone(),
                sanity_tags: rule.sanity_tags.iter().map(|tag| tag.name.clone()).collect(),
            })
        })
        .collect()
}

fn tag_files_json(config: &Config) -> Vec<TagFileJson> {
    let json = |file: &TagFileSummary| TagFileJson {
        file: file.file.to_string_lossy().into_owned(),
        change_number: file.change_number,
        cloud: file.cloud.clone(),
        tags: file.tags,
    };
    config.tag_files.iter().map(json).collect()
}

fn endpoints_json(config: &Config) -> Vec<EndpointJson> {
    let risks = config.rules.iter().map(|rule| (rule.id, &rule.accepted_risk));
    let risks: HashMap<RuleId, &Option<String>> = risks.collect();
    let endpoints = endpoints::expand(config);
    let unaddressed = endpoints::unaddressed(config, &endpoints);
    let needs = by_pattern(&unaddressed);
    let json = |endpoint| {
        let needs = needed(&needs, endpoint);
        let Endpoint { rule, role, .. } = endpoint;
        EndpointJson {
            rule: rule.0,
            role: role.words(),
            target: target_words(endpoint),
            enforceable: needs.is_none(),
            needs: needs.map(Unaddressed::advice),
            accepted_exfiltration_risk: risks.get(rule).copied().cloned().flatten(),
        }
    };
    endpoints.iter().map(json).collect()
}
