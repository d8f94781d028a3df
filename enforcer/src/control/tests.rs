//! The form of the documents: a change of a golden file is a change for everybody who reads them.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::history::tests::event;
use super::model::{
    ChangeKind, ChangeLine, ConfigProblem, Container, Entry, Kept, Missed, Outcome, Owner, Problem,
    ReloadOutcome, Suppressed, Verdict, WarningKind, WhyMissed,
};
use super::usage::{Usage, Use};
use super::{VERSION, samples, status};

/// Holds `document` against `enforcer/tests/control/<name>`. `UPDATE_GOLDEN=1` writes it anew.
pub(crate) fn golden<T: Debug + DeserializeOwned + PartialEq + Serialize>(name: &str, document: &T) {
    let golden = golden_text(name, document);
    assert_eq!(&serde_json::from_str::<T>(&golden).unwrap(), document);
}

/// As [`golden`], for what is written only.
pub(crate) fn golden_text<T: Serialize>(name: &str, document: &T) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/control")
        .join(name);
    let text = serde_json::to_string_pretty(document).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, golden,
        "the form of {name} has changed; UPDATE_GOLDEN=1 writes it anew"
    );
    golden
}

#[test]
fn the_form_of_a_status() {
    let now = samples::now();
    let kept = Kept {
        entries: 40,
        forgotten: 2,
        granted_entries: 120,
        granted_forgotten: 0,
    };
    let mut status = status::of(&samples::view(now), kept, Duration::from_secs(3), now);
    assert_eq!(status.daemon.enforcer.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    status.daemon.enforcer = Some("0.1.0".into());
    golden("status.json", &status);
}

#[test]
fn the_form_of_the_history() {
    let mut full = event("198.51.100.30:443");
    full.number = 7;
    full.verdict = Verdict::Audit;
    full.reason = Some("name-not-granted".into());
    full.hook = "egress".into();
    full.source = Some("10.0.0.2:40112".parse().unwrap());
    full.name = Some("contoso.azurecr.io".into());
    full.server_name = Some("evil.azurecr.io".into());
    full.rule = Some(3);
    full.rule_at = Some("/etc/enforcer/enforcer.toml:12".into());
    full.owner = Owner {
        cgroup: Some("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-0.scope".into()),
        unit: Some("user@1000.service".into()),
        user_unit: Some("libpod-0.scope".into()),
        container: Some(Container {
            runtime: "podman".into(),
            id: "0".into(),
        }),
        pod: Some("6d7c7c10-5c1e-4a57-8fd1-2f5e0c6f9a11".into()),
    };
    let mut bare = event("[2001:db8::1]:443");
    bare.destination = None;
    bare.pid = None;
    bare.process = String::new();
    bare.reason = None;
    bare.explanation = None;
    bare.verdict = Verdict::Allowed;
    let missed = |why| Entry::Missed(Missed { count: 12, why });
    let entries = vec![
        Entry::Event(Box::new(full)),
        Entry::Event(Box::new(bare)),
        Entry::Suppressed(Suppressed {
            number: 8,
            time: "2026-01-31T12:00:05.000Z".into(),
            reason: "address-not-granted".into(),
            granted: false,
            count: 120,
        }),
        Entry::Suppressed(Suppressed {
            number: 9,
            time: "2026-01-31T12:00:05.000Z".into(),
            reason: "granted".into(),
            granted: true,
            count: 4000,
        }),
        missed(WhyMissed::SlowReader),
        missed(WhyMissed::Forgotten),
    ];
    golden("events.json", &entries);
}

#[test]
fn the_form_of_the_usage() {
    let usage = Usage::new("2026-01-31T12:00:00.000Z".into(), 0);
    let names = [
        Some(("contoso.eastus.data.azurecr.io", true)),
        Some(("updates.example.com", false)),
        None,
    ];
    for name in names {
        usage.note(Use {
            name,
            rule_at: Some("/etc/enforcer/enforcer.toml:3"),
            time: "2026-01-31T13:00:00.000Z",
            by: "skopeo (docker 4f1c9dd3a0b8)",
        });
    }
    usage.note_suppressed(7);
    golden("usage.json", &usage.report());
}

#[test]
fn the_form_of_a_reload() {
    let line = |kind, what: &str, whose: &str| ChangeLine {
        kind,
        what: what.into(),
        whose: whose.into(),
    };
    let applied = ReloadOutcome {
        version: VERSION,
        outcome: Outcome::Applied,
        generation: 13,
        causes: Vec::new(),
        problems: Vec::new(),
        changes: vec![
            line(ChangeKind::Setting, "mode", "audit -> enforce"),
            line(
                ChangeKind::RuleAdded,
                "allow a.example.com",
                "/etc/enforcer/enforcer.toml:9",
            ),
            line(
                ChangeKind::RuleRemoved,
                "allow b.example.com",
                "/etc/enforcer/enforcer.toml:9",
            ),
            line(ChangeKind::Added, "198.51.100.7", "rule 2"),
            line(ChangeKind::Removed, "198.51.100.8", "rule 2"),
            line(ChangeKind::Moved, "198.51.100.9", "rule 1 -> rule 2"),
            line(
                ChangeKind::NameAdded,
                "a.example.com",
                "a server name of the policy",
            ),
            line(
                ChangeKind::NameRemoved,
                "b.example.com",
                "a server name of the policy",
            ),
        ],
        omitted: 0,
    };
    let refused = ReloadOutcome {
        version: VERSION,
        outcome: Outcome::Refused,
        generation: 12,
        causes: vec!["the configuration has errors".into()],
        problems: vec![ConfigProblem {
            file: "/etc/enforcer/enforcer.toml".into(),
            line: 3,
            column: 1,
            severity: "error".into(),
            message: "unknown key `logn_server` in `[[registry]]`".into(),
            hint: Some("did you mean `login_server`?".into()),
        }],
        changes: Vec::new(),
        omitted: 0,
    };
    golden("reload.json", &vec![applied, refused]);
}

#[test]
fn the_form_of_an_error() {
    let problem = Problem {
        version: VERSION,
        code: "forbidden".into(),
        message: "the user with the id 1000 may not ask this enforcer".into(),
        hint: Some("run it as root".into()),
    };
    golden("problem.json", &problem);
}

#[test]
fn warnings_say_what_matters_and_the_worst_first() {
    let now = samples::now();
    let mut view = samples::view(now);
    let kinds = |view: &super::view::View, last_sign: u64| -> Vec<WarningKind> {
        let status = status::of(view, Kept::default(), Duration::from_secs(last_sign), now);
        status.warnings.iter().map(|warning| warning.kind).collect()
    };
    assert_eq!(
        kinds(&view, 3),
        [
            WarningKind::Tampered,
            WarningKind::ReloadRefused,
            WarningKind::Unconfirmed,
            WarningKind::UdpAllowed,
            WarningKind::RiskAccepted,
            WarningKind::Unresolved,
            WarningKind::Stale,
            WarningKind::Caution,
        ]
    );
    assert!(kinds(&view, 20).contains(&WarningKind::RunLoopSilent));
    view.group = Some(Err("the group `adm` is not in /etc/group".into()));
    view.findings.holds = true;
    view.findings.is_deaf = true;
    for kind in [WarningKind::Control, WarningKind::Held, WarningKind::EventsLost] {
        assert!(kinds(&view, 3).contains(&kind), "{kind:?}");
    }
}

#[test]
fn what_is_not_enforced_says_why() {
    use super::model::State;
    use crate::kernel::Damage;
    let now = samples::now();
    let state = |change: &dyn Fn(&mut super::view::Findings)| {
        let mut view = samples::view(now);
        change(&mut view.findings);
        let status = status::of(&view, Kept::default(), Duration::ZERO, now);
        (status.state, status.why.unwrap_or_default())
    };
    assert_eq!(state(&|_| {}), (State::Enforcing, String::new()));
    let (gone, why) = state(&|findings| findings.is_gone = true);
    assert_eq!(gone, State::NotEnforcing);
    assert!(why.contains("/sys/fs/cgroup was removed"), "{why}");
    let (detached, why) = state(&|findings| findings.damages.push(Damage::Detached("egress")));
    assert_eq!(detached, State::NotEnforcing);
    assert_eq!(why, "the hook `egress` was detached and judges nothing");
    assert_eq!(
        state(&|findings| findings.has_reverted = true).0,
        State::NotEnforcing
    );
    assert_eq!(
        state(&|findings| findings.wrong = Some("it passes".into())).1,
        "it passes"
    );
}
