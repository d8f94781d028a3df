//! The output of `az acr show-endpoints`, which is almost JSON: its documented sample has trailing commas.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::ops::Range;
use std::sync::Arc;

use super::cloud::Cloud;
use super::login_server::LoginServer;
use super::open_names;
use super::problem::{Problem, Source, Span, quote};
use super::report::Report;
use super::risk::Risk;
use crate::names::{DomainPattern, ServerName};

/// What every hint about such a file comes down to.
const SHOW_ENDPOINTS: &str = "it is the output of `az acr show-endpoints --name REGISTRY`";
/// Most entries of one list: replicas of one registry.
const ENTRIES_MAX: usize = 256;

/// What such a file says. Unknown fields are ignored, absent ones are empty.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow, default)]
    login_server: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data_endpoints: Option<&'a RawValue>,
    #[serde(borrow, default)]
    regional_endpoints: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    endpoint: Option<&'a RawValue>,
}

/// The endpoints of one registry.
pub(super) struct Listed {
    pub(super) login_server: LoginServer,
    pub(super) login_server_span: Span,
    pub(super) data_endpoints: Vec<ServerName>,
    /// `*.blob.core.windows.net` of a registry without dedicated data endpoints.
    pub(super) data_patterns: Vec<DomainPattern>,
    pub(super) regional_endpoints: Vec<ServerName>,
    /// Whether `dataEndpoints` has no entry, valid or not.
    pub(super) is_without_data_endpoints: bool,
}

/// A file that is being read.
struct Reader<'a> {
    source: Arc<Source>,
    /// The text without its trailing commas; every byte is where it was.
    json: &'a str,
    report: &'a mut Report,
    /// Patterns among the data endpoints, each judged once.
    patterns_seen: Vec<DomainPattern>,
}

/// Reads `source` and reports what is wrong with it, with places in it.
pub(super) fn read(source: &Arc<Source>, risk: &mut Risk, report: &mut Report) -> Option<Listed> {
    let json = without_trailing_commas(source.text());
    let mut reader = Reader {
        source: Arc::clone(source),
        json: &json,
        report,
        patterns_seen: Vec::new(),
    };
    // serde would take an array for a struct as well, its items for the fields; and its words for others are its own.
    let start = json.find(|c: char| !c.is_ascii_whitespace());
    let Some(start) = start else {
        let problem = reader.error(0..0, "the file is empty");
        reader.push(problem.hint(format!("did the command fail that wrote it? {SHOW_ENDPOINTS}")));
        return None;
    };
    if json.as_bytes()[start] != b'{' {
        let problem = reader.error(start..start + 1, "the file is not one JSON object");
        reader.push(problem.hint(SHOW_ENDPOINTS));
        return None;
    }
    let document: Document<'_> = match serde_json::from_str(&json) {
        Ok(document) => document,
        Err(error) => {
            reader.push_json_error(&error);
            return None;
        }
    };
    let data_endpoints = reader.entries("dataEndpoints", document.data_endpoints);
    let regional_endpoints = reader.entries("regionalEndpoints", document.regional_endpoints);
    let Some(raw) = document.login_server else {
        let problem = reader.error(0..1, "the file has no `loginServer`");
        reader.push(problem.hint(SHOW_ENDPOINTS));
        return None;
    };
    let (login_server, login_server_span) = reader.login_server(raw)?;
    let mut listed = Listed {
        login_server,
        login_server_span,
        data_endpoints: Vec::new(),
        data_patterns: Vec::new(),
        regional_endpoints: Vec::new(),
        is_without_data_endpoints: document.data_endpoints.is_none_or(is_empty_array),
    };
    for (text, range) in data_endpoints {
        reader.data_endpoint(&text, range, &mut listed, risk);
    }
    for (text, range) in regional_endpoints {
        let domain = format!("geo.{}", listed.login_server.cloud().registry_domain());
        if let Some(name) = reader.endpoint(&text, &range, &listed.login_server, &domain) {
            insert(&mut listed.regional_endpoints, name);
        }
    }
    Some(listed)
}

