//! Reads typed values out of a TOML table, keeping the place of each, and reports those of another type.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::quote;
use super::report::Report;
use super::suggest;

pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A string of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    pub(super) value: &'a str,
    /// The string with its quotes.
    pub(super) span: Range<usize>,
    /// Where the first byte of the value stands, where the value is written as it is, without escapes.
    content: Option<usize>,
}

impl Text<'_> {
    /// The place of a part of the value; of all of it where escapes hide the part's place.
    pub(super) fn part(&self, part: Range<usize>) -> Range<usize> {
        match self.content {
            Some(start) => start + part.start..start + part.end,
            None => self.span.clone(),
        }
    }

    /// The place of the first occurrence of `piece`.
    pub(super) fn part_with(&self, piece: &str) -> Range<usize> {
        match self.value.find(piece) {
            Some(at) => self.part(at..at + piece.len()),
            None => self.span.clone(),
        }
    }
}

/// The keys of every table, for telling where a key that is in the wrong one belongs.
pub(crate) const KEYS: [(&str, &[&str]); 8] = [
    (
        "the top of the file",
        &[
            "mode",
            "registry",
            "allow",
            "service_tags",
            "enforce",
            "resolver",
            "control",
        ],
    ),
    (
        "[[registry]]",
        &[
            "login_server",
            "endpoints",
            "kind",
            "data_regions",
            "regional_login_servers",
            "private_link",
            "sanity_tag",
            "file",
            "accept_exfiltration_risk",
        ],
    ),
    (
        "[[allow]]",
        &[
            "name",
            "prefix",
            "service_tag",
            "file",
            "server_name",
            "private_link",
            "accept_exfiltration_risk",
        ],
    ),
    ("[service_tags]", &["file"]),
    (
        "[enforce]",
        &[
            "ports",
            "cgroup",
            "quic",
            "server_name",
            "existing",
            "tamper",
            "capacity",
        ],
    ),
    ("[enforce.capacity]", &["ipv4", "ipv6"]),
    (
        "[resolver]",
        &[
            "servers",
            "timeout",
            "ttl_min",
            "ttl_max",
            "grace",
            "addresses_max",
            "chain_max",
            "concurrency",
        ],
    ),
    ("[control]", &["group", "metrics"]),
];

/// One table of the configuration.
pub(super) struct Section<'a> {
    /// Its name as messages show it; one of [`KEYS`].
    pub(super) name: &'static str,
    pub(super) table: &'a DeTable<'a>,
    /// Where it starts: its header.
    pub(super) span: Range<usize>,
}

impl<'a> Section<'a> {
    /// The table, after its unknown keys have been reported.
    pub(super) fn open(
        name: &'static str,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        report: &mut Report,
    ) -> Self {
        let known = keys_of(name);
        for key in table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
        {
            if report.is_full() {
                // Looking for the nearest key is not free, and nobody would see it.
                report.push(report.error(&key.span(), "unknown key"));
                continue;
            }
            let text = key.get_ref().as_ref();
            let place = if name == KEYS[0].0 {
                format!("at {name}")
            } else {
                format!("in `{name}`")
            };
            let problem = report.error(&key.span(), format!("unknown key {} {place}", quote(text)));
            report.push(problem.hint(unknown_key_hint(text, name, known)));
        }
        Self { name, table, span }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    /// The place of the key itself, or of the table where it is missing.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .get_key_value(key)
            .map_or_else(|| self.span.clone(), |(key, _)| key.span())
    }

    /// A string.
    pub(super) fn text(&self, key: &str, example: &str, report: &mut Report) -> Option<Text<'a>> {
        let value = self.get(key)?;
        let text = as_text(value, report);
        if text.is_none() {
            wrong_type(key, "a string", example, value, report);
        }
        text
    }

    /// A string, or an array of strings. What is not one is reported and left out.
    pub(super) fn texts(&self, key: &str, example: &str, report: &mut Report) -> Option<Vec<Text<'a>>> {
        let value = self.get(key)?;
        if let Some(text) = as_text(value, report) {
            return Some(vec![text]);
        }
        let DeValue::Array(items) = value.get_ref() else {
            wrong_type(key, "an array of strings", example, value, report);
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items.iter() {
            match as_text(item, report) {
                Some(text) => texts.push(text),
                None => wrong_type(key, "an array of strings", example, item, report),
            }
        }
        Some(texts)
    }

    /// An integer in `range`.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u32>, report: &mut Report) -> Option<u32> {
        let value = self.get(key)?;
        let example = range.start().to_string();
        as_integer(key, &example, value, &range, report)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let first = words.first().map_or("", |(word, _)| word);
        let text = self.text(key, &format!("\"{first}\""), report)?;
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*choice);
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        let hint = match suggest::nearest(text.value, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean `\"{word}\"`?"),
            None => format!("`{key}` is {}", all.join(" or ")),
        };
        let problem = report.error(&text.span, format!("`{key}` can not be {}", quote(text.value)));
        report.push(problem.hint(hint));
        None
    }
}

/// The string in `value`, if it is one.
pub(super) fn as_text<'a>(value: &'a Value<'a>, report: &Report) -> Option<Text<'a>> {
    let DeValue::String(string) = value.get_ref() else {
        return None;
    };
    let span = value.span();
    let content = span.start + 1;
    let source = report.source().text();
    let written = source.get(content..content + string.len());
    Some(Text {
        value: string,
        content: (written == Some(string.as_ref())).then_some(content),
        span,
    })
}

/// The integer in `value` if it lies in `range`; reports it otherwise.
pub(super) fn as_integer(
    key: &str,
    example: &str,
    value: &Value<'_>,
    range: &RangeInclusive<u32>,
    report: &mut Report,
) -> Option<u32> {
    let DeValue::Integer(integer) = value.get_ref() else {
        wrong_type(key, "an integer", example, value, report);
        return None;
    };
    let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
    if let Some(number) = number.filter(|number| range.contains(number)) {
        return Some(number);
    }
    let (low, high) = (range.start(), range.end());
    let problem = report.error(&value.span(), format!("{integer} is out of range for `{key}`"));
    report.push(problem.hint(format!("`{key}` takes {low} to {high}")));
    None
}

/// Reports that `key` holds a value of another type.
pub(super) fn wrong_type(key: &str, expected: &str, example: &str, value: &Value<'_>, report: &mut Report) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date-time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let problem = report.error(
        &value.span(),
        format!("`{key}` takes {expected}, this is {found}"),
    );
    report.push(problem.hint(format!("for example `{key} = {example}`")));
}

fn keys_of(name: &str) -> &'static [&'static str] {
    KEYS.iter()
        .find(|(table, _)| *table == name)
        .map_or(&[], |(_, keys)| keys)
}

fn unknown_key_hint(text: &str, here: &str, known: &[&'static str]) -> String {
    let elsewhere = KEYS
        .iter()
        .find(|(name, keys)| *name != here && keys.contains(&text));
    match elsewhere {
        Some((name, _)) if *name == KEYS[0].0 => {
            return format!("`{text}` belongs at the top of the file, before the first `[table]`");
        }
        Some((name, _)) => return format!("`{text}` belongs in `{name}`"),
        None => {}
    }
    match suggest::nearest(text, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("known here: {}", words.join(", "))
        }
    }
}
