//! The selected row in full: labels and what they are for.

use std::time::Duration;

use super::super::model::{Model, Pane};
use super::super::rows::{loss, state};
use super::super::seen::{Judged, Seen};
use super::super::text::{counted, shown};
use crate::control::history::Moment;
use crate::control::model::{Family, Freshness, Name};
use crate::elapsed::Elapsed;
use crate::names::ServerName;
use crate::state::Instance;

/// The label of a command to copy.
pub(super) const COMMAND: &str = "$";

type Details = Vec<(&'static str, String)>;

/// Of the row that is selected, or of the first one.
pub(super) fn of(model: &Model, now: Moment) -> Details {
    let pane = model.view.pane;
    let ids = model.ids(pane, now);
    let row = model.view.place(pane).row(&ids).unwrap_or(0);
    let found = match pane {
        Pane::Denials => model.denials(now).get(row).map(|group| {
            let mut details = vec![(model.view.grouping.as_str(), group.key.clone())];
            let minute = group
                .minute
                .map(|minute| format!(", {minute} in the last minute"));
            let ago = group
                .ago_s
                .map(|ago| format!(", the newest {} ago", elapsed(ago)));
            details.push((
                "denied",
                format!(
                    "{}{}{}",
                    counted(group.denied, "time"),
                    minute.unwrap_or_default(),
                    ago.unwrap_or_default()
                ),
            ));
            match &group.latest {
                Some(latest) => {
                    details.push(("", String::new()));
                    details.push(("the newest", latest.time.to_string()));
                    details.extend(judged(model, now, latest));
                }
                None => details.push(("", group.note.clone())),
            }
            details
        }),
        Pane::Names => model.names(now).get(row).map(|row| name(row.known)),
        Pane::Events => model.events(now).get(row).map(|row| match row.seen {
            Seen::Judged(event) => {
                let mut details = vec![("time", event.time.to_string())];
                details.extend(judged(model, now, event));
                details
            }
            lost => vec![("", loss(lost).unwrap_or_default())],
        }),
    };
    found.unwrap_or_else(|| vec![("", "there is nothing to choose".to_owned())])
}

fn elapsed(seconds: u64) -> Elapsed {
    Elapsed(Duration::from_secs(seconds))
}

fn judged(model: &Model, now: Moment, event: &Judged) -> Details {
    let mut details = vec![("verdict", event.verdict.as_str().to_owned())];
    if event.reason != "-" {
        details.push(("reason", event.reason.clone()));
        details.push(("", event.explanation.clone()));
    }
    details.push(("process", event.process_and_pid()));
    if let Some(name) = &event.name {
        let label = if event.is_asked_for { "asked for" } else { "name" };
        details.push((label, name.clone()));
    }
    details.extend(event.refused.as_ref().map(|why| ("refused", why.clone())));
    if let Some(destination) = &event.destination {
        details.push(("to", format!("{destination} {}", event.protocol)));
    }
    details.push(("judged at", event.hook.clone()));
    details.push(("unit", event.unit.clone()));
    details.extend(
        event
            .container
            .as_ref()
            .map(|container| ("container", container.clone())),
    );
    details.extend(event.cgroup.as_ref().map(|cgroup| ("cgroup", cgroup.clone())));
    details.push(("", String::new()));
    let (data, _) = model.picture(now);
    let denials = data
        .status
        .as_ref()
        .and_then(|(_, status)| status.denials.as_ref());
    let known = denials.and_then(|denials| {
        let mut reasons = denials.by_reason.iter();
        reasons.find(|counted| counted.reason == event.reason)
    });
    details.extend(known.map(|counted| ("hint", shown(&counted.hint))));
    if let Some(command) = explain(event, model.instance()) {
        details.push((COMMAND, command));
    }
    details
}

/// The command that says why, and what would grant it. Only what is surely a name gets into a line that somebody copies.
fn explain(event: &Judged, instance: &str) -> Option<String> {
    let name = event
        .name
        .as_deref()
        .filter(|name| ServerName::parse(name).is_ok());
    let mut command = match (&event.destination, name) {
        (Some(to), Some(name)) if event.is_asked_for => {
            format!("enforcer explain {to} --server-name {name}")
        }
        (_, Some(name)) => format!("enforcer explain {name}"),
        (Some(to), None) => format!("enforcer explain {to}"),
        (None, None) => return None,
    };
    if instance != Instance::default().to_string() {
        command.push_str(&format!(" --instance {instance}"));
    }
    Some(command)
}

fn name(name: &Name) -> Details {
    let mut details = vec![
        ("name", shown(&name.name)),
        ("state", state(name.state).to_owned()),
        (
            "addresses",
            format!(
                "{} granted, {} of them left the answers a moment ago; {} refused",
                name.addresses, name.retired, name.refused
            ),
        ),
    ];
    if let Some(left) = name.expires_s {
        let words = match left {
            0 => "the TTL of an address has run out; it is kept until there is a newer answer".to_owned(),
            left => format!("in {}", elapsed(left)),
        };
        details.push(("expires", words));
    }
    details.push(("IPv4", family(&name.a)));
    details.push(("IPv6", family(&name.aaaa)));
    details.push(("", String::new()));
    if ServerName::parse(&name.name).is_ok() {
        details.push((COMMAND, format!("enforcer explain {}", name.name)));
    }
    details
}

fn family(family: &Family) -> String {
    let mut words = match family.state {
        Freshness::Empty => "no addresses".to_owned(),
        other => state(other).to_owned(),
    };
    if let Some(age) = family.age_s {
        let at_least = if family.age_is_at_least { "at least " } else { "" };
        words.push_str(&format!(", answered {at_least}{} ago", elapsed(age)));
    }
    if let Some(error) = &family.error {
        words.push_str(&format!("; {}", shown(error)));
    }
    words
}
