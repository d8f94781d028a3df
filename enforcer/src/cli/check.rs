//! `enforcer check FILE`: finds every problem of a configuration, and says what it would mean.

mod json;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Existing, Mode, Quic, RuleId, ServerNames, Transport};
use crate::endpoints::{self, Asked, Condition, Endpoint, Target, Unaddressed};
use crate::names::DomainPattern;

use self::json::Checked;
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
    let names = match (config.enforce.server_names, config.enforce.existing) {
        (ServerNames::Require, Existing::Deny) => "required, also of what connections from before send next",
        (ServerNames::Require, Existing::Allow) => "required, connections from before are let be",
        (ServerNames::Off, _) => {
            "NOT LOOKED AT: whoever shares an address with what is granted is reached too"
        }
    };
    writeln!(out, "names   {names}")?;
    match &config.enforce.cgroup {
        Some(cgroup) => writeln!(out, "cgroup  {}", cgroup.display())?,
        None => writeln!(out, "cgroup  the root of cgroup v2")?,
    }
    let endpoints = endpoints::expand(config);
    let granted = endpoints::granted_names(config, &endpoints);
    let unaddressed = endpoints::unaddressed(config, &endpoints);
    let needs = by_pattern(&unaddressed);
    let of_rule = endpoints::by_rule(&endpoints);
    let mut asked: HashMap<Condition, Asked> = HashMap::new();
    for rule in &config.rules {
        let endpoints = of_rule.get(&rule.id).copied().unwrap_or_default();
        writeln!(
            out,
            "rule {}  {}  (line {})",
            rule.id.0, rule.kind, rule.place.line
        )?;
        for endpoint in endpoints {
            let note = match needed(&needs, endpoint) {
                Some(_) => "  NO ADDRESSES YET, see below",
                None => "",
            };
            writeln!(
                out,
                "  {:<22} {}{note}",
                endpoint.role.words(),
                target_words(endpoint)
            )?;
        }
        let has_addresses = rule.kind.names_at_addresses().is_some();
        if let Some(endpoint) = endpoints.first().filter(|_| has_addresses) {
            let condition = endpoint.condition;
            let asked = asked.entry(condition);
            let asked = asked.or_insert_with(|| Asked::of(condition, &granted));
            writeln!(out, "  {:<22} {asked}", "server names")?;
        }
        if !rule.private_link.is_empty() {
            let prefixes: Vec<String> = rule.private_link.iter().map(ToString::to_string).collect();
            writeln!(out, "  {:<22} {}", "answers may lie in", prefixes.join(", "))?;
        }
        if !rule.sanity_tags.is_empty() {
            let tags: Vec<&str> = rule.sanity_tags.iter().map(|tag| tag.name.as_str()).collect();
            writeln!(out, "  {:<22} {}", "public answers lie in", tags.join(", "))?;
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
    for file in &config.tag_files {
        writeln!(out, "service tags {file}")?;
    }
    for open in endpoints::open_tags(config) {
        writeln!(out, "CAUTION: {open}")?;
    }
    let names = endpoints::questions(config, &endpoints).len();
    writeln!(
        out,
        "{}, {}, {} to resolve",
        plural(config.rules.len(), "rule"),
        plural(endpoints.len(), "endpoint"),
        plural(names, "name")
    )?;
    write_needs(out, &unaddressed)
}

/// What to write for patterns without addresses, each pattern once.
fn write_needs(out: &mut String, unaddressed: &[Unaddressed]) -> std::fmt::Result {
    let mut told = HashSet::new();
    for needing in unaddressed {
        if !told.insert(&needing.pattern) {
            continue;
        }
        let pattern = &needing.pattern;
        writeln!(
            out,
            "\n`{pattern}` (rule {}) has no addresses yet, for a pattern can not be resolved: its names pass only at\n\
             addresses that other rules grant. Say where its hosts are:\n\n  \
             [[allow]]\n  name = \"{pattern}\"\n  {}",
            needing.rule.0,
            if needing.is_mcr {
                format!("{}\n  file = \"ServiceTags_Public.json\"", endpoints::MCR_TAGS)
            } else {
                "prefix = [\"PREFIX\", \"PREFIX\"]".to_owned()
            }
        )?;
    }
    Ok(())
}

/// What is without addresses, by the rule and the pattern.
type Needs<'a> = HashMap<(RuleId, &'a DomainPattern), &'a Unaddressed>;

fn by_pattern(unaddressed: &[Unaddressed]) -> Needs<'_> {
    let of_pattern = unaddressed
        .iter()
        .map(|known| ((known.rule, &known.pattern), known));
    of_pattern.collect()
}

fn needed<'a>(needs: &Needs<'a>, endpoint: &'a Endpoint) -> Option<&'a Unaddressed> {
    match &endpoint.target {
        Target::Pattern(pattern) => needs.get(&(endpoint.rule, pattern)).copied(),
        Target::Name(_) | Target::Prefix(_) | Target::Tag(_) => None,
    }
}

fn target_words(endpoint: &Endpoint) -> String {
    match &endpoint.target {
        Target::Name(name) => name.to_string(),
        Target::Pattern(pattern) => pattern.to_string(),
        Target::Prefix(prefix) => prefix.to_string(),
        Target::Tag(tag) => tag.0.to_string(),
    }
}
