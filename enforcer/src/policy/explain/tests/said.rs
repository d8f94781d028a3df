//! What is said of a target, and in which form.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::{POLICY, World, address_of, answer_of};
use crate::resolve::{FamilyState, KnownAddress, RefusedAddress, Standing};

#[test]
fn what_passes_says_by_which_rule() {
    let world = World::new(POLICY);
    let explained = world.tcp("a.example.com");
    assert_eq!(explained.verdict, Verdict::Passes, "{explained}");
    let address = &explained.addresses[0];
    let rule = address
        .granted_by
        .iter()
        .find(|rule| rule.by == "a.example.com")
        .unwrap();
    assert_eq!((rule.rule, rule.place.as_deref()), (Some(2), Some("test.toml:5")));
    assert_eq!(explained.names[0].granted_by[0].title, "allow a.example.com");
    assert!(explained.suggestions.is_empty());
    let known = address
        .known_as
        .iter()
        .find(|known| known.name == "a.example.com")
        .unwrap();
    assert_eq!(known.standing, "has it in its answer, ttl 1 min");
}

#[test]
fn an_address_alone_passes_under_its_names() {
    let world = World::new(POLICY);
    let address = address_of("a.example.com");
    let alone = world.tcp(&address);
    assert_eq!(alone.verdict, Verdict::PassesUnderNames);
    let names = alone.addresses[0].server_names.as_ref().unwrap();
    assert!(
        names.policy && names.names.contains(&"contoso.westus.data.azurecr.io".to_owned()),
        "{names}"
    );
    let reason = |name| {
        let explained = world.explain(&address, Some(name), Protocol::Tcp);
        explained.reason.map(|reason| reason.name)
    };
    assert_eq!(reason("a.example.com"), None);
    assert_eq!(reason("A.EXAMPLE.com"), None);
    assert_eq!(reason("evil.example.com").as_deref(), Some("name-not-granted"));
    assert_eq!(reason("").as_deref(), Some("no-server-name"));
    assert_eq!(reason("a.example.com.").as_deref(), Some("name-trailing-dot"));
    assert_eq!(reason("198.51.100.1").as_deref(), Some("name-is-address"));
    assert_eq!(reason("a\u{0}b").as_deref(), Some("name-with-nul"));
}

#[test]
fn a_prefix_asks_for_its_own_names_or_for_none() {
    let world = World::new(POLICY);
    assert_eq!(world.tcp("192.0.2.7").verdict, Verdict::Passes);
    let asking = |name| world.explain("203.0.113.5", Some(name), Protocol::Tcp).verdict;
    assert_eq!(asking("eastus.data.mcr.microsoft.com"), Verdict::Passes);
    assert_eq!(asking("a.example.com"), Verdict::Denied);
}

#[test]
fn what_is_not_judged_is_said() {
    let world = World::new(POLICY);
    let other_port = world.tcp("a.example.com:8443");
    assert_eq!(other_port.verdict, Verdict::NotJudged);
    assert_eq!(
        other_port.summary,
        "port 8443 is not filtered: enforcer looks at 443 only"
    );
    assert_eq!(world.tcp("stranger.example:22").verdict, Verdict::NotJudged);
    for loopback in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
        assert_eq!(world.tcp(loopback).verdict, Verdict::NotJudged, "{loopback}");
    }
}

#[test]
fn a_data_endpoint_of_another_region_extends_its_registry() {
    let mut world = World::new(POLICY);
    // Wherever it is, it may be at the prefix that asks for no name.
    assert_eq!(
        world.tcp("contoso.eastus.data.azurecr.io").verdict,
        Verdict::Unknown
    );
    world.look_up(&["contoso.eastus.data.azurecr.io"]);
    let explained = world.tcp("contoso.eastus.data.azurecr.io");
    assert_eq!(explained.verdict, Verdict::Denied);
    let suggestion = &explained.suggestions[0];
    assert_eq!(suggestion.changes[0].at, "the rule at test.toml:1");
    assert_eq!(
        suggestion.changes[0].line,
        "data_regions = [\"eastus\", \"westus\"]"
    );
    assert_eq!(
        suggestion.append,
        ["[[allow]]", "name = \"contoso.eastus.data.azurecr.io\""]
    );
}

