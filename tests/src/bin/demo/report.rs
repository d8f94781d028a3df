//! What the demo reads of `enforcer exec --report`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The outcome of one `enforcer exec`.
pub(crate) struct Report {
    /// How long the command ran, in milliseconds, without the time that the enforcer took before.
    pub(crate) duration_ms: u64,
    /// Denials, the most frequent first.
    pub(crate) denials: Vec<Denial>,
}

/// Denials that differ in time only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    /// Who, where to, and how often.
    pub(crate) what: String,
    /// Why, in words.
    pub(crate) why: String,
    /// When the first of them was, in milliseconds from the start of the command.
    pub(crate) first_ms: Option<u64>,
}

impl Report {
    /// Reads the file.
    ///
    /// # Errors
    /// When there is none, or it is no report.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).context("it wrote no report")?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let report: Value = serde_json::from_str(text).context("its report is not JSON")?;
        let explained = |reason: &str| {
            let reasons = report["reasons"].as_array().into_iter().flatten();
            let entry = reasons.into_iter().find(|entry| entry["reason"] == reason);
            match entry.and_then(|entry| entry["explanation"].as_str()) {
                Some(explanation) => format!("{reason}: {explanation}"),
                None => reason.to_owned(),
            }
        };
        let denials = report["denials"]
            .as_array()
            .context("its report lists no denials")?;
        Ok(Self {
            duration_ms: report["duration_ms"]
                .as_u64()
                .context("its report tells no duration")?,
            denials: denials
                .iter()
                .map(|denial| Denial {
                    what: what(denial),
                    why: explained(denial["reason"].as_str().unwrap_or("no reason given")),
                    first_ms: denial["first_ms"].as_u64(),
                })
                .collect(),
        })
    }
}

/// Who, where to, and how often.
fn what(denial: &Value) -> String {
    let process = denial["process"]
        .as_str()
        .filter(|name| !name.is_empty())
        .unwrap_or("unknown process");
    let protocol = denial["protocol"].as_str().unwrap_or("?");
    let address = denial["destination"].as_str().and_then(|text| text.parse().ok());
    let port = denial["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let destination = match (address, port) {
        (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, _) => "an unknown destination".to_owned(),
    };
    let name = denial["name"]
        .as_str()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    let count = match denial["count"].as_u64() {
        Some(count) if count > 1 => format!(", {count} times"),
        _ => String::new(),
    };
    format!("{process} to {protocol} {destination}{name}{count}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_who_where_and_why() {
        let report = Report::parse(
            r#"{"duration_ms": 12,
                "reasons": [{"reason": "address", "explanation": "nobody granted it", "denied": 2}],
                "denials": [{"process": "curl", "protocol": "tcp", "destination": "2001:db8::1", "port": 443,
                             "name": null, "reason": "address", "count": 2, "first_ms": 3}]}"#,
        )
        .unwrap();
        assert_eq!(report.duration_ms, 12);
        assert_eq!(
            report.denials,
            [Denial {
                what: "curl to tcp [2001:db8::1]:443, 2 times".to_owned(),
                why: "address: nobody granted it".to_owned(),
                first_ms: Some(3),
            }]
        );
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        let report =
            Report::parse(r#"{"duration_ms": 1, "denials": [{"reason": "r", "process": ""}]}"#).unwrap();
        assert_eq!(
            report.denials[0].what,
            "unknown process to ? an unknown destination"
        );
        assert_eq!(report.denials[0].why, "r");
        assert!(Report::parse("{}").is_err());
    }
}
