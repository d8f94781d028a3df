//! How a plan reads, as text and as a document.

use super::super::*;
use super::{granted, name, range};
use crate::config::{Enforce, Names, Resolver, RuleId, RuleKind};
use crate::endpoints::{Condition, Scope, Scopes, granted_names};
use crate::names::NameRule;
use crate::policy::grants::grants;
use crate::policy::table::Table;
use crate::resolve::{Age, DnsName, KnownAddress, LastAnswer, LastGood, RefusedAddress};

fn rule(id: u32, line: usize, kind: RuleKind, accepted_risk: Option<&str>) -> Rule {
    Rule {
        id: RuleId(id),
        place: Place {
            file: "enforcer.toml".into(),
            line,
            column: 1,
        },
        kind,
        private_link: Vec::new(),
        sanity_tags: Vec::new(),
        accepted_risk: accepted_risk.map(str::to_owned),
    }
}

fn example() -> (Config, Vec<Endpoint>, Vec<Upstream>) {
    let pattern = DomainPattern::parse("*.blob.core.windows.net").unwrap();
    let prefix = "10.30.0.0/24".parse().unwrap();
    let listed_prefix = "10.31.0.0/24".parse().unwrap();
    let listed = NameRule::Pattern(DomainPattern::parse("*.listed.example.com").unwrap());
    let config = Config {
        mode: Mode::Enforce,
        rules: vec![
            rule(1, 3, RuleKind::Name(name("contoso.azurecr.io")), None),
            rule(2, 7, RuleKind::Name(name("gone.example.com")), None),
            rule(
                3,
                10,
                RuleKind::Pattern(pattern.clone()),
                Some("old builds still use it"),
            ),
            rule(
                4,
                14,
                RuleKind::Prefixes {
                    prefixes: vec![prefix],
                    names: Names::Any,
                },
                None,
            ),
            rule(
                5,
                17,
                RuleKind::Prefixes {
                    prefixes: vec![listed_prefix],
                    names: Names::List(vec![listed]),
                },
                None,
            ),
        ],
        enforce: Enforce {
            ports: vec![443, 8443],
            ..Enforce::default()
        },
        resolver: Resolver::default(),
        tag_files: Vec::new(),
        control: crate::config::Control::default(),
    };
    let endpoint = |rule, role, target| Endpoint {
        rule: RuleId(rule),
        role,
        target,
        condition: Condition::POLICY,
    };
    let at_prefix = |rule, prefix, condition| Endpoint {
        condition,
        ..endpoint(rule, Role::Allowed, Target::Prefix(prefix))
    };
    let endpoints = vec![
        endpoint(1, Role::LoginServer, Target::Name(name("contoso.azurecr.io"))),
        endpoint(1, Role::CertificateName, Target::Name(name("azurecr.io"))),
        endpoint(2, Role::Allowed, Target::Name(name("gone.example.com"))),
        endpoint(3, Role::Allowed, Target::Pattern(pattern)),
        at_prefix(4, prefix, Condition::Unconditional),
        at_prefix(
            5,
            listed_prefix,
            Condition::NameIn(Scopes::of(Scope::of_list(0).unwrap())),
        ),
    ];
    let upstreams = vec![Upstream {
        transport: Transport::Https {
            server_name: None,
            path: "/dns-query".into(),
        },
        address: "192.0.2.53:443".parse().unwrap(),
    }];
    (config, endpoints, upstreams)
}

fn example_answers(now: Instant) -> Snapshot {
    let in_seconds = |seconds| now + Duration::from_secs(seconds);
    let known = |address: &str, ttl, standing| KnownAddress {
        address: address.parse().unwrap(),
        expires: in_seconds(ttl),
        standing,
    };
    let failed = || FamilyState::Failed {
        error: "SERVFAIL from 192.0.2.53".into(),
    };
    Snapshot {
        names: vec![
            NameSnapshot {
                name: name("contoso.azurecr.io"),
                chain: vec![
                    DnsName::new("contoso.privatelink.azurecr.io"),
                    DnsName::new("front.westeurope.example.com"),
                ],
                addresses: vec![
                    known("192.0.2.10", 9, Standing::Current),
                    known(
                        "192.0.2.111",
                        0,
                        Standing::Retired {
                            until: in_seconds(420),
                        },
                    ),
                ]
                .into(),
                refused: vec![RefusedAddress {
                    address: "10.0.0.9".parse().unwrap(),
                    why: "private (RFC 1918)",
                }],
                v4: FamilyState::Fresh,
                v6: FamilyState::Stale {
                    answered: (now - Duration::from_secs(7500)).into(),
                    error: "no answer within 3 s".into(),
                },
                good_v4: LastGood::default(),
                good_v6: LastGood::default(),
            },
            NameSnapshot {
                name: name("gone.example.com"),
                chain: Vec::new(),
                addresses: [].into(),
                refused: Vec::new(),
                v4: failed(),
                v6: failed(),
                good_v4: LastGood::default(),
                good_v6: LastGood::default(),
            },
        ]
        .into(),
    }
}

