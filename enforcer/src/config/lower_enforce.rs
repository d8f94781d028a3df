//! `[enforce]`: what is filtered, and where.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use toml::de::DeValue;

use super::document::{Section, as_integer, wrong_type};
use super::report::Report;
use super::{Capacity, Enforce, Existing, PORTS_MAX, Quic, ServerNames, Tamper};

pub(super) fn lower(section: &Section<'_>, report: &mut Report) -> Enforce {
    let default = Enforce::default();
    Enforce {
        ports: ports(section, report).unwrap_or(default.ports),
        cgroup: cgroup(section, report),
        quic: section
            .choice("quic", &[("deny", Quic::Deny), ("allow", Quic::Allow)], report)
            .unwrap_or_default(),
        server_names: server_names(section, report),
        existing: section
            .choice(
                "existing",
                &[("deny", Existing::Deny), ("allow", Existing::Allow)],
                report,
            )
            .unwrap_or_default(),
        tamper: section
            .choice(
                "tamper",
                &[("restore", Tamper::Restore), ("report", Tamper::Report)],
                report,
            )
            .unwrap_or_default(),
        capacity: capacity(section, report),
    }
}

fn capacity(section: &Section<'_>, report: &mut Report) -> Capacity {
    let default = Capacity::default();
    let Some(value) = section.get("capacity") else {
        return default;
    };
    let DeValue::Table(table) = value.get_ref() else {
        wrong_type("capacity", "a table", "{ ipv4 = 262144 }", value, report);
        return default;
    };
    let section = Section::open("[enforce.capacity]", table, value.span(), report);
    let mut read = |key, step: u32, most, default| {
        let Some(count) = section.integer(key, step..=most, report) else {
            return default;
        };
        if !count.is_multiple_of(step) {
            let span = section
                .get(key)
                .map_or(section.span.clone(), |value| value.span());
            let problem = report.error(&span, format!("{count} is no multiple of {step}"));
            let next = count.next_multiple_of(step);
            report.push(problem.hint(format!("the next one is `{key} = {next}`")));
            return default;
        }
        count
    };
    let ipv4 = read("ipv4", Capacity::IPV4_STEP, Capacity::IPV4_MAX, default.ipv4());
    let ipv6 = read("ipv6", Capacity::IPV6_STEP, Capacity::IPV6_MAX, default.ipv6());
    Capacity::new(ipv4, ipv6).unwrap_or(default)
}

fn server_names(section: &Section<'_>, report: &mut Report) -> ServerNames {
    let words = [("require", ServerNames::Require), ("off", ServerNames::Off)];
    let chosen = section.choice("server_name", &words, report).unwrap_or_default();
    if chosen == ServerNames::Off {
        let problem = report.warning(
            &section.key_span("server_name"),
            "server names are not looked at: whoever shares an address with what is granted is reached too",
        );
        report.push(problem.hint(
            "another registry behind the same front end, for one; take the key away, `\"require\"` is the default",
        ));
    }
    chosen
}

fn ports(section: &Section<'_>, report: &mut Report) -> Option<Vec<u16>> {
    const EXAMPLE: &str = "[443]";
    let value = section.get("ports")?;
    let DeValue::Array(items) = value.get_ref() else {
        wrong_type("ports", "an array of integers", EXAMPLE, value, report);
        return None;
    };
    if items.is_empty() {
        let problem = report.error(&value.span(), "no port is filtered: nothing would be enforced");
        report.push(problem.hint("write `ports = [443]`, or take the key away, which means the same"));
    }
    if items.len() > PORTS_MAX {
        let problem = report.error(
            &value.span(),
            format!("{} ports are listed, {PORTS_MAX} are the most", items.len()),
        );
        report.push(problem.hint("list the ports on which registries are served"));
    }
    let mut ports = BTreeSet::new();
    for item in items.iter() {
        let port = as_integer("ports", EXAMPLE, item, &(1..=u32::from(u16::MAX)), report)
            .and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else { continue };
        if !ports.insert(port) {
            let problem = report.error(&item.span(), format!("the port {port} stands twice"));
            report.push(problem.hint("take one of the two away"));
            continue;
        }
        if port == 53 {
            let problem = report.warning(
                &item.span(),
                "with port 53 filtered, name servers are denied as well",
            );
            report.push(problem.hint("allow them with `[[allow]] prefix = \"ADDRESS/32\"`"));
        }
    }
    Some(ports.into_iter().collect())
}

fn cgroup(section: &Section<'_>, report: &mut Report) -> Option<PathBuf> {
    let text = section.text("cgroup", "\"/sys/fs/cgroup/build.slice\"", report)?;
    let path = Path::new(text.value);
    let is_plain = path
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain || text.value.contains(char::is_control) {
        let problem = report.error(
            &text.span,
            "`cgroup` is no plain absolute path (no `..`, no control characters)",
        );
        report.push(problem.hint("write the folder of the cgroup, as in `/sys/fs/cgroup/build.slice`"));
        return None;
    }
    Some(path.to_owned())
}
