//! Host names and patterns of the configuration, and what to write where one is wrong.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::document::Text;
use super::problem::quote;
use super::report::Report;
use crate::names::{DomainPattern, NameError, ServerName};

/// Reads a host name and reports what is wrong with it.
pub(super) fn read(text: &Text<'_>, report: &mut Report) -> Option<ServerName> {
    match ServerName::parse(text.value) {
        Ok(name) => {
            warn_beyond_ascii(text, &name, report);
            Some(name)
        }
        Err(error) => {
            push(text, text.value, &error, "", report);
            None
        }
    }
}

/// Reads a `*.pattern` and reports what is wrong with it.
pub(super) fn read_pattern(text: &Text<'_>, report: &mut Report) -> Option<DomainPattern> {
    match DomainPattern::parse(text.value) {
        Ok(pattern) => {
            warn_beyond_ascii(text, &pattern, report);
            Some(pattern)
        }
        Err(error) => {
            let suffix = text.value.strip_prefix("*.");
            let stars = if suffix.is_some() { "*." } else { "" };
            push(text, suffix.unwrap_or(text.value), &error, stars, report);
            None
        }
    }
}

/// A letter of another script can look like the one that was meant, and some characters like nothing at all.
fn warn_beyond_ascii(text: &Text<'_>, used: &impl fmt::Display, report: &mut Report) {
    if text.value.is_ascii() {
        return;
    }
    let message = format!(
        "{} has characters beyond ASCII: it is used as `{used}`",
        quote(text.value)
    );
    let problem = report.warning(&text.span, message);
    report.push(problem.hint(format!(
        "write `{used}` if that is what you mean; otherwise type the name anew, one of its letters only looks right"
    )));
}

fn push(text: &Text<'_>, stem: &str, error: &NameError, stars: &str, report: &mut Report) {
    let shown = quote(text.value);
    let meant = match error {
        NameError::PatternTooDeep { .. } => None,
        _ => meant(stem).map(|name| format!("{stars}{name}")),
    };
    let (message, span) = match (slip(stem), &meant) {
        (Some(slip), Some(_)) => (
            format!("{shown} is not a host name: {}", slip.words()),
            text.span.clone(),
        ),
        _ => match error {
            NameError::Character { character } => (
                format!("{shown} is not a host name: {error}"),
                text.part_with(&character.to_string()),
            ),
            NameError::Address { .. } => (error.to_string(), text.span.clone()),
            NameError::PatternTooDeep { .. } => (
                format!("{shown} is no pattern that can be enforced: {error}"),
                text.span.clone(),
            ),
            _ => (format!("{shown} is not a host name: {error}"), text.span.clone()),
        },
    };
    let hint = match (meant, error) {
        (Some(meant), _) => format!("write `{meant}`"),
        (None, NameError::Address { text }) => match text.parse::<IpAddr>() {
            Ok(address) => format!(
                "an address is allowed with `[[allow]] prefix = \"{}\"`",
                IpNet::from(address)
            ),
            Err(_) => "an address is allowed with `[[allow]] prefix = \"ADDRESS/LENGTH\"`".into(),
        },
        (None, NameError::SingleLabel { name }) => {
            format!("write the whole name, as in `{name}.example.com`")
        }
        (None, NameError::Wildcard) => {
            "write `*.` and a name, as in `*.example.com`; it stands for every name below".into()
        }
        (None, NameError::PatternTooDeep { .. }) => "write a wider pattern, or name the hosts".into(),
        (None, NameError::Empty) => "write a host name, as in `updates.example.com`".into(),
        (None, NameError::EmptyLabel) => "take the dot away, or write what belongs beside it".into(),
        (None, _) => "a host name is labels of letters, digits and hyphens with dots between them".into(),
    };
    report.push(report.error(&span, message).hint(hint));
}

/// What people write around a host name.
#[derive(Clone, Copy)]
enum Slip {
    Scheme,
    Path,
    Port,
    Space,
}

impl Slip {
    fn words(self) -> &'static str {
        match self {
            Self::Scheme => "a scheme stands before it",
            Self::Path => "a path stands behind it",
            Self::Port => "a port stands behind it (ports are set for all rules in `[enforce]`)",
            Self::Space => "white space stands around it",
        }
    }
}

fn slip(text: &str) -> Option<Slip> {
    if text.contains("://") {
        Some(Slip::Scheme)
    } else if text.contains('/') {
        Some(Slip::Path)
    } else if text.contains(':') {
        Some(Slip::Port)
    } else if text.trim() != text {
        Some(Slip::Space)
    } else {
        None
    }
}

/// The host name inside a URL, an image reference or a `host:port`.
pub(super) fn meant(text: &str) -> Option<ServerName> {
    let rest = text.trim();
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next()?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = match rest.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => rest,
    };
    ServerName::parse(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_inside_what_people_paste() {
        for text in [
            "https://contoso.azurecr.io",
            "https://contoso.azurecr.io/v2/",
            "contoso.azurecr.io/app:v1",
            "contoso.azurecr.io:443",
            " contoso.azurecr.io",
            "oci://user@contoso.azurecr.io:443/app@sha256:abc",
        ] {
            assert_eq!(meant(text).unwrap().as_str(), "contoso.azurecr.io", "{text}");
        }
        assert_eq!(meant("my_registry.azurecr.io"), None);
        assert_eq!(meant("[2001:db8::1]:443"), None);
    }
}
