//! Whole configurations in, problems out.
//!
//! `cases.txt` has the cases: `=== title`, the configuration, files it refers to after `>> NAME`, and after `---` what
//! is expected. `tags.json` is there in each: it is `cases_tags.json`. `UPDATE_CASES=1 cargo test -p enforcer config::tests`
//! writes what is found into it, to be reviewed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const CASES: &str = include_str!("cases.txt");
const TAGS: &str = include_str!("cases_tags.json");

/// Files by their name.
#[derive(Default)]
struct Table(HashMap<PathBuf, String>);

impl Files for Table {
    fn read(&self, path: &Path, _: u64) -> Result<Arc<str>, String> {
        let text = self.0.get(path).map(|text| text.as_str().into());
        text.ok_or_else(|| "there is no such file".to_owned())
    }
}

fn parsed(text: &str) -> Parsed {
    parse(Path::new("test.toml"), text, &Table::default())
}

fn valid(text: &str) -> Config {
    let parsed = parsed(text);
    parsed
        .config
        .unwrap_or_else(|| panic!("{}", parsed.problems[0].render(false)))
}

/// A case as `cases.txt` has it, without what is expected.
fn found(input: &str) -> String {
    let mut parts = input.split("\n>> ");
    let text = parts.next().unwrap();
    let files = parts.map(|part| part.split_once('\n').unwrap());
    let files = Table(
        files
            .map(|(name, text)| (PathBuf::from(name), text.to_owned()))
            .chain([(PathBuf::from("tags.json"), TAGS.to_owned())])
            .collect(),
    );
    let parsed = parse(Path::new("test.toml"), text, &files);
    let errors = parsed.count(Severity::Error);
    assert_eq!(parsed.config.is_some(), errors == 0, "usable without errors only");
    let mut out = String::new();
    for problem in &parsed.problems {
        let place = problem.span.place();
        let (file, line, column) = (place.file.display(), place.line, place.column);
        let severity = problem.severity.as_str();
        writeln!(out, "{file}:{line}:{column} {severity}: {}", problem.message).unwrap();
        if let Some(label) = &problem.label {
            writeln!(out, "  label: {label}").unwrap();
        }
        if let Some((span, label)) = &problem.related {
            let place = span.place();
            writeln!(out, "  {}:{} {label}", place.line, place.column).unwrap();
        }
        if let Some(hint) = &problem.hint {
            writeln!(out, "  help: {hint}").unwrap();
        }
    }
    if parsed.problems.is_empty() {
        out.push_str("fine\n");
    }
    out
}

