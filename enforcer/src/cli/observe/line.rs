//! An entry of the history as a line for people, in columns that grow with what they hold.

use anstyle::{AnsiColor, Style};

use crate::control::model::{Entry, Event, Owner, Suppressed, Verdict, WhyMissed};

const DENIED: Style = AnsiColor::Red.on_default();
const ALLOWED: Style = AnsiColor::Green.on_default();
const AUDIT: Style = AnsiColor::Yellow.on_default();
const LOST: Style = AnsiColor::Magenta.on_default();
const FAINT: Style = Style::new().dimmed();

/// How many digits of a container's id are enough to find it.
const ID_SHOWN: usize = 12;
/// No column grows beyond this; what is longer moves the rest of its line.
const WIDTH_MAX: usize = 48;

/// The widths of the columns so far: process, destination, name, reason.
#[derive(Debug)]
pub(super) struct Columns([usize; 4]);

impl Default for Columns {
    fn default() -> Self {
        // What is usual, so that the first lines stand well.
        Self([16, 24, 28, 19])
    }
}

impl Columns {
    /// The line, without its end.
    pub(super) fn line(&mut self, entry: &Entry) -> String {
        match entry {
            Entry::Event(event) => self.event(event),
            Entry::Suppressed(Suppressed {
                time,
                count,
                granted: true,
                ..
            }) => {
                let plural = if *count == 1 { "connection" } else { "connections" };
                format!(
                    "{FAINT}{time}{FAINT:#}  {LOST}{count} more granted {plural} without an event of their own{LOST:#}: more \
                     than the kernel tells of"
                )
            }
            Entry::Suppressed(Suppressed {
                time, reason, count, ..
            }) => {
                let plural = if *count == 1 { "denial" } else { "denials" };
                format!(
                    "{FAINT}{time}{FAINT:#}  {LOST}{count} more {plural} without an event of their own{LOST:#}: {reason}, \
                     more than the kernel tells of"
                )
            }
            Entry::Missed(missed) => match missed.why {
                WhyMissed::SlowReader => format!(
                    "{LOST}{} lines are missing{LOST:#}: this command did not read them in time",
                    missed.count
                ),
                WhyMissed::Forgotten => format!(
                    "{LOST}the daemon does not remember that far back{LOST:#}: up to {} older events are gone",
                    missed.count
                ),
            },
        }
    }

    fn event(&mut self, event: &Event) -> String {
        let (style, verdict) = match event.verdict {
            Verdict::Denied => (DENIED, "denied "),
            Verdict::Allowed => (ALLOWED, "allowed"),
            Verdict::Audit => (AUDIT, "audit  "),
        };
        let cells = [process(event), destination(event), name(event), why(event)];
        let mut line = format!("{FAINT}{}{FAINT:#}  {style}{verdict}{style:#}", event.time);
        for (cell, width) in cells.iter().zip(&mut self.0) {
            *width = (*width).max(cell.chars().count()).min(WIDTH_MAX);
            line += &format!("  {cell:width$}", width = *width);
        }
        line + "  " + &owner(&event.owner)
    }
}

fn process(event: &Event) -> String {
    // One that consists of spaces names nobody either.
    match (event.process.trim(), event.pid) {
        ("", None) => "unknown".to_owned(),
        ("", Some(pid)) => format!("pid {pid}"),
        (process, None) => process.to_owned(),
        (process, Some(pid)) => format!("{process} ({pid})"),
    }
}

fn destination(event: &Event) -> String {
    match event.destination {
        Some(destination) => format!("{destination} {}", event.protocol),
        None => event.protocol.clone(),
    }
}

/// What was asked for, otherwise what the address is known as.
fn name(event: &Event) -> String {
    match (&event.server_name, &event.name, &event.refused) {
        (Some(asked), ..) => format!("asks for {asked}"),
        (None, Some(name), Some(why)) => format!("{name}, refused: {why}"),
        (None, Some(name), None) => name.clone(),
        (None, None, _) => "-".to_owned(),
    }
}

/// The reason of a denial; of what is granted the file and line of the rule, without its folder.
fn why(event: &Event) -> String {
    match (&event.reason, &event.rule_at, event.rule) {
        (Some(reason), ..) => reason.to_string(),
        (None, Some(place), _) => place.rsplit('/').next().unwrap_or(place).to_owned(),
        (None, None, Some(rule)) => format!("rule {rule}"),
        (None, None, None) => "-".to_owned(),
    }
}

