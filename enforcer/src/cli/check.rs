//! `enforcer check FILE`: finds every problem of a configuration, and says what it would mean.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::config::{Config, Mode, Parsed, Problem, Quic, Severity, Span, Transport};
use crate::endpoints::{self, Endpoint, Target};

use super::configuration::{self, plural};
use super::message::{Output, print, tell};

/// Exit status of "it ran, and the answer is no".
const NO: u8 = 3;

/// Find every problem of a configuration at once, and say what it would mean.
///
/// Nothing is resolved and nothing is changed. Exits with 0 when the configuration can be used, 1 when the file can not
/// be read, and 3 when it has errors.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration to check.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the result is printed on stdout.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Exit with 3 for warnings too.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, anyhow::Error> {
    let parsed = configuration::read(&arguments.file)?;
    match arguments.output {
        Output::Text => {
            configuration::show_problems(&parsed);
            match &parsed.config {
                Some(config) => print(format_args!("{}", summary(config)))?,
                None => tell(format_args!(
                    "{}: {}",
                    arguments.file.display(),
                    configuration::count_words(&parsed)
                )),
            }
        }
        Output::Json => {
            let text = serde_json::to_string_pretty(&Checked::of(&parsed))?;
            print(format_args!("{text}\n"))?;
        }
    }
    let refused = parsed.config.is_none() || (arguments.strict && !parsed.problems.is_empty());
    Ok(if refused {
        ExitCode::from(NO)
    } else {
        ExitCode::SUCCESS
    })
}

/// What the configuration would mean, a line for each endpoint.
fn summary(config: &Config) -> String {
    let mut out = String::new();
    // Writing to a String can not fail.
    let _ = write_summary(&mut out, config);
    out
}

fn write_summary(out: &mut String, config: &Config) -> std::fmt::Result {
    let ports: Vec<String> = config.enforce.ports.iter().map(u16::to_string).collect();
    let mode = match config.mode {
        Mode::Enforce => "enforce (what is denied is dropped)",
        Mode::Audit => "audit (what is denied is reported, nothing is dropped)",
    };
    let quic = match config.enforce.quic {
        Quic::Deny => "denied",
        Quic::Allow => "judged by its address",
    };
    writeln!(out, "mode    {mode}")?;
    writeln!(out, "ports   {} (UDP: {quic})", ports.join(", "))?;
    match &config.enforce.cgroup {
        Some(cgroup) => writeln!(out, "cgroup  {}", cgroup.display())?,
        None => writeln!(out, "cgroup  the root of cgroup v2")?,
    }
    let endpoints = endpoints::expand(config);
    for rule in &config.rules {
        writeln!(
            out,
            "rule {}  {}  (line {})",
            rule.id.0, rule.kind, rule.place.line
        )?;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.rule == rule.id) {
            let note = match endpoint.target {
                Target::Pattern(_) => "  NOT LET THROUGH YET: patterns are not enforced by this version",
                Target::Name(_) | Target::Prefix(_) => "",
            };
            writeln!(
                out,
                "  {:<22} {}{note}",
                endpoint.role.words(),
                target_words(endpoint)
            )?;
        }
        if !rule.private_link.is_empty() {
            let prefixes: Vec<String> = rule.private_link.iter().map(ToString::to_string).collect();
            writeln!(out, "  {:<22} {}", "answers may lie in", prefixes.join(", "))?;
        }
        if let Some(reason) = &rule.accepted_risk {
            writeln!(out, "  {:<22} {reason}", "EXFILTRATION RISK")?;
        }
    }
    for upstream in endpoints::filtered_upstreams(&config.resolver.servers, &config.enforce.ports) {
        let kind = match upstream.transport {
            Transport::Plain => "plain",
            Transport::Tls { .. } => "over TLS",
            Transport::Https { .. } => "over HTTPS",
        };
        writeln!(
            out,
            "name server, {kind}, granted for itself: {}",
            upstream.address
        )?;
    }
    let names = endpoints::questions(config, &endpoints).len();
    writeln!(
        out,
        "{}, {}, {} to resolve",
        plural(config.rules.len(), "rule"),
        plural(endpoints.len(), "endpoint"),
        plural(names, "name")
    )
}

fn target_words(endpoint: &Endpoint) -> String {
    match &endpoint.target {
        Target::Name(name) => name.to_string(),
        Target::Pattern(pattern) => pattern.to_string(),
        Target::Prefix(prefix) => prefix.to_string(),
    }
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Checked {
    /// Whether the configuration can be used.
    usable: bool,
    errors: usize,
    warnings: usize,
    /// Problems that are not listed because there are too many.
    omitted: usize,
    problems: Vec<ProblemJson>,
    /// What it would mean; empty unless usable.
    endpoints: Vec<EndpointJson>,
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
    /// Whether this version lets it through; patterns it does not.
    enforceable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_exfiltration_risk: Option<String>,
}

impl Checked {
    fn of(parsed: &Parsed) -> Self {
        Self {
            usable: parsed.config.is_some(),
            errors: parsed.count(Severity::Error),
            warnings: parsed.count(Severity::Warning),
            omitted: parsed.omitted,
            problems: parsed.problems.iter().map(problem_json).collect(),
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

fn endpoints_json(config: &Config) -> Vec<EndpointJson> {
    let risk_of = |endpoint: &Endpoint| {
        let rule = config.rules.iter().find(|rule| rule.id == endpoint.rule)?;
        rule.accepted_risk.clone()
    };
    endpoints::expand(config)
        .iter()
        .map(|endpoint| EndpointJson {
            rule: endpoint.rule.0,
            role: endpoint.role.words(),
            target: target_words(endpoint),
            enforceable: !matches!(endpoint.target, Target::Pattern(_)),
            accepted_exfiltration_risk: risk_of(endpoint),
        })
        .collect()
}
