//! A status as a person reads it.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::control::model::{
    Attached, Daemon, DaemonState, Denials, Family, Freshness, GrantedConnections, Name, Names, PolicyStatus,
    State, Status, Upstream, WarningKind,
};
use crate::elapsed::Elapsed;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const CAREFUL: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const HEADING: Style = Style::new().bold();

/// Up to so many names are listed all; of more, those that are not fresh.
const NAMES_ALL: usize = 20;

/// The text of a status, with its last line's end. Its colours are for a writer that takes them out where they do not
/// belong.
pub(super) struct Shown<'a>(pub(super) &'a Status);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        headline(out, status)?;
        row(out, "daemon", &daemon(&status.daemon, &status.instance))?;
        if let Some(policy) = &status.policy {
            for (label, words) in policy_rows(policy) {
                row(out, label, &words)?;
            }
        }
        if let Some(attached) = &status.attached {
            row(out, "attached", &attached_words(attached))?;
        }
        if let Some(known) = &status.names {
            row(out, "names", &names_words(known))?;
        }
        if !status.resolver.is_empty() {
            let servers: Vec<_> = status.resolver.iter().map(upstream).collect();
            row(out, "asks", &servers.join("; "))?;
        }
        if let Some(denials) = &status.denials {
            row(out, "denials", &denials_words(denials))?;
            reasons(out, denials)?;
        }
        if let Some(granted) = &status.granted {
            row(out, "granted", &granted_words(granted))?;
        }
        if let Some(known) = &status.names {
            names(out, known)?;
        }
        warnings(out, status)
    }
}

fn headline(out: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let cgroup = status
        .attached
        .as_ref()
        .and_then(|attached| attached.cgroup.as_deref());
    let on = cgroup.map(|cgroup| format!(" on {cgroup}")).unwrap_or_default();
    match (status.state, &status.why) {
        (State::Enforcing, _) => writeln!(out, "{GOOD}enforcing{GOOD:#}{on}"),
        (State::Auditing, _) => writeln!(out, "{CAREFUL}auditing, nothing is dropped{CAREFUL:#}{on}"),
        (State::NotEnforcing, None) => writeln!(out, "{BAD}NOT ENFORCING{BAD:#}{on}"),
        (State::NotEnforcing, Some(why)) => writeln!(out, "{BAD}NOT ENFORCING{BAD:#}{on}: {why}"),
    }
}

fn row(out: &mut fmt::Formatter<'_>, label: &str, words: &str) -> fmt::Result {
    writeln!(out, "  {label:<9} {words}")
}

fn elapsed(seconds: u64) -> Elapsed {
    Elapsed(Duration::from_secs(seconds))
}

