//! The live view, without a terminal and without a daemon.

mod frames;
mod states;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Model, News};
use crate::control::history::Moment;
use crate::control::model::{Entry, Missed, Status, Suppressed, WhyMissed};

const STATUS: &str = include_str!("../../../tests/control/status.json");

/// `seconds` after the noon at which everything begins.
fn at(seconds: u64) -> Moment {
    let noon: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    Moment {
        monotonic: Duration::from_secs(1000 + seconds),
        wall: noon + Duration::from_secs(seconds),
    }
}

fn time(seconds: u64) -> String {
    at(seconds).text()
}

fn status() -> Status {
    let mut status: Status = serde_json::from_str(STATUS).unwrap();
    let denials = json!({ "total": 1234, "suppressed": 17, "by_reason": [{
        "reason": "address-not-granted",
        "explanation": "no rule of the policy grants this address",
        "hint": "`enforcer explain` shows what would grant it",
        "denied": 1234,
        "suppressed": 17,
    }] });
    status.denials = Some(serde_json::from_value(denials).unwrap());
    status
}

/// A denial with what `changes` says, and usual things else.
fn event(seconds: u64, changes: Value) -> Entry {
    let mut event = json!({
        "kind": "event", "number": seconds, "time": time(seconds), "verdict": "denied",
        "reason": "address-not-granted", "explanation": "no rule of the policy grants this address",
        "hook": "connect", "protocol": "tcp", "destination": "203.0.113.99:443", "pid": 812, "process": "curl",
        "cgroup_id": 7, "cgroup": "/system.slice/cron.service", "unit": "cron.service",
    });
    let fields = event.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        fields.insert(key.clone(), value.clone());
    }
    serde_json::from_value(event).unwrap()
}

/// A little of everything, at `at(60)`.
fn model() -> Model {
    let mut model = Model::new("host");
    model.hear(at(58), News::Status(Box::new(status())));
    let container = json!({ "runtime": "docker", "id": "4f1c9dd3a0b8e7f65544332211009988" });
    let entries = [
        event(5, json!({})),
        event(6, json!({})),
        event(
            7,
            json!({ "process": "skopeo", "pid": 901, "server_name": "fabrikam.azurecr.io",
                    "destination": "198.51.100.10:443", "reason": "name-not-granted",
                    "unit": "docker-4f1c.scope", "container": container }),
        ),
        Entry::Suppressed(Suppressed {
            number: 8,
            time: time(20),
            reason: "address-not-granted".into(),
            granted: false,
            count: 17,
        }),
        event(
            40,
            json!({ "verdict": "audit", "process": "\u{1b}[2Jevil\u{202e}", "name": "contoso.azurecr.io",
                    "destination": "[2001:db8::7]:443", "unit": null, "cgroup": "/a\nb" }),
        ),
        event(
            50,
            json!({ "verdict": "allowed", "process": "dockerd", "name": "contoso.azurecr.io", "reason": null,
                    "explanation": null, "destination": "198.51.100.10:443" }),
        ),
        Entry::Missed(Missed {
            count: 3,
            why: WhyMissed::SlowReader,
        }),
        event(55, json!({ "pid": 815 })),
    ];
    for entry in entries {
        model.hear(at(56), News::Entry(entry));
    }
    let mut later = status();
    later.denials.as_mut().unwrap().total = 1239;
    model.hear(at(60), News::Status(Box::new(later)));
    model
}
