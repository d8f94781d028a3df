//! From whole configurations to endpoints and questions.

use std::path::Path;

use super::*;
use crate::config::{self, Files};

struct File(&'static str);

impl Files for File {
    fn read(&self, _: &Path, _: u64) -> Result<Arc<str>, String> {
        Ok(self.0.into())
    }
}

fn config_with(text: &str, file: &'static str) -> Config {
    let parsed = config::parse(Path::new("test.toml"), text, &File(file));
    parsed
        .config
        .unwrap_or_else(|| panic!("{}", parsed.problems[0].render(false)))
}

/// `rule role target`, an endpoint a line.
fn shown(config: &Config) -> Vec<String> {
    expand(config)
        .iter()
        .map(|endpoint| {
            let target = match &endpoint.target {
                Target::Name(name) => name.to_string(),
                Target::Pattern(pattern) => pattern.to_string(),
                Target::Prefix(prefix) => prefix.to_string(),
                Target::Tag(tag) => tag.0.name.clone(),
            };
            format!("{} {:?} {target}", endpoint.rule.0, endpoint.role)
        })
        .collect()
}

#[test]
fn every_cloud_and_every_kind_of_rule() {
    let config = config_with(
        r#"
        [[registry]]
        login_server = "contoso.azurecr.io"
        data_regions = ["eastus", "westus"]
        regional_login_servers = true
        [[registry]]
        login_server = "contoso.azurecr.cn"
        data_regions = ["chinaeast2"]
        [[registry]]
        login_server = "contoso.azurecr.us"
        data_regions = ["usgovvirginia"]
        [[registry]]
        kind = "mcr"
        [[allow]]
        name = "updates.example.com"
        [[allow]]
        name = "*.example.com"
        [[allow]]
        prefix = ["10.30.0.0/24", "2001:db8::/32"]
        "#,
        "",
    );
    assert_eq!(
        shown(&config),
        [
            "1 LoginServer contoso.azurecr.io",
            "1 DataEndpoint contoso.eastus.data.azurecr.io",
            "1 DataEndpoint contoso.westus.data.azurecr.io",
            "1 RegionalLoginServer contoso.eastus.geo.azurecr.io",
            "1 RegionalLoginServer contoso.westus.geo.azurecr.io",
            "1 CertificateName azurecr.io",
            "2 LoginServer contoso.azurecr.cn",
            "2 DataEndpoint contoso.chinaeast2.data.azurecr.cn",
            "2 CertificateName azurecr.cn",
            "3 LoginServer contoso.azurecr.us",
            "3 DataEndpoint contoso.usgovvirginia.data.azurecr.us",
            "3 CertificateName azurecr.us",
            "4 LoginServer mcr.microsoft.com",
            "4 DataEndpoint *.data.mcr.microsoft.com",
            "5 Allowed updates.example.com",
            "6 Allowed *.example.com",
            "7 Allowed 10.30.0.0/24",
            "7 Allowed 2001:db8::/32",
        ]
    );
}

/// The condition of every endpoint, and the names with the numbers of their scopes.
fn conditions(text: &str) -> (Vec<String>, Vec<String>) {
    let config = config_with(text, "");
    let endpoints = expand(&config);
    let numbers = |scopes: Scopes| {
        let numbers: Vec<String> = scopes.iter().map(|scope| scope.number().to_string()).collect();
        numbers.join(" ")
    };
    let asked = endpoints
        .iter()
        .map(|endpoint| match endpoint.condition {
            Condition::Unconditional => "any".to_owned(),
            Condition::NameIn(scopes) => numbers(scopes),
        })
        .collect();
    let granted = granted_names(&config, &endpoints)
        .iter()
        .map(|granted| format!("{} {}", granted.name, numbers(granted.scopes)))
        .collect();
    (asked, granted)
}

const EVERY_CONDITION: &str = r#"
    [[registry]]
    kind = "mcr"
    [[allow]]
    name = "a.example.com"
    [[allow]]
    prefix = "10.30.0.0/24"
    [[allow]]
    prefix = "10.31.0.0/24"
    server_name = "require"
    [[allow]]
    prefix = "10.32.0.0/24"
    server_name = ["a.example.com", "*.b.example.com"]
    [[allow]]
    name = "*.data.mcr.microsoft.com"
    prefix = ["10.33.0.0/24", "10.34.0.0/24"]
    [[allow]]
    prefix = "10.35.0.0/24"
    server_name = ["*.b.example.com", "a.example.com"]
"#;

#[test]
fn names_count_where_their_rules_say() {
    let (asked, granted) = conditions(EVERY_CONDITION);
    assert_eq!(asked, ["0", "0", "0", "any", "0", "1", "2", "2", "1"]);
    assert_eq!(
        granted,
        [
            "a.example.com 0 1",
            "mcr.microsoft.com 0",
            "*.b.example.com 1",
            "*.data.mcr.microsoft.com 0 2",
        ]
    );
}

#[test]
fn nothing_is_asked_for_when_server_names_are_off() {
    let (asked, granted) = conditions(&format!("{EVERY_CONDITION}\n[enforce]\nserver_name = \"off\"\n"));
    assert!(asked.iter().all(|asked| asked == "any"), "{asked:?}");
    assert_eq!(granted, Vec::<String>::new());
}

#[test]
fn a_name_with_a_prefix_is_not_resolved() {
    let config = config_with(
        "[[allow]]\nname = \"a.example.com\"\nprefix = \"10.30.0.0/24\"\n",
        "",
    );
    assert_eq!(shown(&config), ["1 Allowed 10.30.0.0/24"]);
    assert!(questions(&config, &expand(&config)).is_empty());
}

#[test]
fn a_pattern_lacks_addresses_until_a_prefix_rule_gives_them() {
    const MCR: &str = "[[registry]]\nkind = \"mcr\"\n[[allow]]\nname = \"*.a.example.com\"\n";
    let lacking = |more: &str| {
        let config = config_with(&format!("{MCR}{more}"), "");
        let lacking: Vec<String> = unaddressed(&config, &expand(&config))
            .iter()
            .map(|known| format!("{} {} {}", known.rule.0, known.pattern, known.is_mcr))
            .collect();
        lacking.join(", ")
    };
    let (mcr, other) = ("1 *.data.mcr.microsoft.com true", "2 *.a.example.com false");
    let both = format!("{mcr}, {other}");
    assert_eq!(lacking(""), both);
    let at = "[[allow]]\nprefix = \"10.30.0.0/24\"\n";
    assert_eq!(
        lacking(at),
        both,
        "a prefix where no name is asked for is another matter"
    );
    assert_eq!(lacking(&format!("{at}server_name = \"require\"\n")), "");
    assert_eq!(
        lacking(&format!("{at}name = \"*.data.mcr.microsoft.com\"\n")),
        other
    );
    assert_eq!(
        lacking(&format!(
            "{at}server_name = [\"x.example.net\", \"*.example.com\"]\n"
        )),
        mcr
    );
    assert_eq!(
        lacking(&format!(
            "{at}server_name = [\"*.b.a.example.com\", \"a.example.com\"]\n"
        )),
        both
    );
}

#[test]
fn conditions_read_like_this() {
    let config = config_with(EVERY_CONDITION, "");
    let endpoints = expand(&config);
    let names = granted_names(&config, &endpoints);
    let words = |condition| Asked::of(condition, &names).to_string();
    let of = |bits| Condition::NameIn(Scopes::from_bits(bits));
    assert_eq!(words(Condition::Unconditional), "not asked for");
    assert_eq!(words(of(1)), "those of the policy");
    assert_eq!(words(of(2)), "a.example.com, *.b.example.com");
    assert_eq!(words(of(5)), "those of the policy, *.data.mcr.microsoft.com");
    assert_eq!(words(of(0)), "no name passes");
    let many = vec![0_u8; 20].into_iter().enumerate().map(|(at, _)| GrantedName {
        name: NameRule::Name(fixed(&format!("n{at:02}.example.com"))),
        scopes: Scopes::from_bits(2),
    });
    let many: Vec<GrantedName> = many.collect();
    assert!(
        Asked::of(of(2), &many)
            .to_string()
            .ends_with("n07.example.com and 12 more")
    );
}

#[test]
fn what_show_endpoints_lists_is_taken_as_it_is() {
    let config = config_with(
        "[[registry]]\nendpoints = \"e.json\"\n",
        r#"{
            "loginServer": "contoso-e7ggejfuhzhgedc8.azurecr.io",
            "dataEndpoints": [
                {"region": "eastus", "endpoint": "contoso-e7ggejfuhzhgedc8.eastus.data.azurecr.io"},
                {"region": "eastus", "endpoint": "contoso-e7ggejfuhzhgedc8.eastus.data.azurecr.io"},
            ],
            "regionalEndpoints": [{"region": "eastus", "endpoint": "contoso-e7ggejfuhzhgedc8.eastus.geo.azurecr.io"}],
        }"#,
    );
    assert_eq!(
        shown(&config),
        [
            "1 LoginServer contoso-e7ggejfuhzhgedc8.azurecr.io",
            "1 DataEndpoint contoso-e7ggejfuhzhgedc8.eastus.data.azurecr.io",
            "1 RegionalLoginServer contoso-e7ggejfuhzhgedc8.eastus.geo.azurecr.io",
            "1 CertificateName azurecr.io",
        ]
    );
}

