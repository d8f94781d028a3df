//! A file of service tags, as it is published every week: `ServiceTags_Public_YYYYMMDD.json`.
//!
//! ```json
//! {"changeNumber": 352, "cloud": "Public", "values": [
//!   {"name": "AzureContainerRegistry.AustraliaEast", "properties": {"addressPrefixes": ["13.70.72.136/29", ...]}},
//! ]}
//! ```
//!
//! The whole file has to be JSON. Of its tags only those that are asked for are read, so that what the others say keeps
//! nobody from enforcing; fields that are not known are walked over, and those that are absent are not missed unless a tag
//! needs them.

use std::cell::{Cell, OnceCell};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::ServiceTag;
use super::json::{Cursor, Fault, Kind, Str};
use super::prefix;
use super::problem::{PROBLEMS_MAX, Problem, Source, Span, quote};
use super::report::Report;
use super::suggest;
use crate::prefixes::{PrefixSet, read_plain, read_plain_v4};
use crate::special;

/// What every hint about such a file comes down to.
const WRITE_ANEW: &str = "download the file anew; it is published as `ServiceTags_Public_YYYYMMDD.json`";
/// A longer text is no prefix.
const PLAIN_BYTES_MAX: usize = 64;
/// Longest name of a cloud; those that exist have a word.
const CLOUD_BYTES_MAX: usize = 64;

/// A file whose tags have been found, and not been read yet.
pub(super) struct TagFile {
    /// As the user knows it.
    shown: PathBuf,
    text: Arc<str>,
    /// For places in problems: it is made when there is one.
    source: OnceCell<Arc<Source>>,
    pub(super) change_number: Option<u64>,
    pub(super) cloud: Option<String>,
    entries: Vec<Entry>,
    /// The entry of every tag, by its name in lower case.
    by_name: HashMap<String, usize>,
}

/// One of `values`.
struct Entry {
    /// Its place among them.
    index: usize,
    name: String,
    name_range: Range<usize>,
    /// Where `addressPrefixes` stand, if the tag has any.
    prefixes: Option<usize>,
    /// What they are, where they were read on the walk over the file.
    read: Cell<Option<Prefixes>>,
    /// A second entry of this name.
    again: Option<(usize, Range<usize>)>,
}

/// Prefixes of a tag.
#[derive(Default)]
struct Prefixes {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Prefixes {
    /// Walks over a list of prefixes that are all written as nearly all are; `None` for any other list, which takes a
    /// closer look, and where nothing was walked over.
    fn plain(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut prefixes = Self::default();
        let mut behind = cursor.clone();
        let is_whole = behind.strings(|text| {
            let v4 = text.first_chunk().and_then(read_plain_v4);
            let (net, length) = match v4 {
                Some((net, length)) => (IpNet::V4(net), length),
                None => {
                    let mut bytes = text.iter().take(PLAIN_BYTES_MAX);
                    let length = bytes.position(|byte| *byte == b'"')?;
                    (read_plain(&text[..length])?, length)
                }
            };
            if prefix::is_wide(net) || special::of_prefix(net).is_some() {
                return None;
            }
            prefixes.push(net);
            Some(length)
        });
        if !is_whole {
            return None;
        }
        *cursor = behind;
        Some(prefixes)
    }

    fn push(&mut self, net: IpNet) {
        match net {
            IpNet::V4(net) => self.v4.push(net),
            IpNet::V6(net) => self.v6.push(net),
        }
    }
}

/// What is found on the walk over a file.
#[derive(Default)]
struct Found<'w> {
    /// The names of tags, in lower case, whose prefixes are read on the way. Those of all others are passed over, and read
    /// on a second walk if they are asked for.
    wanted: Option<&'w HashSet<String>>,
    change_number: Option<u64>,
    cloud: Option<String>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// Where `values` stand.
    values: Option<(usize, Kind)>,
    /// What keeps the file from being used, with its place: as much of it as anybody is shown.
    wrong: Vec<(Range<usize>, String)>,
    /// How much more there is.
    more_wrong: usize,
}

