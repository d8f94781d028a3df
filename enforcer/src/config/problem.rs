//! What is wrong with a configuration, with its place, and how that looks to a person.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};

use super::Place;

/// Most problems that are kept of one configuration; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// Most bytes of an excerpt. Two places further apart get one each; a longer line is not shown.
const EXCERPT_BYTES_MAX: usize = 8 * 1024;

/// The text of one file, and where its lines start.
#[derive(Debug)]
pub struct Source {
    file: PathBuf,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// The text of `file`, which is named as the user should see it. A byte order mark is left out: no editor counts it.
    #[must_use]
    pub fn new(file: &Path, text: &str) -> Arc<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Arc::new(Self {
            file: file.to_owned(),
            text: text.to_owned(),
            line_starts,
        })
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file as the user named it.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, from 0, that the byte at `offset` is on.
    pub(super) fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset) - 1
    }

    /// The offset of the first byte of a line, counted from 0; the end of the text behind the last line.
    pub(super) fn line_start(&self, line_index: usize) -> usize {
        self.line_starts
            .get(line_index)
            .copied()
            .unwrap_or(self.text.len())
    }

    /// The nearest character boundary at or before `offset`, inside the text.
    pub(super) fn clamp(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }
}

/// A range of bytes of a [`Source`].
#[derive(Clone, Debug)]
pub struct Span {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Span {
    /// The part `range` of `source`, cut to what the text has.
    #[must_use]
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        let start = source.clamp(range.start);
        let end = source.clamp(range.end).max(start);
        Self {
            source: Arc::clone(source),
            range: start..end,
        }
    }

    /// The file, line and column of its first character.
    #[must_use]
    pub fn place(&self) -> Place {
        let line_index = self.source.line_index(self.range.start);
        let line_start = self.source.line_start(line_index);
        Place {
            file: self.source.file.clone(),
            line: line_index + 1,
            column: self.source.text[line_start..self.range.start].chars().count() + 1,
        }
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Offset of the first byte.
    pub(super) fn start(&self) -> usize {
        self.range.start
    }
}

/// Whether a problem makes the configuration unusable.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used; what it says may not be what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem of a configuration.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What stands beside the caret, if anything.
    pub label: Option<String>,
    /// Another place that it has to do with (the first of two duplicates), and what that place is.
    pub related: Option<(Span, String)>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem that makes the configuration unusable.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            label: None,
            related: None,
            hint: None,
        }
    }

    /// A problem that does not.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    /// Adds words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place that it has to do with.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// The problem as a compiler shows one: message, place, the line itself with a caret, and the hint.
    ///
    /// With `styled`, ANSI colours are part of the text; print it through `anstream`, which takes them out again
    /// where they do not belong.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut parts = vec![Part {
            span: &self.span,
            label: self.label.as_deref(),
            kind: AnnotationKind::Primary,
        }];
        let context = self.related.as_ref().map(|(span, label)| Part {
            span,
            label: Some(label),
            kind: AnnotationKind::Context,
        });
        let is_near = |part: &Part<'_>| {
            Arc::ptr_eq(&part.span.source, &self.span.source)
                && part.span.range.start.abs_diff(self.span.range.start) <= EXCERPT_BYTES_MAX / 2
        };
        parts.extend(context.filter(is_near));
        let mut group = level.primary_title(&self.message).element(excerpt(&parts));
        if let Some(part) = context.filter(|part| !is_near(part)) {
            group = group.element(excerpt(&[part]));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint));
        }
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }
}

/// A place in an excerpt.
#[derive(Clone, Copy)]
struct Part<'a> {
    span: &'a Span,
    label: Option<&'a str>,
    kind: AnnotationKind,
}

/// The lines that the parts, which are of one source, stand on.
///
/// The renderer walks all of the text that it gets, so it gets no more than these; of lines that are too long to be
/// shown, only the place of the first part.
fn excerpt<'a>(parts: &[Part<'a>]) -> Element<'a> {
    let first = parts[0].span;
    let source = &*first.source;
    let starts = parts.iter().map(|part| part.span.range.start);
    let ends = parts.iter().map(|part| part.span.range.end);
    let first_line = source.line_index(starts.min().unwrap_or_default());
    let last_line = source.line_index(ends.max().unwrap_or_default());
    let bytes = source.line_start(first_line)..source.line_start(last_line + 1);
    let path = source.file.to_string_lossy();
    if bytes.len() > EXCERPT_BYTES_MAX {
        let Place { line, column, .. } = first.place();
        return Origin::path(path).line(line).char_column(column).into();
    }
    let annotations = parts.iter().map(|part| {
        let range = part.span.range.start - bytes.start..part.span.range.end - bytes.start;
        part.kind.span(range).label(part.label)
    });
    Snippet::source(&source.text[bytes.clone()])
        .path(path)
        .line_start(first_line + 1)
        .annotations(annotations)
        .into()
}

/// `text` between backquotes, on one line, and no longer than a message can bear.
pub(super) fn quote(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut out = String::from("`");
    for character in text.chars().take(SHOWN_CHARS_MAX) {
        if character.is_control() {
            // Writing to a String can not fail.
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}
