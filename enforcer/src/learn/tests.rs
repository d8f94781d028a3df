use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::samples;
use crate::endpoints::{Target, expand};

fn parsed(text: &str) -> Config {
    samples::parsed("learned.toml", text)
}

fn granted(text: &str) -> BTreeSet<String> {
    let endpoints = expand(&parsed(text)).into_iter();
    endpoints
        .map(|endpoint| match endpoint.target {
            Target::Name(name) => name.to_string(),
            Target::Pattern(pattern) => pattern.to_string(),
            Target::Prefix(prefix) => prefix.to_string(),
            Target::Tag(tag) => tag.0.to_string(),
        })
        .collect()
}

/// A line of `observe -o json`.
fn line(hour: u32, verdict: &str, fields: &str) -> String {
    let day = 1 + hour / 24;
    let hour = hour % 24;
    format!(
        "{{\"kind\":\"event\",\"number\":1,\"time\":\"2026-11-{day:02}T{hour:02}:00:00.000Z\",\"verdict\":\"{verdict}\",\
         \"hook\":\"egress\",\"cgroup_id\":7,{fields}}}\n"
    )
}

fn session(name: &str, address: &str) -> String {
    format!(
        "\"protocol\":\"tcp\",\"process\":\"skopeo\",\"pid\":7,\"unit\":\"docker.service\",\"reason\":\"name-not-granted\",\
         \"destination\":\"{address}:443\",\"server_name\":\"{name}\""
    )
}

fn learned(lines: &[String]) -> Learned {
    learn(&read(&lines.concat(), None), None, None, Mode::Audit)
}