impl TagFile {
    /// Finds the tags of a file; reports why it is no such file. `shown` is what places in it are called. Of the tags
    /// `wanted`, names in lower case, the prefixes are read at once.
    pub(super) fn open(
        shown: PathBuf,
        text: &Arc<str>,
        wanted: &HashSet<String>,
        report: &mut Report,
    ) -> Option<Self> {
        let mut file = Self {
            shown,
            text: Arc::clone(text),
            source: OnceCell::new(),
            change_number: None,
            cloud: None,
            entries: Vec::new(),
            by_name: HashMap::new(),
        };
        let json = file.json();
        let mut cursor = Cursor::new(json, 0);
        let (message, range) = match cursor.kind() {
            Kind::Object => match Found::of(&mut cursor, wanted) {
                Err(fault) => {
                    file.push_fault(fault, report);
                    return None;
                }
                Ok(found) if !found.wrong.is_empty() => {
                    for (range, message) in found.wrong {
                        file.push(range, message, WRITE_ANEW, report);
                    }
                    report.omit_errors(found.more_wrong);
                    return None;
                }
                Ok(Found { values: None, .. }) => ("the file has no `values`".to_owned(), 0..1),
                Ok(Found {
                    values: Some((at, kind)),
                    ..
                }) if kind != Kind::Array => ("`values` is not an array".to_owned(), at..at + 1),
                Ok(found) => {
                    file.change_number = found.change_number;
                    file.cloud = found.cloud;
                    file.entries = found.entries;
                    file.by_name = found.by_name;
                    return Some(file);
                }
            },
            _ if json.trim_ascii().is_empty() => ("the file is empty".to_owned(), 0..0),
            _ => (
                "the file is not one JSON object".to_owned(),
                cursor.place()..cursor.place() + 1,
            ),
        };
        file.push(range, message, WRITE_ANEW, report);
        None
    }

    /// The text without its byte order mark, as [`Source`] has it.
    fn json(&self) -> &str {
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }

    /// As the user knows it.
    pub(super) fn shown(&self) -> &Path {
        &self.shown
    }

    /// How many tags it has.
    pub(super) fn tag_count(&self) -> usize {
        self.by_name.len()
    }

    fn span(&self, range: Range<usize>) -> Span {
        let source = self.source.get_or_init(|| Source::new(&self.shown, &self.text));
        Span::new(source, range)
    }

    fn push(&self, range: Range<usize>, message: String, hint: impl Into<String>, report: &mut Report) {
        report.push(Problem::error(self.span(range), message).hint(hint));
    }

    fn push_fault(&self, fault: Fault, report: &mut Report) {
        let message = format!("not valid JSON: {}", fault.what);
        self.push(fault.at..fault.at + 1, message, WRITE_ANEW, report);
    }

