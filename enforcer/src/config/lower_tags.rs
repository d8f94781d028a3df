//! `service_tag` and `sanity_tag`: tags by their names, out of the files that have them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Section, Text};
use super::lower::Context;
use super::lower_allow::is_empty_array;
use super::problem::quote;
use super::report::Report;
use super::tag_file::TagFile;
use super::{SERVICE_TAGS_BYTES_MAX, ServiceTag, TagFileSummary};

/// What names a file of service tags, for hints.
const EXAMPLE: &str = "\"ServiceTags_Public.json\"";

/// The files of service tags of one configuration, and what was read of them.
#[derive(Default)]
pub(super) struct Tags {
    /// `file` of `[service_tags]`.
    default: Option<PathBuf>,
    /// By their paths as the configuration has them; `None` for one that can not be used.
    files: HashMap<PathBuf, Option<TagFile>>,
    /// By file and name in lower case; `None` for one that can not be used.
    tags: HashMap<(PathBuf, String), Option<Arc<ServiceTag>>>,
    /// The paths of the files, in the order in which they were needed.
    order: Vec<PathBuf>,
}

impl Tags {
    /// With the table `[service_tags]`, if there is one.
    pub(super) fn new(section: Option<&Section<'_>>, report: &mut Report) -> Self {
        let default = section.and_then(|section| {
            if section.get("file").is_none() {
                let problem =
                    report.error(&section.span, "`[service_tags]` does not say which file has them");
                report.push_missing(problem.hint(format!("write `file = {EXAMPLE}`")));
            }
            section.text("file", EXAMPLE, report)
        });
        Self {
            default: default.map(|text| PathBuf::from(text.value)),
            ..Self::default()
        }
    }

    /// What is known of the files that were read.
    pub(super) fn summaries(&self) -> Vec<TagFileSummary> {
        let used = self
            .order
            .iter()
            .filter_map(|path| self.files.get(path)?.as_ref());
        used.map(|file| TagFileSummary {
            file: file.shown().to_owned(),
            change_number: file.change_number,
            cloud: file.cloud.clone(),
            tags: file.tag_count(),
        })
        .collect()
    }
}

/// The tags that `key` names, each once; `None` where something is wrong with any of them.
pub(super) fn read(
    section: &Section<'_>,
    key: &'static str,
    context: &mut Context<'_>,
) -> Option<Vec<(Arc<ServiceTag>, std::ops::Range<usize>)>> {
    let value = section.get(key)?;
    let texts = section.texts(key, "\"AzureContainerRegistry.AustraliaEast\"", context.report)?;
    if is_empty_array(value) {
        let problem = context
            .report
            .error(&section.key_span(key), format!("`{key}` is an empty list"));
        context
            .report
            .push(problem.hint(format!("write a tag, as in `{key} = \"AzureContainerRegistry\"`")));
        return None;
    }
    let path = file(section, key, context)?;
    let wanted = texts.iter().map(|text| text.value.to_ascii_lowercase()).collect();
    let mut first_of: HashMap<String, Text<'_>> = HashMap::new();
    let mut tags = Vec::with_capacity(texts.len());
    let mut is_whole = true;
    for text in texts {
        let name = text.value.to_ascii_lowercase();
        if let Some(first) = first_of.get(&name) {
            let message = format!("{} stands twice", quote(text.value));
            let problem = context.report.error(&text.span, message);
            let related = context.report.span(&first.span);
            context.report.push(
                problem
                    .related(related, "first here")
                    .hint("take one of the two away"),
            );
            continue;
        }
        match tag(&path, &name, &text, &wanted, section, context) {
            Some(tag) => tags.push((tag, text.span.clone())),
            None => is_whole = false,
        }
        first_of.insert(name, text);
    }
    is_whole.then_some(tags)
}

/// The path of the file for `key`, as the configuration has it.
fn file(section: &Section<'_>, key: &str, context: &mut Context<'_>) -> Option<PathBuf> {
    if section.get("file").is_some() {
        let text = section.text("file", EXAMPLE, context.report)?;
        return Some(PathBuf::from(text.value));
    }
    if context.tags.default.is_none() {
        let problem = context.report.error(
            &section.key_span(key),
            format!("`{key}` needs a file of service tags"),
        );
        context.report.push_missing(problem.hint(format!(
            "write `file = {EXAMPLE}` beside it, or once for all rules below `[service_tags]`"
        )));
    }
    context.tags.default.clone()
}

/// Reports a `file` that stands beside none of the keys that need it.
pub(super) fn refuse_file(section: &Section<'_>, key: &str, report: &mut Report) {
    if section.get("file").is_some() && section.get(key).is_none() {
        let problem = report.error(
            &section.key_span("file"),
            format!("`file` has no meaning without `{key}`"),
        );
        let example = "AzureContainerRegistry.AustraliaEast";
        report.push(problem.hint(format!(
            "name a tag that is in it: `{key} = \"{example}\"`, or take the key away"
        )));
    }
}

fn tag(
    path: &Path,
    name: &str,
    text: &Text<'_>,
    wanted: &HashSet<String>,
    section: &Section<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<ServiceTag>> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || !name.bytes().all(is_name) {
        let problem = context.report.error(
            &text.span,
            format!("{} can not be the name of a service tag", quote(text.value)),
        );
        context.report.push(
            problem
                .hint("a tag is a service, or one with its region: `AzureContainerRegistry.AustraliaEast`"),
        );
        return None;
    }
    let id = (path.to_owned(), name.to_owned());
    if let Some(known) = context.tags.tags.get(&id) {
        return known.clone();
    }
    if !context.tags.files.contains_key(path) {
        let opened = open(path, text, wanted, section, context);
        context.tags.files.insert(path.to_owned(), opened);
        context.tags.order.push(path.to_owned());
    }
    // What is wrong with the file has been reported when it was opened.
    let file = context.tags.files.get(path)?.as_ref()?;
    if !file.has(name) {
        unknown(file, text, context.report);
        return None;
    }
    let tag = file.tag(name, context.report).map(Arc::new);
    context.tags.tags.insert(id, tag.clone());
    tag
}

fn open(
    path: &Path,
    text: &Text<'_>,
    wanted: &HashSet<String>,
    section: &Section<'_>,
    context: &mut Context<'_>,
) -> Option<TagFile> {
    match context.files.read(path, SERVICE_TAGS_BYTES_MAX) {
        Ok(content) => TagFile::open(context.folder.join(path), &content, wanted, context.report),
        Err(error) => {
            let span = section
                .get("file")
                .map_or_else(|| text.span.clone(), |value| value.span());
            let shown = quote(&path.to_string_lossy());
            let problem = context
                .report
                .error(&span, format!("can not read {shown}: {error}"));
            context.report.push(problem.hint(
                "download it; it is published every week as `ServiceTags_Public_YYYYMMDD.json`; its path is relative to \
                 this file's folder",
            ));
            None
        }
    }
}

fn unknown(file: &TagFile, text: &Text<'_>, report: &mut Report) {
    let problem = report.error(
        &text.span,
        format!(
            "`{}` has no service tag {}",
            file.shown().display(),
            quote(text.value)
        ),
    );
    if report.is_full() {
        // Looking for the nearest is not free, and nobody would see it.
        return report.push(problem);
    }
    let near: Vec<String> = file.nearest(text.value).into_iter().map(quote).collect();
    report.push(problem.hint(match &near[..] {
        [] => format!("it has {} others; look for `\"name\"` in it", file.tag_count()),
        [one] => format!("did you mean {one}?"),
        [some @ .., last] => format!("did you mean {} or {last}?", some.join(", ")),
    }));
}