fn example_plan(actual: Actual<'_>) -> Plan {
    // Far from the clock's start, so that the past exists.
    let now = Instant::now() + Duration::from_secs(100_000);
    let (config, endpoints, upstreams) = example();
    let answers = example_answers(now);
    let grants = grants(&endpoints, &answers, &upstreams, &config.enforce.ports);
    let names = granted_names(&config, &endpoints);
    let image = Table::of(&grants, &names).unwrap();
    assert_eq!(image.granted_names(), names);
    let desired = Granted {
        ranges: &image.ranges(),
        names: &names,
    };
    Plan::new(&config, &endpoints, &upstreams, &answers, now, desired, actual)
}

#[test]
fn a_plan_reads_like_this() {
    let loaded = [
        range("192.0.2.10", "192.0.2.10", 1),
        range("192.0.2.9", "192.0.2.9", 1),
    ];
    let plan = example_plan(Actual::Loaded {
        generation: 41,
        mode: Mode::Audit,
        granted: Granted {
            ranges: &[loaded[1], loaded[0]],
            names: &[granted("contoso.azurecr.io", 1), granted("old.example.com", 1)],
        },
    });
    let expected = "\
mode enforce, ports 443 8443, UDP to them denied, server names required

rule 1: allow contoso.azurecr.io  (enforcer.toml:3)
  server names: those of the policy
  login server contoso.azurecr.io
    -> contoso.privatelink.azurecr.io
    -> front.westeurope.example.com
    192.0.2.10   ttl 9 s
    192.0.2.111  ttl 0 s, left the answers, kept for 7 min
    10.0.0.9     refused: private (RFC 1918)
    IPv6: stale, last answered 2 h 5 min ago: no answer within 3 s
  certificate name azurecr.io
    IPv4: no answer within the time limit
    IPv6: no answer within the time limit
    nothing is granted for it

rule 2: allow gone.example.com  (enforcer.toml:7)
  server names: those of the policy
  allowed gone.example.com
    IPv4: SERVFAIL from 192.0.2.53
    IPv6: SERVFAIL from 192.0.2.53
    nothing is granted for it

rule 3: allow *.blob.core.windows.net  (enforcer.toml:10)
  exfiltration risk accepted: old builds still use it
  server names: those of the policy
  allowed *.blob.core.windows.net
    no addresses yet, for a pattern can not be resolved: say where its hosts are with an `[[allow]]` of \
     `name = \"*.blob.core.windows.net\"` and `prefix = [...]`

rule 4: allow 10.30.0.0/24  (enforcer.toml:14)
  server names: not asked for
  allowed 10.30.0.0/24

rule 5: allow *.listed.example.com at 10.31.0.0/24  (enforcer.toml:17)
  server names: *.listed.example.com
  allowed 10.31.0.0/24

resolver: granted so that enforcer can ask for names
  192.0.2.53:443 (https)

compared with generation 41, which is loaded:
  ~ the mode changes
  + 10.30.0.0/24             rule 4
  + 10.31.0.0/24             rule 5
  + 192.0.2.53               resolver
  + 192.0.2.111              rule 1
  - 192.0.2.9                rule 1
  + *.blob.core.windows.net  a server name of the policy
  + *.listed.example.com     a server name at prefixes
  + azurecr.io               a server name of the policy
  + gone.example.com         a server name of the policy
  - old.example.com          a server name of the policy
4 to add, 1 to remove, 0 to move to another rule or other names, 1 unchanged; names: 4 to add, 1 to remove";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn a_plan_says_when_server_names_are_off() {
    let mut plan = example_plan(Actual::Nothing);
    plan.existing = Existing::Allow;
    let first_line = |plan: &Plan| plan.to_string().lines().next().unwrap_or_default().to_owned();
    assert!(first_line(&plan).ends_with("server names required, connections from before let be"));
    plan.server_names = ServerNames::Off;
    assert!(first_line(&plan).ends_with("SERVER NAMES NOT LOOKED AT"));
}