    /// Whether it has a tag of this name, upper and lower case being the same.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(&name.to_ascii_lowercase())
    }

    /// The tags of whose names `name` may be a slip, the nearest first; otherwise some of the same service.
    pub(super) fn nearest(&self, name: &str) -> Vec<&str> {
        const SHOWN_MAX: usize = 3;
        /// Real files have a few thousand tags, and comparing is not free.
        const COMPARED_MAX: usize = 10_000;
        let names = || {
            let compared = self.entries.iter().take(COMPARED_MAX);
            compared.map(|entry| entry.name.as_str())
        };
        let near = suggest::nearest_few(name, names(), SHOWN_MAX);
        if !near.is_empty() {
            return near;
        }
        let service = service_of(name);
        let same = names().filter(|known| service_of(known).eq_ignore_ascii_case(service));
        same.take(SHOWN_MAX).collect()
    }

    /// The tag `name`, which the file has; `None` once what is wrong with it was reported.
    pub(super) fn tag(&self, name: &str, report: &mut Report) -> Option<ServiceTag> {
        let entry = &self.entries[*self.by_name.get(&name.to_ascii_lowercase())?];
        let errors_before = report.errors();
        if let Some((index, range)) = &entry.again {
            let message = format!("values[{index}].name: the tag `{}` stands twice", entry.name);
            let problem = Problem::error(self.span(range.clone()), message);
            let first = self.span(entry.name_range.clone());
            report.push(problem.related(first, "first here").hint(WRITE_ANEW));
        }
        let Prefixes { v4, v6 } = entry.read.take().unwrap_or_else(|| {
            let mut reader = Reader {
                file: self,
                entry,
                prefixes: Prefixes::default(),
                report,
            };
            let read = reader.read();
            let prefixes = reader.prefixes;
            if let Err(fault) = read {
                self.push_fault(fault, report);
            }
            prefixes
        });
        let count = v4.len() + v6.len();
        let (prefixes, twice) = PrefixSet::counted(v4, v6);
        if count == 0 && report.errors() == errors_before {
            let message = format!(
                "values[{}]: the tag `{}` has no prefixes",
                entry.index, entry.name
            );
            let hint = "nothing would be granted by it; download the file anew, or name another tag";
            self.push(entry.name_range.clone(), message, hint, report);
        }
        if twice > 0 && report.errors() == errors_before {
            let message = format!(
                "values[{}].properties.addressPrefixes: the tag `{}` lists {twice} of its {count} prefixes again",
                entry.index, entry.name
            );
            let problem = Problem::warning(self.span(entry.name_range.clone()), message);
            report.push(problem.hint("nothing has to be done: each counts once"));
        }
        (report.errors() == errors_before).then(|| ServiceTag {
            name: entry.name.clone(),
            file: self.shown.clone(),
            prefixes,
        })
    }
}