#[test]
fn another_tenant_at_a_granted_address_is_denied_for_its_name() {
    let mut world = World::new(POLICY);
    let address: IpAddr = address_of("a.example.com").parse().unwrap();
    let mut tenant = answer_of(&ServerName::parse("a.example.com").unwrap(), world.now);
    tenant.name = ServerName::parse("tenant.azurecr.io").unwrap();
    world.looked_up.names = vec![tenant].into();
    let explained = world.tcp("tenant.azurecr.io");
    assert_eq!(explained.verdict, Verdict::Denied);
    assert_eq!(explained.reason.unwrap().name, "name-not-granted");
    assert_eq!(explained.addresses[0].address, address);
    assert_eq!(
        explained.suggestions[0].append[1],
        "login_server = \"tenant.azurecr.io\""
    );
}

#[test]
fn risky_names_come_with_the_key_and_the_reason() {
    let world = World::new(POLICY);
    let explained = world.tcp("ghcr.io");
    let suggestion = &explained.suggestions[0];
    assert!(suggestion.append[2].starts_with("accept_exfiltration_risk"));
    assert!(suggestion.risks[0].contains("attacker"), "{explained}");
    let explained = world.tcp("contoso.blob.core.windows.net");
    assert!(
        explained.suggestions[0].risks[0].contains("dedicated data endpoints"),
        "{explained}"
    );
}

#[test]
fn private_answers_lead_to_private_link() {
    let text = "[[allow]]\nname = \"a.example.com\"\n";
    let mut world = World::new(text);
    let mut known = answer_of(&ServerName::parse("a.example.com").unwrap(), world.now);
    known.addresses = Arc::default();
    known.refused = vec![RefusedAddress {
        address: "10.20.0.4".parse().unwrap(),
        why: "private (RFC 1918)",
    }];
    world.answers.names = vec![known].into();
    for target in ["a.example.com", "10.20.0.4"] {
        let explained = world.tcp(target);
        assert_eq!(explained.verdict, Verdict::Denied, "{explained}");
        let change = &explained.suggestions[0].changes[0];
        assert_eq!(change.line, "private_link = [\"10.20.0.0/24\"]", "{target}");
        assert_eq!(change.at, "the rule at test.toml:1");
    }
}

#[test]
fn an_address_that_is_remembered_says_whose_it_was() {
    let mut world = World::new(POLICY);
    let address: IpAddr = "198.51.100.77".parse().unwrap();
    world.remembered = vec![(address, ServerName::parse("gone.example.com").unwrap(), None)];
    let explained = world.tcp("198.51.100.77");
    assert_eq!(explained.addresses[0].known_as[0].name, "gone.example.com");
    assert!(
        explained.addresses[0].known_as[0]
            .standing
            .contains("no rule grants that name any more")
    );
    assert_eq!(
        explained.suggestions[0].append,
        [
            "[[allow]]",
            "name = \"gone.example.com\"",
            "prefix = \"198.51.100.77/32\""
        ]
    );
    world.remembered[0].1 = ServerName::parse("a.example.com").unwrap();
    let explained = world.tcp("198.51.100.77");
    assert!(
        explained.addresses[0].known_as[0]
            .standing
            .contains("grace period is over")
    );
}

#[test]
fn udp_is_denied_as_such_and_then_by_its_address() {
    let denied = World::new(POLICY).explain("192.0.2.7", None, Protocol::Udp);
    assert_eq!(denied.reason.as_ref().unwrap().name, "quic-denied");
    assert_eq!(denied.suggestions[0].changes[0].line, "quic = \"allow\"");
    assert!(denied.suggestions[0].append.is_empty(), "{denied}");
    let world = World::new(&format!("{POLICY}\n[enforce]\nquic = \"allow\"\n"));
    assert_eq!(
        world.explain("192.0.2.7", None, Protocol::Udp).verdict,
        Verdict::Passes
    );
    assert_eq!(
        world.explain("a.example.com", None, Protocol::Udp).verdict,
        Verdict::Passes
    );
    assert_eq!(
        world.explain("198.51.99.1", None, Protocol::Udp).verdict,
        Verdict::Denied
    );
}