impl<'a> Reader<'a> {
    fn error(&self, range: Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(Span::new(&self.source, range), message)
    }

    fn push(&mut self, problem: Problem) {
        self.report.push(problem);
    }

    fn push_json_error(&mut self, error: &serde_json::Error) {
        let line_start = self.source.line_start(error.line().saturating_sub(1));
        let at = line_start + error.column().saturating_sub(1);
        let text = error.to_string();
        // serde_json appends the position, which is shown as the place.
        let message = text.split(" at line ").next().unwrap_or_default();
        let problem = self.error(at..at + 1, format!("not valid JSON: {message}"));
        self.push(problem.hint("it is the output of `az acr show-endpoints --output json`"));
    }

    /// Where a value stands in the file.
    fn range(&self, raw: &RawValue) -> Range<usize> {
        // The value is a slice of `json`, so that its address tells its offset.
        let start = raw.get().as_ptr() as usize - self.json.as_ptr() as usize;
        start..start + raw.get().len()
    }

    fn string(&mut self, what: &str, raw: &RawValue) -> Option<(String, Range<usize>)> {
        let range = self.range(raw);
        if let Ok(text) = serde_json::from_str(raw.get()) {
            return Some((text, range));
        }
        let problem = self.error(range, format!("`{what}` is not a string"));
        self.push(problem.hint("it is a host name, as in `\"contoso.azurecr.io\"`"));
        None
    }