/// `AzureContainerRegistry` of `AzureContainerRegistry.AustraliaEast`.
pub(super) fn service_of(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

impl<'w> Found<'w> {
    fn of(cursor: &mut Cursor<'_>, wanted: &'w HashSet<String>) -> Result<Self, Fault> {
        let mut found = Self {
            wanted: Some(wanted),
            ..Self::default()
        };
        cursor.members(|cursor, key| match &*key.value() {
            "changeNumber" => found.change_number(cursor),
            "cloud" => found.cloud(cursor),
            "values" => found.values(cursor),
            _ => cursor.skip().map(drop),
        })?;
        cursor.end()?;
        Ok(found)
    }

    /// What is no number is not missed.
    fn change_number(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let mut at = cursor.clone();
        self.change_number = match at.kind() {
            Kind::String => at.string()?.value().parse().ok(),
            _ => cursor.clone().number(),
        };
        cursor.skip().map(drop)
    }

    /// What is no word is not missed: it is shown in reports.
    fn cloud(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        if cursor.kind() != Kind::String {
            return cursor.skip().map(drop);
        }
        let cloud = cursor.string()?.value().into_owned();
        let is_word = cloud
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        self.cloud = (is_word && !cloud.is_empty() && cloud.len() <= CLOUD_BYTES_MAX).then_some(cloud);
        Ok(())
    }

    fn values(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let kind = cursor.kind();
        self.values = Some((cursor.place(), kind));
        if kind != Kind::Array {
            return cursor.skip().map(drop);
        }
        let mut index = 0;
        cursor.items(|cursor| {
            let start = cursor.place();
            if cursor.kind() == Kind::Object {
                self.value(index, cursor)?;
            } else {
                self.wrong(start..start + 1, || format!("values[{index}] is not an object"));
                cursor.skip()?;
            }
            index += 1;
            Ok(())
        })
    }

    /// One of `values`. One without a name can not be asked for.
    fn value(&mut self, index: usize, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let (mut name, mut prefixes, mut read) = (None, None, None);
        cursor.members(|cursor, key| match &*key.value() {
            "name" => {
                if cursor.kind() == Kind::String {
                    name = Some(cursor.string()?);
                } else {
                    let range = cursor.skip()?;
                    self.wrong(range, || format!("values[{index}].name is not a string"));
                }
                Ok(())
            }
            "properties" if cursor.kind() == Kind::Object => cursor.members(|cursor, key| {
                if key.value() == "addressPrefixes" && cursor.kind() != Kind::Null {
                    prefixes = Some(cursor.place());
                    // The name stands before, in files as they are published.
                    read = name.as_ref().and_then(|name| self.read(name, cursor));
                    if read.is_some() {
                        return Ok(());
                    }
                }
                cursor.skip().map(drop)
            }),
            _ => cursor.skip().map(drop),
        })?;
        if let Some(name) = name {
            self.keep(index, &name, prefixes, read);
        }
        Ok(())
    }

    /// The prefixes that stand here, of the tag `name`, if they are wanted and easily read.
    fn read(&self, name: &Str<'_>, cursor: &mut Cursor<'_>) -> Option<Prefixes> {
        let is_wanted = self.wanted?.contains(&name.value().to_ascii_lowercase());
        if is_wanted { Prefixes::plain(cursor) } else { None }
    }

    fn wrong(&mut self, range: Range<usize>, what: impl FnOnce() -> String) {
        if self.wrong.len() < PROBLEMS_MAX {
            self.wrong.push((range, what()));
        } else {
            self.more_wrong += 1;
        }
    }

    fn keep(&mut self, index: usize, name: &Str<'_>, prefixes: Option<usize>, read: Option<Prefixes>) {
        let text = name.value();
        let next = self.entries.len();
        match self.by_name.entry(text.to_ascii_lowercase()) {
            std::collections::hash_map::Entry::Occupied(known) => {
                let entry = &mut self.entries[*known.get()];
                entry.again.get_or_insert((index, name.range.clone()));
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(next);
                self.entries.push(Entry {
                    index,
                    name: text.into_owned(),
                    name_range: name.range.clone(),
                    prefixes,
                    read: Cell::new(read),
                    again: None,
                });
            }
        }
    }
}

/// One tag that is being read.
struct Reader<'a> {
    file: &'a TagFile,
    entry: &'a Entry,
    prefixes: Prefixes,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), Fault> {
        let Some(at) = self.entry.prefixes else {
            return Ok(());
        };
        let mut cursor = Cursor::new(self.file.json(), at);
        if cursor.kind() != Kind::Array {
            let range = cursor.skip()?;
            let message = format!(
                "values[{}].properties.addressPrefixes is not an array",
                self.entry.index
            );
            self.file.push(range, message, WRITE_ANEW, self.report);
            return Ok(());
        }
        let mut number = 0;
        cursor.items(|cursor| {
            if cursor.kind() == Kind::String {
                let text = cursor.string()?;
                self.prefix(number, &text);
            } else {
                let range = cursor.skip()?;
                self.wrong(number, range, "this is not a string", WRITE_ANEW);
            }
            number += 1;
            Ok(())
        })
    }

    fn prefix(&mut self, number: usize, text: &Str<'_>) {
        let value = text.value();
        let net = match read_plain(value.as_bytes()) {
            Some(net) => net,
            None => match prefix::parse(&value) {
                Ok(net) => net,
                // Nobody would see the words of one more.
                Err(_) if self.report.is_full() => return self.wrong(number, text.range.clone(), "", ""),
                Err(error) => {
                    let (message, hint) = (error.to_string(), error.hint());
                    return self.wrong(number, text.range.clone(), &message, &hint);
                }
            },
        };
        if prefix::is_wide(net) {
            let what = format!("`{net}` has addresses that anybody can have, and belongs to no service");
            return self.wrong(number, text.range.clone(), &what, WRITE_ANEW);
        }
        if let Some(why) = special::of_prefix(net) {
            let what = format!("`{net}` is no place of a service: {why}");
            let hint = "download the file anew; what is meant is granted as such: `prefix = [...]` in an `[[allow]]`";
            return self.wrong(number, text.range.clone(), &what, hint);
        }
        self.prefixes.push(net);
    }

    fn wrong(&mut self, number: usize, range: Range<usize>, what: &str, hint: &str) {
        let index = self.entry.index;
        let tag = quote(&self.entry.name);
        let message = format!("values[{index}].properties.addressPrefixes[{number}] of {tag}: {what}");
        self.file.push(range, message, hint, self.report);
    }
}