/// The container and the innermost unit; where there is neither, the cgroup.
fn owner(owner: &Owner) -> String {
    let unit = owner.user_unit.as_ref().or(owner.unit.as_ref());
    let mut words = Vec::new();
    if let Some(container) = &owner.container {
        let end = container.id.floor_char_boundary(ID_SHOWN);
        words.push(format!("{} {}", container.runtime, &container.id[..end]));
        // The scope of a container says the same once more.
        words.extend(unit.filter(|unit| !unit.contains(&container.id)).cloned());
    } else {
        words.extend(unit.cloned());
    }
    words.extend(owner.pod.as_ref().map(|pod| format!("pod {pod}")));
    if words.is_empty() {
        words.push(owner.cgroup.clone().unwrap_or_else(|| "-".to_owned()));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::model::{Container, Missed};

    fn event() -> Event {
        serde_json::from_str(
            r#"{"number": 1, "time": "2026-01-31T12:00:00.000Z", "verdict": "denied", "reason": "address-not-granted",
                "hook": "connect", "protocol": "tcp", "destination": "198.51.100.30:443", "name": "fabrikam.azurecr.io",
                "pid": 812, "process": "curl", "cgroup_id": 7, "cgroup": "/system.slice/cron.service",
                "unit": "cron.service"}"#,
        )
        .unwrap()
    }

    fn plain(columns: &mut Columns, entry: Entry) -> String {
        anstream::adapter::strip_str(&columns.line(&entry)).to_string()
    }

    #[test]
    fn lines_stand_below_each_other() {
        let mut columns = Columns::default();
        let mut other = event();
        other.process = "a-longer-name-15".into();
        other.server_name = Some("evil.example.com".into());
        other.verdict = Verdict::Audit;
        let first = plain(&mut columns, Entry::Event(Box::new(other)));
        assert_eq!(
            first,
            "2026-01-31T12:00:00.000Z  audit    a-longer-name-15 (812)  198.51.100.30:443 tcp     asks for evil.example.com     \
             address-not-granted  cron.service"
        );
        let second = plain(&mut columns, Entry::Event(Box::new(event())));
        let at = |line: &str| line.find("address-not-granted").unwrap();
        assert_eq!(at(&first), at(&second));
        assert!(second.contains("curl (812)  "), "{second}");
    }

    #[test]
    fn the_owner_is_named_as_people_do() {
        let id = "4f1c9dd3a0b8e7f65544332211009988776655443322110099aabbccddeeff00";
        let container = Some(Container {
            runtime: "docker".into(),
            id: id.into(),
        });
        let docker = Owner {
            unit: Some(format!("docker-{id}.scope")),
            container: container.clone(),
            ..Owner::default()
        };
        assert_eq!(owner(&docker), "docker 4f1c9dd3a0b8");
        let nested = Owner {
            unit: Some("docker.service".into()),
            pod: Some("6d7c".into()),
            container,
            ..Owner::default()
        };
        assert_eq!(owner(&nested), "docker 4f1c9dd3a0b8, docker.service, pod 6d7c");
        let bare = Owner {
            cgroup: Some("/x".into()),
            ..Owner::default()
        };
        assert_eq!(
            (owner(&bare), owner(&Owner::default())),
            ("/x".into(), "-".into())
        );
    }

    #[test]
    fn what_is_lost_is_said() {
        let missed = |why| Entry::Missed(Missed { count: 17, why });
        let mut columns = Columns::default();
        assert!(plain(&mut columns, missed(WhyMissed::SlowReader)).starts_with("17 lines are missing"));
        assert!(plain(&mut columns, missed(WhyMissed::Forgotten)).contains("up to 17 older events"));
        let suppressed = Entry::Suppressed(Suppressed {
            number: 3,
            time: "t".into(),
            reason: "not-tls".into(),
            granted: false,
            count: 1,
        });
        assert_eq!(
            plain(&mut columns, suppressed),
            "t  1 more denial without an event of their own: not-tls, more than the kernel tells of"
        );
    }
}