#[test]
fn audit_mode_and_server_names_off_are_said() {
    let audit = World::new(&format!("mode = \"audit\"\n{POLICY}")).tcp("198.51.99.1");
    assert_eq!(audit.verdict, Verdict::Denied);
    assert!(audit.notes[0].contains("audit"), "{audit}");
    assert!(
        audit
            .to_string()
            .starts_with("198.51.99.1 port 443 over tcp: would be denied")
    );
    let off = World::new(&format!("{POLICY}\n[enforce]\nserver_name = \"off\"\n"));
    let explained = off.explain("a.example.com", Some("evil.example.com"), Protocol::Tcp);
    assert_eq!(explained.verdict, Verdict::Passes);
    assert!(explained.notes[0].contains("not looked at"), "{explained}");
}

#[test]
fn stale_answers_are_shown_with_their_age() {
    let mut world = World::new("[[allow]]\nname = \"a.example.com\"\n");
    let mut known = answer_of(&ServerName::parse("a.example.com").unwrap(), world.now);
    known.v4 = FamilyState::Stale {
        answered: world.now.into(),
        error: "SERVFAIL".into(),
    };
    world.answers.names = vec![known].into();
    world.now += Duration::from_secs(7200);
    let explained = world.tcp("a.example.com");
    assert_eq!(explained.verdict, Verdict::Passes);
    assert!(
        explained
            .to_string()
            .contains("IPv4: stale, last answered 2 h ago: SERVFAIL"),
        "{explained}"
    );
}

#[test]
fn hostile_server_names_stay_within_their_line() {
    let explained = World::new(POLICY).explain("192.0.2.7", Some("a\u{1b}[2J\nb"), Protocol::Tcp);
    assert!(!explained.to_string().contains('\u{1b}'));
    assert!(explained.to_string().lines().next().unwrap().contains("\\n"));
}

#[test]
fn the_form_of_an_explanation() {
    let mut world = World::new(&format!("mode = \"audit\"\n{POLICY}"));
    world.look_up(&["contoso.eastus.data.azurecr.io"]);
    let mut known = answer_of(&ServerName::parse("a.example.com").unwrap(), world.now);
    known.chain = vec![crate::resolve::DnsName::new("front.example.net")];
    let first = KnownAddress {
        standing: Standing::Retired {
            until: world.now + Duration::from_secs(300),
        },
        ..known.addresses[0]
    };
    known.addresses = std::iter::once(first)
        .chain(known.addresses[1..].iter().cloned())
        .collect();
    known.refused = vec![RefusedAddress {
        address: "10.20.0.4".parse().unwrap(),
        why: "private (RFC 1918)",
    }];
    known.v4 = FamilyState::Stale {
        answered: crate::resolve::LastAnswer::restored(
            crate::resolve::Age::at_least(Duration::from_secs(7200)),
            world.now,
        ),
        error: "SERVFAIL".into(),
    };
    let known = Arc::new(known);
    let replaced = |held: &Arc<NameSnapshot>| {
        let is_meant = held.name == known.name;
        Arc::clone(if is_meant { &known } else { held })
    };
    world.answers.names = world.answers.names.iter().map(replaced).collect();
    let documents = [
        world.tcp("a.example.com"),
        world.tcp("contoso.eastus.data.azurecr.io"),
        world.explain("203.0.113.9", Some("ghcr.io"), Protocol::Tcp),
        world.explain("192.0.2.1:8443", None, Protocol::Udp),
    ];
    crate::control::tests::golden("explanation.json", &documents.to_vec());
}

#[test]
fn addresses_of_which_the_same_is_to_be_said_stand_together() {
    let mut world = World::new("[[allow]]\nname = \"a.example.com\"\n");
    let mut known = answer_of(&ServerName::parse("a.example.com").unwrap(), world.now);
    let more = ["198.51.100.7", "2001:db8::7"].map(|address| KnownAddress {
        address: address.parse().unwrap(),
        ..known.addresses[0]
    });
    known.addresses = known.addresses.iter().cloned().chain(more).collect();
    world.answers.names = vec![known].into();
    let shown = world.tcp("a.example.com").to_string();
    assert!(shown.contains(", 198.51.100.7, 2001:db8::7: passes\n"), "{shown}");
    assert_eq!(shown.matches("+ address").count(), 1, "{shown}");
}
