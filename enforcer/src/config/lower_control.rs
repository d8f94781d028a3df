//! `[control]`: who may ask the daemon, and where.

use std::net::SocketAddr;

use super::document::Section;
use super::problem::quote;
use super::report::Report;
use super::{Control, GROUP_MAX, is_loopback};

/// The port is one that exporters of OpenTelemetry use.
const METRICS: &str = "\"127.0.0.1:9464\"";

pub(super) fn lower(section: &Section<'_>, report: &mut Report) -> Control {
    Control {
        group: group(section, report),
        metrics: metrics(section, report),
    }
}

fn metrics(section: &Section<'_>, report: &mut Report) -> Option<SocketAddr> {
    let text = section.text("metrics", METRICS, report)?;
    let (what, hint) = match text.value.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => ("has no port", "for example"),
        Ok(address) if is_loopback(address.ip()) => return Some(address),
        Ok(_) => (
            "is no address of the loopback",
            "whoever can connect reads them; a proxy on this host can serve them to others:",
        ),
        Err(_) => ("is no address with a port", "for example"),
    };
    let problem = report.error(&text.span, format!("{} {what}", quote(text.value)));
    report.push(problem.hint(format!("{hint} `metrics = {METRICS}` or `\"[::1]:9464\"`")));
    None
}

fn group(section: &Section<'_>, report: &mut Report) -> Option<String> {
    let text = section.text("group", "\"adm\"", report)?;
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = text.value.starts_with(is_first)
        && text.value.len() <= GROUP_MAX
        && text.value.chars().all(|c| is_first(c) || matches!(c, '-' | '.'));
    if !is_name {
        let problem = report.error(&text.span, format!("{} is no group", quote(text.value)));
        report.push(problem.hint("the name of a group of /etc/group, or its number: `group = \"adm\"`"));
        return None;
    }
    Some(text.value.to_owned())
}
