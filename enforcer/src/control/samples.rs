//! A view with a little of everything, for tests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::history::tests::at;
use super::model::Hook;
use super::status::Now;
use super::view::{Findings, Metered, Refusal, View};
use crate::daemon::policy::Policy;
use crate::kernel::{Counters, Damage, pins};
use crate::names::ServerName;
use crate::resolve::health::Standing as Upstream;
use crate::resolve::{
    Age, FamilyState, KnownAddress, LastAnswer, LastGood, NameSnapshot, RefusedAddress, Snapshot, Standing,
};

const POLICY: &str = r#"
[[registry]]
login_server = "contoso.azurecr.io"
data_regions = ["eastus"]
[[allow]]
name = "*.blob.core.windows.net"
prefix = "198.51.100.0/24"
accept_exfiltration_risk = "the build needs it"
[[allow]]
name = "*.example.com"
[enforce]
quic = "allow"
[resolver]
servers = ["192.0.2.53", "tls://192.0.2.54#dns.example.com"]
[control]
group = "adm"
"#;

/// The clocks of the samples.
pub(super) fn now() -> Now {
    Now {
        moment: at(600),
        // Ages reach back from here.
        instant: Instant::now() + Duration::from_secs(100_000),
        boot: Duration::from_secs(2000),
    }
}

/// A daemon that enforces, with names of every kind.
pub(super) fn view(now: Now) -> View {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), POLICY).unwrap();
    let policy = Policy::load_recorded(file.path()).1.unwrap().0;
    View {
        instance: "host".into(),
        pid: 812,
        started: at(0),
        file: "/etc/enforcer/enforcer.toml".into(),
        policy: Arc::new(policy),
        answers: Arc::new(answers(now.instant)),
        generation: 12,
        applied: Some(at(420)),
        spans: 17,
        cgroup: "/sys/fs/cgroup".into(),
        attached: Some(at(10)),
        hooks: pins::hook_names()
            .map(|name| Hook {
                name: name.to_owned(),
                attached: true,
                pinned: name != "sendmsg6",
            })
            .to_vec(),
        findings: Findings {
            damages: vec![Damage::Pin("sendmsg6")],
            revert: Some(Duration::from_secs(2300)),
            ..Findings::default()
        },
        upstreams: vec![
            Upstream {
                label: "192.0.2.53:53".into(),
                aside: None,
            },
            Upstream {
                label: "tls://192.0.2.54:853#dns.example.com".into(),
                aside: Some(Duration::from_secs(40)),
            },
        ],
        counters: Counters::default(),
        group: Some(Ok(4)),
        refused: Some(Refusal {
            moment: at(540),
            why: "/etc/enforcer/enforcer.toml:3:1: error: unknown key `logn_server` in `[[registry]]`".into(),
        }),
        metered: Metered::default(),
    }
}

fn answers(now: Instant) -> Snapshot {
    let ago = |seconds| now - Duration::from_secs(seconds);
    let good = |seconds| LastGood {
        answered: Some(ago(seconds).into()),
        ..LastGood::default()
    };
    let restored = LastAnswer::restored(Age::at_least(Duration::from_secs(7200)), ago(60));
    let name = |text: &str, addresses: &[&str], v4, v6, good_v4, good_v6| NameSnapshot {
        name: ServerName::parse(text).unwrap(),
        chain: Vec::new(),
        addresses: addresses.iter().map(|address| known(address, now)).collect(),
        refused: Vec::new(),
        v4,
        v6,
        good_v4,
        good_v6,
    };
    let failed = || FamilyState::Failed {
        error: "192.0.2.53:53: the name does not exist".into(),
    };
    let mut internal = name(
        "internal.example.com",
        &[],
        failed(),
        failed(),
        LastGood::default(),
        LastGood::default(),
    );
    internal.refused.push(RefusedAddress {
        address: "127.0.0.9".parse().unwrap(),
        why: "loopback",
    });
    let names = vec![
        name(
            "contoso.azurecr.io",
            &["198.51.100.10", "2001:db8::10"],
            FamilyState::Fresh,
            FamilyState::Fresh,
            good(30),
            good(90),
        ),
        name(
            "contoso.eastus.data.azurecr.io",
            &["198.51.100.20", "198.51.100.21"],
            FamilyState::Stale {
                answered: ago(5400).into(),
                error: "192.0.2.53:53: SERVFAIL".into(),
            },
            FamilyState::Restored { answered: restored },
            LastGood::default(),
            LastGood::default(),
        ),
        name(
            "ipv4.example.com",
            &["198.51.100.30"],
            FamilyState::Fresh,
            FamilyState::Empty,
            good(1),
            LastGood::default(),
        ),
        internal,
        name(
            "new.example.com",
            &[],
            FamilyState::Unasked,
            FamilyState::Unasked,
            LastGood::default(),
            LastGood::default(),
        ),
    ];
    Snapshot { names: names.into() }
}

fn known(address: &str, now: Instant) -> KnownAddress {
    let address: IpAddr = address.parse().unwrap();
    let is_retired = address.to_string().ends_with("21");
    KnownAddress {
        address,
        expires: now + Duration::from_secs(20),
        standing: if is_retired {
            Standing::Retired { until: now }
        } else {
            Standing::Current
        },
    }
}