    fn entries(&mut self, key: &str, raw: Option<&'a RawValue>) -> Vec<(String, Range<usize>)> {
        let Some(raw) = raw else { return Vec::new() };
        let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(raw.get()) else {
            let problem = self.error(self.range(raw), format!("`{key}` is not an array"));
            self.push(problem.hint("it is an array of objects with `region` and `endpoint`"));
            return Vec::new();
        };
        if let Some(item) = items.get(ENTRIES_MAX) {
            let message = format!("`{key}` has {} entries, {ENTRIES_MAX} are the most", items.len());
            let problem = self.error(self.range(item), message);
            self.push(problem.hint(SHOW_ENDPOINTS));
            return Vec::new();
        }
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            match serde_json::from_str::<Entry<'a>>(item.get()) {
                Ok(Entry { endpoint: Some(raw) }) if item.get().starts_with('{') => {
                    found.extend(self.string("endpoint", raw))
                }
                _ => {
                    let problem =
                        self.error(self.range(item), format!("an entry of `{key}` has no `endpoint`"));
                    self.push(problem.hint("each entry is an object with `region` and `endpoint`"));
                }
            }
        }
        found
    }

    fn login_server(&mut self, raw: &RawValue) -> Option<(LoginServer, Span)> {
        let (text, range) = self.string("loginServer", raw)?;
        let message = match ServerName::parse(&text) {
            Ok(name) => match LoginServer::new(name) {
                Ok(login_server) => return Some((login_server, Span::new(&self.source, range))),
                Err(error) => error.to_string(),
            },
            Err(error) => format!("{} is not a host name: {error}", quote(&text)),
        };
        let problem = self.error(range, message);
        self.push(problem.hint(SHOW_ENDPOINTS));
        None
    }

    fn data_endpoint(&mut self, text: &str, range: Range<usize>, listed: &mut Listed, risk: &mut Risk) {
        if text.starts_with("*.") {
            self.data_pattern(text, range, listed, risk);
            return;
        }
        let domain = format!("data.{}", listed.login_server.cloud().registry_domain());
        if let Some(name) = self.endpoint(text, &range, &listed.login_server, &domain) {
            insert(&mut listed.data_endpoints, name);
        }
    }

    /// A registry without dedicated data endpoints lists the shared storage accounts, once a replica.
    fn data_pattern(&mut self, text: &str, range: Range<usize>, listed: &mut Listed, risk: &mut Risk) {
        let pattern = match DomainPattern::parse(text) {
            Ok(pattern) => pattern,
            Err(error) => {
                let problem = self.error(range, format!("{} is not a pattern: {error}", quote(text)));
                self.push(problem.hint(SHOW_ENDPOINTS));
                return;
            }
        };
        if self.patterns_seen.contains(&pattern) {
            return;
        }
        self.patterns_seen.push(pattern.clone());
        if open_names::pattern_openness(&pattern).is_none() {
            let problem = self.error(range, format!("`{pattern}` is not where a registry's blobs are"));
            self.push(problem.hint(SHOW_ENDPOINTS));
            return;
        }
        let problem = self
            .error(
                range,
                format!(
                    "`{}` has no dedicated data endpoints: its blobs come from `{pattern}`",
                    listed.login_server
                ),
            )
            .label("anybody can have an account there");
        let registry = listed.login_server.label();
        let registry = registry.split('-').next().unwrap_or(registry);
        let instead = format!(
            "enable them with `az acr update --name {registry} --data-endpoint-enabled`, and write this file anew"
        );
        if risk.take(problem, &instead, self.report) {
            listed.data_patterns.push(pattern);
        }
    }

    /// `<registry>.<region>.<domain>`, of the registry that the file is about.
    fn endpoint(
        &mut self,
        text: &str,
        range: &Range<usize>,
        login_server: &LoginServer,
        domain: &str,
    ) -> Option<ServerName> {
        let name = match ServerName::parse(text) {
            Ok(name) => name,
            Err(error) => {
                let problem = self.error(
                    range.clone(),
                    format!("{} is not a host name: {error}", quote(text)),
                );
                self.push(problem.hint(SHOW_ENDPOINTS));
                return None;
            }
        };
        if !name.is_below(domain) {
            let problem = self.error(range.clone(), format!("`{name}` is not below `{domain}`"));
            let hint = match Cloud::of(&name) {
                Some(_) => "it is the endpoint of another cloud or of another kind",
                None => "a host of another owner is allowed with `[[allow]] name`",
            };
            self.push(problem.hint(hint));
            return None;
        }
        let first = name.labels().next().unwrap_or_default();
        let label = login_server.label();
        let is_own = first == label || label.split('-').next() == Some(first);
        if !is_own {
            let problem = Problem::warning(
                Span::new(&self.source, range.clone()),
                format!("`{name}` looks like the endpoint of another registry than `{login_server}`"),
            );
            self.push(problem.hint("write the file anew with `az acr show-endpoints --name REGISTRY`"));
        }
        Some(name)
    }
}

fn is_empty_array(raw: &RawValue) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(raw.get()).is_ok_and(|items| items.is_empty())
}

fn insert(names: &mut Vec<ServerName>, name: ServerName) {
    if !names.contains(&name) {
        names.push(name);
    }
}

/// `text` with a blank in the place of each comma before a closing bracket.
fn without_trailing_commas(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut comma: Option<usize> = None;
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            match byte {
                b'"' => (in_string, comma) = (true, None),
                b',' => comma = Some(bytes.len()),
                b']' | b'}' => {
                    if let Some(at) = comma.take() {
                        bytes[at] = b' ';
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => comma = None,
            }
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).expect("only whole ASCII characters were replaced in a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trailing_commas_go() {
        for (text, expected) in [
            (r#"{"a": [1, 2,],}"#, r#"{"a": [1, 2 ] }"#),
            (r#"{"a": ",]", "b\",}": 1 , }"#, r#"{"a": ",]", "b\",}": 1   }"#),
            ("[,]", "[ ]"),
            ("[1,\n]", "[1 \n]"),
        ] {
            assert_eq!(without_trailing_commas(text), expected);
        }
    }
}