#[test]
fn shared_storage_appears_only_with_its_risk_accepted() {
    let config = config_with(
        "[[registry]]\nendpoints = \"e.json\"\naccept_exfiltration_risk = \"until March\"\n",
        r#"{"loginServer": "contoso.azurecr.io", "dataEndpoints": [{"endpoint": "*.blob.core.windows.net"}]}"#,
    );
    assert_eq!(config.rules[0].accepted_risk.as_deref(), Some("until March"));
    assert!(shown(&config).contains(&"1 DataEndpoint *.blob.core.windows.net".to_owned()));
}

#[test]
fn a_name_is_asked_once_for_all_its_rules() {
    let config = config_with(
        r#"
        [[registry]]
        login_server = "contoso.azurecr.io"
        data_regions = ["eastus"]
        private_link = ["10.20.0.0/16", "10.21.0.0/16"]
        [[registry]]
        login_server = "fabrikam.azurecr.io"
        data_regions = ["eastus"]
        private_link = ["10.20.0.0/16", "10.22.0.0/16"]
        [[registry]]
        kind = "mcr"
        [[allow]]
        prefix = "10.30.0.0/24"
        "#,
        "",
    );
    let questions = questions(&config, &expand(&config));
    let shown: Vec<String> = questions
        .iter()
        .map(|question| {
            let prefixes: Vec<String> = question.private_link.iter().map(ToString::to_string).collect();
            format!("{} {}", question.name, prefixes.join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "contoso.azurecr.io 10.20.0.0/16 10.21.0.0/16",
            "contoso.eastus.data.azurecr.io 10.20.0.0/16 10.21.0.0/16",
            "azurecr.io 10.20.0.0/16 10.21.0.0/16 10.22.0.0/16",
            "fabrikam.azurecr.io 10.20.0.0/16 10.22.0.0/16",
            "fabrikam.eastus.data.azurecr.io 10.20.0.0/16 10.22.0.0/16",
            "mcr.microsoft.com ",
        ]
    );
}

#[test]
fn only_name_servers_on_a_filtered_port_need_a_grant() {
    let config = config_with(
        r#"
        [[registry]]
        kind = "mcr"
        [enforce]
        ports = [443, 853]
        [resolver]
        servers = ["192.0.2.1", "tls://192.0.2.2", "https://192.0.2.3", "https://192.0.2.4:8443", "https://127.0.0.1"]
        "#,
        "",
    );
    let filtered: Vec<String> = filtered_upstreams(&config.resolver.servers, &config.enforce.ports)
        .map(|upstream| upstream.address.to_string())
        .collect();
    assert_eq!(filtered, ["192.0.2.2:853", "192.0.2.3:443"]);
}