#[test]
fn every_case_is_found_as_it_is_written_down() {
    let mut updated = String::new();
    let mut wrong = String::new();
    for case in CASES.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (input, expected) = rest.split_once("---\n").unwrap();
        let found = found(input.trim_end_matches('\n'));
        writeln!(updated, "=== {title}\n{input}---\n{found}").unwrap();
        if found != format!("{}\n", expected.trim_end()) {
            writeln!(
                wrong,
                "=== {title}\n{input}--- found\n{found}--- expected\n{expected}"
            )
            .unwrap();
        }
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/cases.txt");
        std::fs::write(path, updated).unwrap();
    } else {
        assert!(wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn a_problem_looks_as_a_compiler_shows_one() {
    let text = "[[allow]]\nname = \"a.example.com\"\n\n[[allow]]\nname = \"A.example.com.\"\n";
    assert_eq!(
        parsed(text).problems[0].render(false),
        "\
error: `a.example.com` stands twice
 --> test.toml:5:8
  |
2 | name = \"a.example.com\"
  |        --------------- first here
...
5 | name = \"A.example.com.\"
  |        ^^^^^^^^^^^^^^^^
  |
  = help: keep one of the two; put what they say into it"
    );
}

#[test]
fn a_problem_far_from_its_relative_shows_both() {
    let filler = "# filler\n".repeat(2000);
    let text = format!("[[allow]]\nname = \"a.example.com\"\n{filler}[[allow]]\nname = \"a.example.com\"\n");
    let shown = parsed(&text).problems[0].render(false);
    assert!(shown.contains(" --> test.toml:2004:8"), "{shown}");
    assert!(shown.contains("::: test.toml:2:8"), "{shown}");
}

#[test]
fn a_line_too_long_to_show_has_its_place() {
    let text = format!("[[allow]]\nname = \"a_b\" # {}\n", "x".repeat(20_000));
    assert_eq!(
        parsed(&text).problems[0].render(false),
        "\
error: `a_b` is not a host name: `_` can not stand in a host name
--> test.toml:2:10
 = help: a host name is labels of letters, digits and hyphens with dots between them"
    );
}

#[test]
fn a_place_in_another_file_is_named_with_that_file() {
    let files = [(PathBuf::from("e.json"), "{\n  \"loginServer\": 7\n}".to_owned())];
    let text = "[[registry]]\nendpoints = \"e.json\"\n";
    let parsed = parse(Path::new("folder/test.toml"), text, &Table(files.into()));
    let place = parsed.problems[0].span.place();
    assert_eq!(
        (place.file.to_str().unwrap(), place.line, place.column),
        ("folder/e.json", 2, 18)
    );
}

#[test]
fn rules_are_numbered_in_the_order_of_the_file() {
    let config = valid(
        "[[allow]]\nname = \"a.example.com\"\n\n[[registry]]\nkind = \"mcr\"\n\n[[allow]]\nprefix = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n",
    );
    let rules: Vec<String> = config
        .rules
        .iter()
        .map(|rule| format!("{} line {}: {}", rule.id.0, rule.place.line, rule.kind))
        .collect();
    assert_eq!(
        rules,
        [
            "1 line 1: allow a.example.com",
            "2 line 4: registry mcr.microsoft.com",
            "3 line 7: allow 2 prefixes"
        ]
    );
}

#[test]
fn what_is_left_out_has_its_documented_value() {
    let config = valid("[[registry]]\nkind = \"mcr\"\n");
    assert_eq!(config.mode, Mode::Enforce);
    assert_eq!(config.enforce.ports, [443]);
    assert_eq!((config.enforce.cgroup, config.enforce.quic), (None, Quic::Deny));
    let resolver = config.resolver;
    assert!(resolver.servers.is_empty());
    assert_eq!(resolver.timeout, Duration::from_secs(3));
    assert_eq!(resolver.ttl_min, Duration::from_secs(5));
    assert_eq!(resolver.ttl_max, Duration::from_secs(3600));
    assert_eq!(resolver.grace, Duration::from_secs(600));
    assert_eq!(
        (resolver.addresses_max, resolver.chain_max, resolver.concurrency),
        (64, 12, 32)
    );
}

#[test]
fn every_key_arrives() {
    let config = valid(EVERYTHING);
    assert_eq!(config.mode, Mode::Audit);
    let RuleKind::Registry(registry) = &config.rules[0].kind else {
        panic!("{:?}", config.rules[0].kind);
    };
    assert_eq!(registry.login_server.name().as_str(), "contoso.azurecr.io");
    let regions: Vec<&str> = registry.data_regions.iter().map(Region::as_str).collect();
    assert_eq!(regions, ["eastus", "westus"]);
    assert_eq!(registry.regional_endpoints.len(), 2);
    assert_eq!(config.rules[0].private_link, ["10.20.0.0/16".parse().unwrap()]);
    assert_eq!(config.rules[2].accepted_risk.as_deref(), Some("still migrating"));
    assert_eq!(config.enforce.ports, [443, 8883]);
    assert_eq!(
        config.enforce.cgroup.as_deref(),
        Some(Path::new("/sys/fs/cgroup/build"))
    );
    assert_eq!(config.enforce.quic, Quic::Allow);
    assert_eq!(config.enforce.server_names, ServerNames::Off);
    assert_eq!(config.enforce.existing, Existing::Allow);
    let names = |rule: usize| match &config.rules[rule].kind {
        RuleKind::Prefixes { names, .. } => names,
        other => panic!("{other:?}"),
    };
    let list = |names: &[&str]| {
        let name = |text: &&str| match DomainPattern::parse(text) {
            Ok(pattern) => NameRule::Pattern(pattern),
            Err(_) => NameRule::Name(ServerName::parse(text).unwrap()),
        };
        Names::List(names.iter().map(name).collect())
    };
    assert_eq!(names(4), &Names::Any);
    assert_eq!(names(5), &Names::OfThePolicy);
    assert_eq!(names(6), &list(&["a.example.com", "*.b.example.com"]));
    assert_eq!(names(7), &list(&["*.data.mcr.microsoft.com"]));
    let titles: Vec<String> = config.rules.iter().map(|rule| rule.kind.to_string()).collect();
    assert_eq!(
        titles[4..],
        [
            "allow 2 prefixes",
            "allow the policy's names at 10.31.0.0/24",
            "allow 2 names at 2 prefixes",
            "allow *.data.mcr.microsoft.com at 10.34.0.0/24",
        ]
    );
    assert_eq!(config.resolver.servers.len(), 3);
    assert_eq!(config.resolver.timeout, Duration::from_millis(500));
    assert_eq!(config.resolver.ttl_min, Duration::from_secs(10));
    assert_eq!(config.resolver.ttl_max, Duration::from_secs(7200));
    assert_eq!(config.resolver.grace, Duration::from_secs(5400));
    assert_eq!(
        (
            config.resolver.addresses_max,
            config.resolver.chain_max,
            config.resolver.concurrency
        ),
        (128, 16, 4)
    );
}

/// A configuration with every key.
const EVERYTHING: &str = r#"
mode = "audit"

[[registry]]
login_server = "Contoso.azurecr.io"
data_regions = ["eastus", "WestUS"]
regional_login_servers = true
private_link = ["10.20.0.0/16"]

[[registry]]
kind = "mcr"

[[allow]]
name = "*.blob.core.windows.net"
accept_exfiltration_risk = "still migrating"

[[allow]]
name = "updates.example.com"

[[allow]]
prefix = ["10.30.0.0/24", "2001:db8:1::/48"]

[[allow]]
prefix = "10.31.0.0/24"
server_name = "require"

[[allow]]
prefix = ["10.32.0.0/24", "10.33.0.0/24"]
server_name = ["*.b.example.com", "a.example.com"]

[[allow]]
name = "*.data.mcr.microsoft.com"
prefix = "10.34.0.0/24"

[enforce]
ports = [8883, 443]
cgroup = "/sys/fs/cgroup/build"
quic = "allow"
server_name = "off"
existing = "allow"

[resolver]
servers = ["192.0.2.1", "tls://192.0.2.2#dns.example.com", "https://[2001:db8::1]/dns-query#dns.example.com"]
timeout = "500ms"
ttl_min = "10s"
ttl_max = "2h"
grace = "1h 30m"
addresses_max = 128
chain_max = 16
concurrency = 4
"#;

/// `count` rules, each with a list of server names of its own.
fn with_lists(count: usize) -> String {
    (0..count)
        .map(|at| format!("[[allow]]\nprefix = \"10.0.{at}.0/24\"\nserver_name = [\"a{at}.example.com\"]\n"))
        .collect()
}

#[test]
fn lists_of_server_names_are_as_many_as_the_kernel_tells_apart() {
    let shared = "[[allow]]\nprefix = \"10.1.0.0/24\"\nserver_name = \"a7.example.com\"\n";
    assert_eq!(
        valid(&format!("{}{shared}", with_lists(LISTS_MAX))).rules.len(),
        64
    );
    let parsed = parsed(&with_lists(LISTS_MAX + 1));
    let [problem] = &parsed.problems[..] else {
        panic!("{:?}", parsed.problems);
    };
    assert_eq!(
        problem.message,
        "64 different lists of server names, 63 are the most"
    );
    assert_eq!((problem.span.place().line, problem.span.place().column), (192, 1));
    assert!(parsed.config.is_none());
}

#[test]
fn a_hostile_text_costs_little() {
    let many_problems_on_one_line = format!("allow = [{}]", "{ x = 1 }, ".repeat(90_000));
    let many_rules = "[[allow]]\n".repeat(100_000);
    let many_regions = format!(
        "[[registry]]\nlogin_server = \"contoso.azurecr.io\"\ndata_regions = [{}]",
        "\"a b\", ".repeat(100_000)
    );
    let many_unknown = (0..80_000).map(|n| format!("k{n} = 1\n")).collect::<String>();
    let many_names = format!(
        "[[allow]]\nprefix = \"10.0.0.0/8\"\nserver_name = [{}]",
        "\"a.example.com\", ".repeat(60_000)
    );
    for text in [
        many_problems_on_one_line,
        many_rules,
        many_regions,
        many_unknown,
        many_names,
    ] {
        let parsed = parsed(&text);
        assert!(parsed.config.is_none());
        assert_eq!(parsed.problems.len(), PROBLEMS_MAX);
        assert!(parsed.omitted > 0);
        for problem in &parsed.problems {
            assert!(!problem.render(false).is_empty());
        }
    }
}

/// Shows everything, as `check` does.
fn parse_and_render(text: &str) {
    let files = Table([(PathBuf::from("e.json"), text.to_owned())].into());
    let parsed = parse(Path::new("test.toml"), text, &files);
    for problem in &parsed.problems {
        let _ = problem.render(true);
        let _ = problem.span.place();
    }
    let endpoints_file = parse(
        Path::new("test.toml"),
        "[[registry]]\nendpoints = \"e.json\"\n",
        &files,
    );
    for problem in &endpoints_file.problems {
        let _ = problem.render(false);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        parse_and_render(&text);
    }

    #[test]
    fn text_of_the_right_characters_is_read_without_a_panic(
        text in "[\\[\\]{}=,.\"'#\\\\ \n\ta-e0-9*:/é\u{202e}]{0,200}",
    ) {
        parse_and_render(&text);
    }

    #[test]
    fn a_damaged_configuration_is_read_without_a_panic(
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..20_usize, ".{0,6}"), 1..6),
    ) {
        let mut characters: Vec<char> = EVERYTHING.chars().collect();
        for (at, removed, inserted) in damages {
            let at = at.index(characters.len());
            let end = (at + removed).min(characters.len());
            characters.splice(at..end, inserted.chars());
            if characters.is_empty() {
                characters.push('\n');
            }
        }
        parse_and_render(&characters.iter().collect::<String>());
    }

    #[test]
    fn any_value_of_a_string_key_is_read_without_a_panic(value in any::<String>()) {
        let mut table = toml::Table::new();
        table.insert("value".into(), value.into());
        let written = toml::to_string(&table).unwrap();
        let written = written.strip_prefix("value = ").unwrap().trim_end();
        for (header, key) in [
            ("[[registry]]", "login_server"),
            ("[[registry]]", "data_regions"),
            ("[[allow]]", "name"),
            ("[[allow]]", "prefix"),
            ("[[allow]]\nprefix = \"10.0.0.0/8\"", "server_name"),
            ("[[allow]]\nprefix = \"10.0.0.0/8\"", "name"),
            ("[enforce]", "cgroup"),
            ("[control]", "metrics"),
            ("[resolver]", "servers"),
            ("[resolver]", "grace"),
        ] {
            parse_and_render(&format!("{header}\n{key} = {written}\n"));
        }
    }

    #[test]
    fn damaged_show_endpoints_output_is_read_without_a_panic(
        text in "[\\[\\]{}:,\"\\\\ \nleé]{0,40}",
        at in any::<prop::sample::Index>(),
    ) {
        let sample = r#"{"loginServer": "contoso.azurecr.io", "dataEndpoints": [{"endpoint": "contoso.eastus.data.azurecr.io",},]}"#;
        let at = at.index(sample.len());
        parse_and_render(&format!("{}{text}{}", &sample[..at], &sample[at..]));
    }
}