#[test]
fn a_pull_becomes_one_registry() {
    let lines = [
        line(1, "audit", &session("contoso.azurecr.io", "198.51.100.1")),
        line(2, "audit", &session("contoso.azurecr.io", "198.51.100.1")),
        line(
            2,
            "audit",
            &session("contoso.eastus.data.azurecr.io", "198.51.100.2"),
        ),
        line(3, "allowed", &session("login.example.com", "198.51.100.3")),
        line(3, "audit", &session("acct.blob.core.windows.net", "198.51.100.4")),
        line(
            4,
            "audit",
            "\"protocol\":\"udp\",\"process\":\"chrome\",\"reason\":\"quic-denied\",\"destination\":\"198.51.100.9:443\"",
        ),
        line(
            4,
            "audit",
            "\"protocol\":\"tcp\",\"process\":\"curl\",\"reason\":\"no-server-name\",\"destination\":\"[2001:db8::9]:8443\",\
             \"container\":{\"runtime\":\"docker\",\"id\":\"3f2a9c01d2e4aabbccdd\"}",
        ),
    ];
    let learned = learned(&lines);
    assert_eq!(
        learned.configuration,
        "\
# Written by `enforcer learn` from 7 events from 2026-11-01 01:00 to 2026-11-01 04:00 UTC.
# Read it before it is enforced: whatever was asked for is in it, also what should not have been.
mode = \"audit\"      # \"enforce\" when nothing is reported any more

# contoso.azurecr.io: 2 times by skopeo (docker.service), last 2026-11-01 02:00
# contoso.eastus.data.azurecr.io: 1 time by skopeo (docker.service), last 2026-11-01 02:00
[[registry]]
login_server = \"contoso.azurecr.io\"
data_regions = [\"eastus\"]

# login.example.com: 1 time by skopeo (docker.service), last 2026-11-01 03:00
[[allow]]
name = \"login.example.com\"

# NOT GRANTED, for it lets through what anybody can have. Take the marks away in front of what can not be avoided.

# acct.blob.core.windows.net: 1 time by skopeo (docker.service), last 2026-11-01 03:00
# Risk: anybody can have one of the Azure storage accounts under `blob.core.windows.net`: grant it only when you
#   know whose it is; for the layers of a registry enable dedicated data endpoints instead, and name its
#   `data_regions`.
# [[allow]]
# name = \"acct.blob.core.windows.net\"

# What can not be granted by name, and is not granted here:
#   198.51.100.9:443 over udp: 1 time by chrome, last 2026-11-01 04:00 [quic-denied]
#   [2001:db8::9]:8443 over tcp: 1 time by curl (docker 3f2a9c01d2e4), last 2026-11-01 04:00 [no-server-name]
# Look each of them up with `enforcer explain ADDRESS`. UDP is QUIC, and clients fall back to TCP without it.

[enforce]
ports = [443, 8443]
"
    );
    assert_eq!(
        granted(&learned.configuration).into_iter().collect::<Vec<_>>(),
        [
            "azurecr.io",
            "contoso.azurecr.io",
            "contoso.eastus.data.azurecr.io",
            "login.example.com"
        ]
    );
}

#[test]
fn the_form_of_what_was_learned() {
    let lines = [
        line(
            1,
            "audit",
            &session("contoso.eastus.data.azurecr.io", "198.51.100.1"),
        ),
        line(
            2,
            "allowed",
            &session("acct.blob.core.windows.net", "198.51.100.4"),
        ),
        line(
            2,
            "audit",
            "\"protocol\":\"udp\",\"process\":\"chrome\",\"reason\":\"quic-denied\",\"destination\":\"[2001:db8::9]:443\"",
        ),
    ];
    let learned = learn(
        &read(&lines.concat(), None),
        None,
        Some(&parsed(WILDCARD)),
        Mode::Audit,
    );
    crate::control::tests::golden_text("../learned.json", &learned);
}

#[test]
fn registries_of_private_link_get_their_prefix() {
    let learned = learned(&[line(1, "audit", &session("contoso.azurecr.io", "10.20.3.4"))]);
    let rule = &parsed(&learned.configuration).rules[0];
    assert_eq!(rule.private_link, ["10.20.3.0/24".parse().unwrap()]);
}

#[test]
fn nothing_seen_is_said_and_grants_nobody() {
    let learned = learned(&[]);
    assert_eq!(
        granted(&learned.configuration).into_iter().collect::<Vec<_>>(),
        ["192.0.2.0/32"]
    );
    assert!(learned.configuration.contains("Nothing was seen"));
    assert!(
        learned
            .configuration
            .contains("Granted connections were not told of")
    );
}

#[test]
fn what_is_missing_is_said() {
    let lines = [
        line(1, "allowed", &session("a.example.com", "198.51.100.1")),
        "{\"kind\":\"suppressed\",\"number\":2,\"time\":\"2026-11-01T02:00:00Z\",\"reason\":\"not-tls\",\"count\":70}\n".to_owned(),
        "{\"kind\":\"missed\",\"count\":8,\"why\":\"forgotten\"}\n".to_owned(),
        "{\"kind\":\"news\"}\n".to_owned(),
        "rubbish\n".to_owned(),
    ];
    let observations = read(&lines.concat(), None);
    let coverage = &observations.coverage;
    assert_eq!(
        (
            coverage.events,
            coverage.suppressed,
            coverage.missed,
            coverage.unreadable
        ),
        (1, 70, 8, 1)
    );
    let text = learn(&observations, None, None, Mode::Enforce).configuration;
    for said in [
        "70 more denials",
        "8 events were forgotten",
        "1 lines could not be read",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(parsed(&text).mode, Mode::Enforce);
}

#[test]
fn only_what_is_recent_counts() {
    let lines = [
        line(1, "audit", &session("old.example.com", "198.51.100.1")),
        line(30, "audit", &session("new.example.com", "198.51.100.1")),
    ];
    let since = "2026-11-02T00:00:00Z".parse().unwrap();
    let learned = learn(&read(&lines.concat(), Some(since)), None, None, Mode::Audit);
    assert_eq!(learned.names.len(), 1);
    assert_eq!(learned.names[0].name, "new.example.com");
}

const WILDCARD: &str = "\
[[registry]]
login_server = \"contoso.azurecr.io\"
data_regions = [\"eastus\", \"westus\"]

[[allow]]
name = \"*.blob.core.windows.net\"
accept_exfiltration_risk = \"until the data endpoints are enabled\"
";

fn migration(lines: &[String], config: &str) -> Migration {
    learn(
        &read(&lines.concat(), None),
        None,
        Some(&parsed(config)),
        Mode::Audit,
    )
    .migration
}

fn data(hour: u32) -> String {
    line(
        hour,
        "allowed",
        &session("contoso.eastus.data.azurecr.io", "198.51.100.2"),
    )
}

#[test]
fn a_wildcard_that_nobody_used_for_a_day_can_go() {
    let checked = migration(&[data(0), data(26)], WILDCARD);
    assert_eq!(checked.outcome, MigrationOutcome::CanGo);
    assert_eq!(checked.wildcards, ["`*.blob.core.windows.net` at learned.toml:5"]);
    assert_eq!(checked.unused_data_endpoints, ["contoso.westus.data.azurecr.io"]);
    assert_eq!(
        checked.to_string(),
        "\
blob storage: not used in the 1 d that were observed, since 2026-11-01 00:00 UTC
dedicated data endpoints: used
  contoso.eastus.data.azurecr.io: 2 times, last 2026-11-02 02:00 UTC, by skopeo (docker.service)
  contoso.westus.data.azurecr.io: not used; a replica may answer only when another one fails
`*.blob.core.windows.net` at learned.toml:5 can go: remove it, run in audit mode for a while, and look at `enforcer observe`"
    );
}

#[test]
fn a_wildcard_that_is_used_must_stay() {
    let blob = line(
        9,
        "allowed",
        &session("acct.blob.core.windows.net", "198.51.100.4"),
    );
    let checked = migration(&[data(0), blob, data(26)], WILDCARD);
    assert_eq!(checked.outcome, MigrationOutcome::MustStay);
    assert!(
        checked
            .to_string()
            .contains("acct.blob.core.windows.net: 1 time, last 2026-11-01 09:00 UTC")
    );
}

#[test]
fn what_is_not_enough_is_not_called_enough() {
    let short = migration(&[data(0), data(20)], WILDCARD);
    assert_eq!(short.outcome, MigrationOutcome::NotEnough);
    assert!(
        short.to_string().contains("this reaches over 20 h only"),
        "{short}"
    );
    let denied = line(
        0,
        "audit",
        &session("contoso.eastus.data.azurecr.io", "198.51.100.2"),
    );
    let later = line(
        26,
        "audit",
        &session("contoso.eastus.data.azurecr.io", "198.51.100.2"),
    );
    let blind = migration(&[denied, later], WILDCARD);
    assert_eq!(blind.outcome, MigrationOutcome::NotEnough);
    assert!(blind.doubts[0].contains("granted connections were not told of"));
    let missed = "{\"kind\":\"missed\",\"count\":8,\"why\":\"forgotten\"}\n".to_owned();
    assert_eq!(
        migration(&[data(0), data(26), missed], WILDCARD).outcome,
        MigrationOutcome::NotEnough
    );
    let idle = line(0, "allowed", &session("a.example.com", "198.51.100.2"));
    let later = line(26, "allowed", &session("a.example.com", "198.51.100.2"));
    let idle = migration(&[idle, later], WILDCARD);
    assert!(idle.doubts[0].contains("no dedicated data endpoint was asked for"));
}

#[test]
fn what_the_daemon_keeps_reaches_further_than_events() {
    let usage = |last: &str, suppressed: u64| -> Usage {
        let text = format!(
            r#"{{"version":1,"since":"2026-10-01T00:00:00Z","suppressed":{suppressed},"beyond":0,"used":[
            {{"name":"contoso.eastus.data.azurecr.io","is_asked_for":true,"first":"2026-10-01T00:00:00Z",
            "last":"2026-11-01T20:00:00Z","count":90,"last_by":"skopeo (docker.service)"}},
            {{"name":"acct.blob.core.windows.net","is_asked_for":true,"first":"2026-10-01T00:00:00Z",
            "last":"{last}","count":7,"last_by":"dockerd (docker.service)"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let check = |usage: Usage| {
        let mut observations = read(&data(0), None);
        observations.coverage.to = Some("2026-11-01T21:00:00Z".parse().unwrap());
        learn(&observations, Some(&usage), Some(&parsed(WILDCARD)), Mode::Audit)
    };
    let used = check(usage("2026-10-20T09:00:00Z", 0));
    assert_eq!(used.migration.outcome, MigrationOutcome::MustStay);
    let text = used.migration.to_string();
    let line = "acct.blob.core.windows.net: 7 times, last 2026-10-20 09:00 UTC, by dockerd (docker.service)";
    assert!(text.contains(line), "{text}");
    assert_eq!(used.names.len(), 2);
    // The one in the events is among the 90.
    assert!(used.names.iter().any(|named| named.seen.count == 90));

    let since: jiff::Timestamp = "2026-10-21T00:00:00Z".parse().unwrap();
    let recent = |suppressed| usage("2026-10-20T09:00:00Z", suppressed).since(Some(since));
    let unused = check(recent(0)).migration;
    assert_eq!(unused.outcome, MigrationOutcome::CanGo, "{unused}");
    assert!(
        unused
            .to_string()
            .starts_with("blob storage: not used in the 11 d that were observed")
    );
    let doubtful = check(recent(3)).migration;
    assert_eq!(doubtful.outcome, MigrationOutcome::NotEnough);
    assert!(
        doubtful.doubts[0].starts_with("3 granted connections were too many"),
        "{doubtful}"
    );
}

#[test]
fn without_a_wildcard_nothing_has_to_go() {
    let checked = migration(
        &[data(0)],
        "[[registry]]\nlogin_server = \"contoso.azurecr.io\"\n",
    );
    assert_eq!(checked.outcome, MigrationOutcome::NotGranted);
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "a\n[[allow]]\nname = \"evil.example.com\"",
            "a\"\nb",
            "a\r\n#",
            "a\u{7f}\u{85}\u{2028}b",
            "\u{1b}[2J",
            "'''\"\"\"",
            "a\\u{1b}.example.com",
        ])
        .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "contoso.azurecr.io", "CONTOSO.azurecr.io", "contoso.eastus.data.azurecr.io", "contoso.x1.data.azurecr.io",
            "contoso.eastus.geo.azurecr.io", "contoso.eastus.geo.azurecr.us", "ab.eastus.data.azurecr.cn",
            "n-e7ggejfuhzhgedc8.azurecr.io", "northwind-e7ggejfuhzhgedc8.eastus.data.azurecr.io", "azurecr.io", "azurecr.cn",
            "mcr.microsoft.com", "eastus.data.mcr.microsoft.com", "data.mcr.microsoft.com", "ghcr.io", "docker.io",
            "acct.blob.core.windows.net", "blob.core.windows.net", "hub.azure-devices.net", "x.y.z.azurecr.io",
            "contoso.privatelink.azurecr.io", "xn--bcher-kva.example", "a.example.com.", "192.0.2.1", "localhost",
        ]).prop_map(str::to_owned),
        1 => "[a-z0-9-]{1,12}(\\.[a-z0-9-]{1,12}){1,3}",
        1 => hostile(),
    ]
}

prop_compose! {
    fn observation()(
        verdict in prop::sample::select(vec![Verdict::Denied, Verdict::Allowed, Verdict::Audit]),
        reason in prop_oneof![
            prop::sample::select(vec![None, Some("name-not-granted"), Some("address-not-granted"), Some("not-tls")])
                .prop_map(|reason| reason.map(str::to_owned)),
            hostile().prop_map(Some),
        ],
        protocol in prop_oneof![4 => Just("tcp".to_owned()), 1 => Just("udp".to_owned()), 1 => hostile()],
        address in any::<std::net::IpAddr>(),
        port in prop_oneof![Just(443_u16), any::<u16>()],
        server_name in prop::option::of(name()),
        known_as in prop::option::of(name()),
        process in hostile(),
        unit in prop::option::of(hostile()),
        container in prop::option::of(hostile()),
    ) -> Observation {
        Observation {
            time: None,
            verdict,
            reason,
            protocol,
            destination: Some(std::net::SocketAddr::new(address, port)),
            name: known_as,
            refused: None,
            server_name,
            process,
            unit,
            container: container.map(|id| observation::Container { runtime: id.clone(), id }),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_accepted_whatever_was_observed(list in prop::collection::vec(observation(), 0..40)) {
        let observations = Observations { list, coverage: Coverage::default() };
        let learned = learn(&observations, None, None, Mode::Enforce);
        let text = &learned.configuration;
        prop_assert!(text.chars().all(|character| matches!(character, ' '..='~' | '\n')), "{}", text);
        // Nothing but what was written: rules, keys of them, comments.
        for line in text.lines() {
            let keys = ["[[allow]]", "[[registry]]", "[enforce]", "mode = ", "name = \"", "prefix = \"", "login_server = \"",
                "data_regions = [", "regional_login_servers = [", "kind = \"mcr\"", "private_link = [", "ports = ["];
            prop_assert!(line.is_empty() || line.starts_with('#') || keys.iter().any(|key| line.starts_with(key)), "{}", line);
        }
        let granted = granted(text);
        let wanted: BTreeSet<String> = learned.names.iter().map(|known| known.name.clone()).collect();
        for name in &granted {
            let is_derived = name.ends_with(".azurecr.io") || name.ends_with(".azurecr.cn") || name.ends_with(".azurecr.us")
                || name.starts_with("azurecr.") || name.ends_with("mcr.microsoft.com") || name == "192.0.2.0/32";
            prop_assert!(is_derived || wanted.contains(name), "{}\n{}", name, text);
        }
        for known in &learned.names {
            let name = crate::names::ServerName::parse(&known.name).unwrap();
            let risk = crate::config::proposal::Risk::of(&name);
            let is_left_out = risk.is_some_and(|risk| risk.is_shared || risk.is_blob_storage());
            prop_assert_eq!(granted.contains(&known.name), !is_left_out, "{}\n{}", &known.name, text);
        }
        prop_assert!(serde_json::to_string(&learned).is_ok());
    }

    #[test]
    fn any_text_can_be_read(text in any::<String>()) {
        let _ = read(&text, None);
    }
}
