//! What `check -o json` prints.

use std::collections::HashMap;

use serde::Serialize;

use super::{needs, target_words};
use crate::config::{Config, Parsed, Problem, RuleId, ServerNames, Severity, Span};
use crate::endpoints::{self, Asked, Endpoint, Unaddressed};

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
}

#[derive(Serialize)]
struct RuleJson {
    rule: u32,
    title: String,
    /// The server names that sessions to its addresses must carry.
    server_names: Asked,
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
    let first_of: HashMap<RuleId, &Endpoint> = endpoints
        .iter()
        .rev()
        .map(|endpoint| (endpoint.rule, endpoint))
        .collect();
    config
        .rules
        .iter()
        .filter_map(|rule| {
            Some(RuleJson {
                rule: rule.id.0,
                title: rule.kind.to_string(),
                server_names: Asked::of(first_of.get(&rule.id)?.condition, &granted),
            })
        })
        .collect()
}

fn endpoints_json(config: &Config) -> Vec<EndpointJson> {
    let risk_of = |endpoint: &Endpoint| {
        let rule = config.rules.iter().find(|rule| rule.id == endpoint.rule)?;
        rule.accepted_risk.clone()
    };
    let endpoints = endpoints::expand(config);
    let unaddressed = endpoints::unaddressed(config, &endpoints);
    let json = |endpoint: &Endpoint| {
        let needs = needs(&unaddressed, endpoint);
        EndpointJson {
            rule: endpoint.rule.0,
            role: endpoint.role.words(),
            target: target_words(endpoint),
            enforceable: needs.is_none(),
            needs: needs.map(Unaddressed::advice),
            accepted_exfiltration_risk: risk_of(endpoint),
        }
    };
    endpoints.iter().map(json).collect()
}