fn daemon(daemon: &Daemon, instance: &str) -> String {
    let state = match daemon.state {
        DaemonState::Running => "running",
        DaemonState::Starting => "starting",
        DaemonState::Silent => "DOES NOT ANSWER",
        DaemonState::Stopped => "stopped",
    };
    let parts = [
        daemon.pid.map(|pid| format!("process {pid}")),
        daemon.uptime_s.map(|uptime| format!("up {}", elapsed(uptime))),
        daemon
            .enforcer
            .as_ref()
            .map(|version| format!("enforcer {version}")),
        Some(format!("instance {instance}")),
        daemon
            .configuration
            .as_ref()
            .map(|file| file.display().to_string()),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{state}: {}", parts.join(", "))
}

fn policy_rows(policy: &PolicyStatus) -> Vec<(&'static str, String)> {
    let applied = policy
        .applied_s
        .map(|ago| format!(", applied {} ago", elapsed(ago)));
    let ports = policy.ports.as_ref().map(|ports| {
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        format!(", ports {}", ports.join(" "))
    });
    let udp = match policy.quic.as_str() {
        "allow" => "UDP judged by its address",
        _ => "UDP to them denied",
    };
    let names = match policy.server_names.as_deref() {
        Some("off") => ", SERVER NAMES NOT LOOKED AT",
        Some(_) => ", server names required",
        None => "",
    };
    let mut rows = vec![(
        "policy",
        format!(
            "generation {}{}: mode {}{}, {udp}{names}",
            policy.generation,
            applied.unwrap_or_default(),
            policy.mode,
            ports.unwrap_or_default(),
        ),
    )];
    let grants = [
        (policy.rules, "rule"),
        (policy.spans, "span of addresses"),
        (policy.granted_names, "server name"),
    ];
    let grants: Vec<_> = grants
        .into_iter()
        .filter_map(|(count, what)| Some(counted(count?, what)))
        .collect();
    if !grants.is_empty() {
        rows.push(("grants", grants.join(", ")));
    }
    rows
}

/// `1 span of addresses`, `2 spans of addresses`.
fn counted(count: u64, what: &str) -> String {
    let (first, rest) = what.split_once(" of ").unwrap_or((what, ""));
    let plural = if count == 1 { "" } else { "s" };
    let of = if rest.is_empty() { "" } else { " of " };
    format!("{count} {first}{plural}{of}{rest}")
}

fn attached_words(attached: &Attached) -> String {
    let since = match (&attached.since, attached.since_s) {
        (Some(since), Some(ago)) => format!("since {since} ({})", elapsed(ago)),
        _ => "since when is not known".to_owned(),
    };
    let list = |judges: &dyn Fn(bool, bool) -> bool| {
        let names: Vec<_> = attached
            .hooks
            .iter()
            .filter(|hook| judges(hook.attached, hook.pinned))
            .map(|hook| hook.name.as_str())
            .collect();
        names.join(" ")
    };
    let parts = [
        (list(&|attached, pinned| attached && pinned), "pinned"),
        (
            list(&|attached, pinned| attached && !pinned),
            "not pinned, they end with the daemon",
        ),
        (list(&|attached, _| !attached), "DETACHED"),
    ];
    let parts = parts.into_iter().filter(|(names, _)| !names.is_empty());
    parts.fold(since, |words, (names, how)| format!("{words}; {names}: {how}"))
}

fn names_words(names: &Names) -> String {
    if names.list.is_empty() {
        return "none to ask for".to_owned();
    }
    let parts = [
        (names.fresh, "fresh"),
        (names.stale, "stale"),
        (names.failed, "without an address"),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{count} {how}"))
        .collect();
    parts.join(", ")
}

fn upstream(upstream: &Upstream) -> String {
    match upstream.aside_s {
        None if upstream.good => format!("{} good", upstream.server),
        None | Some(0) => format!("{} FAILED, tried again", upstream.server),
        Some(aside) => format!("{} FAILED, put aside for {}", upstream.server, elapsed(aside)),
    }
}

fn denials_words(denials: &Denials) -> String {
    if denials.total == 0 {
        return "none".to_owned();
    }
    let mut words = denials.total.to_string();
    match denials.audit {
        0 => {}
        audit if audit == denials.total => words += ", all let through by audit mode",
        audit => words += &format!(", {audit} of them let through by audit mode"),
    }
    if denials.suppressed > 0 {
        words += &format!(", {} of them without an event of their own", denials.suppressed);
    }
    words
}

fn granted_words(granted: &GrantedConnections) -> String {
    match (granted.total, granted.suppressed) {
        (0, _) => "no connection".to_owned(),
        (total, 0) => counted(total, "connection"),
        (total, suppressed) => format!(
            "{}, {suppressed} of them without an event of their own",
            counted(total, "connection")
        ),
    }
}

fn reasons(out: &mut fmt::Formatter<'_>, denials: &Denials) -> fmt::Result {
    let count_width = width(denials.by_reason.iter().map(|counted| counted.denied.to_string()));
    let reason_width = width(denials.by_reason.iter().map(|counted| counted.reason.clone()));
    for counted in &denials.by_reason {
        writeln!(
            out,
            "            {:>count_width$}  {:reason_width$}  {}",
            counted.denied, counted.reason, counted.explanation
        )?;
    }
    Ok(())
}

fn width(texts: impl Iterator<Item = String>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn names(out: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
    let is_listed = |name: &&Name| names.list.len() <= NAMES_ALL || name.state != Freshness::Fresh;
    let listed: Vec<_> = names.list.iter().filter(is_listed).collect();
    if listed.is_empty() {
        return Ok(());
    }
    let title = if listed.len() == names.list.len() {
        "names"
    } else {
        "names that are not fresh"
    };
    writeln!(out, "\n{HEADING}{title}{HEADING:#}")?;
    let name_width = width(listed.iter().map(|name| name.name.clone()));
    for name in listed {
        let (style, state) = match name.state {
            Freshness::Fresh | Freshness::Empty => (GOOD, "fresh  "),
            Freshness::Stale => (CAREFUL, "stale  "),
            Freshness::Unasked => (CAREFUL, "unasked"),
            Freshness::Failed => (BAD, "failed "),
        };
        let addresses = match name.addresses {
            1 => "1 address".to_owned(),
            count => format!("{count} addresses"),
        };
        write!(
            out,
            "  {:name_width$}  {style}{state}{style:#}  {addresses:<12}  {}",
            name.name,
            age(name)
        )?;
        for (family, known) in [("IPv4", &name.a), ("IPv6", &name.aaaa)] {
            if let Some(error) = &known.error {
                write!(out, "; {family}: {error}")?;
            }
        }
        if name.refused > 0 {
            write!(out, "; {} refused", name.refused)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// How old the older of the two answers is that grant something.
fn age(name: &Name) -> String {
    let counts = |family: &&Family| matches!(family.state, Freshness::Fresh | Freshness::Stale);
    let families = [&name.a, &name.aaaa];
    let oldest = families
        .into_iter()
        .filter(counts)
        .filter_map(|family| Some((family.age_s?, family.age_is_at_least)))
        .max();
    match oldest {
        Some((age, true)) => format!("at least {} old", elapsed(age)),
        Some((age, false)) => format!("{} old", elapsed(age)),
        None => "never answered".to_owned(),
    }
}

fn warnings(out: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    if status.warnings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{HEADING}warnings{HEADING:#}")?;
    for warning in &status.warnings {
        let style = if warning.kind <= WarningKind::RunLoopSilent {
            BAD
        } else {
            CAREFUL
        };
        writeln!(out, "  {style}!{style:#} {}", warning.text)?;
    }
    Ok(())
}