#[test]
fn a_plan_says_of_which_service_tags_it_is() {
    let summary = TagFileSummary {
        file: "tags.json".into(),
        change_number: Some(352),
        cloud: Some("Public".to_owned()),
        tags: 2,
    };
    let mut plan = example_plan(Actual::Nothing);
    plan.service_tag_files = vec![tag_file(&summary)];
    let line = "\nservice tags tags.json: change number 352, cloud Public, 2 tags\n";
    assert!(plan.to_string().contains(line), "{plan}");
    let json = serde_json::to_value(&plan).unwrap();
    let file = &json["service_tag_files"][0];
    assert_eq!(
        (&file["change_number"], &file["cloud"]),
        (&352.into(), &"Public".into())
    );
}

#[test]
fn only_what_a_rule_needs_counts_as_unresolved() {
    let plan = example_plan(Actual::Nothing);
    assert_eq!(plan.unresolved(), [&name("gone.example.com")]);
}

#[test]
fn what_could_not_be_read_is_compared_with_nothing_and_says_so() {
    let plan = example_plan(Actual::Unread { why: "not permitted" });
    assert!(plan.to_string().contains("could not be read (not permitted)"));
    assert_eq!(plan.change.additions.len(), 5);
}

#[test]
fn the_serialised_form_is_stable() {
    let plan = serde_json::to_value(example_plan(Actual::Nothing)).unwrap();
    assert_eq!(plan["version"], 2);
    assert_eq!(plan["mode"], "enforce");
    assert_eq!(plan["quic"], "deny");
    assert_eq!(plan["rules"][0]["place"], "enforcer.toml:3");
    let login = &plan["rules"][0]["endpoints"][0];
    assert_eq!(
        (&login["role"], &login["kind"]),
        (&"login-server".into(), &"name".into())
    );
    assert_eq!(login["name"], "contoso.azurecr.io");
    assert_eq!(login["chain"][0], "contoso.privatelink.azurecr.io");
    assert_eq!(login["addresses"][0]["ttl_left_s"], 9);
    assert!(login["addresses"][0].get("retires_in_s").is_none());
    assert_eq!(login["addresses"][1]["retires_in_s"], 420);
    assert_eq!(login["aaaa"]["state"], "stale");
    assert_eq!(login["aaaa"]["age_s"], 7500);
    assert_eq!(
        plan["rules"][2]["endpoints"][0]["pattern"],
        "*.blob.core.windows.net"
    );
    assert!(plan["rules"][2]["endpoints"][0]["needs"].is_string());
    assert_eq!(
        (&plan["server_names"], &plan["existing"]),
        (&"require".into(), &"deny".into())
    );
    assert_eq!(
        plan["rules"][0]["server_names"],
        serde_json::json!({ "asked": "names", "policy": true, "listed": [] })
    );
    assert_eq!(
        plan["rules"][3]["server_names"],
        serde_json::json!({ "asked": "nothing" })
    );
    assert_eq!(
        plan["rules"][4]["server_names"]["listed"],
        serde_json::json!(["*.listed.example.com"])
    );
    assert_eq!(plan["upstreams"][0]["address"], "192.0.2.53:443");
    assert_eq!(plan["change"]["loaded"], "nothing");
    assert_eq!(plan["change"]["additions"][0]["span"], "10.30.0.0/24");
    assert_eq!(plan["change"]["additions"][0]["source"], "rule 4");
    assert_eq!(
        plan["change"]["names_added"][0]["name"],
        "*.blob.core.windows.net"
    );
    assert_eq!(plan["change"]["names_added"][0]["at"], "policy");
}

#[test]
fn a_restored_name_is_stale_and_at_least_so_old() {
    let now = Instant::now();
    let shown = |age| {
        let answered = LastAnswer::restored(age, now);
        serde_json::to_value(super::answered(&FamilyState::Restored { answered }, now)).unwrap()
    };
    let error = "not asked yet since the start";
    assert_eq!(
        shown(Age::at_least(Duration::from_secs(7500))),
        serde_json::json!({"state": "stale", "age_s": 7500, "is_at_least": true, "error": error})
    );
    assert_eq!(
        shown(Age::exact(Duration::from_secs(7500))),
        serde_json::json!({"state": "stale", "age_s": 7500, "error": error})
    );
}
