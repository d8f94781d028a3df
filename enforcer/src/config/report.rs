//! Collects the problems of one configuration while it is read.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::problem::{PROBLEMS_MAX, Problem, Severity, Source, Span};

/// Every problem so far, in the order they were found.
pub(super) struct Report {
    source: Arc<Source>,
    problems: Vec<Problem>,
    omitted: usize,
    errors: usize,
    /// Lines, from 0, of the configuration on which its syntax is broken.
    broken_lines: BTreeSet<usize>,
    /// The line, from 0, from which on nothing can be believed.
    broken_from: usize,
}

impl Report {
    pub(super) fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            problems: Vec::new(),
            omitted: 0,
            errors: 0,
            broken_lines: BTreeSet::new(),
            broken_from: usize::MAX,
        }
    }

    /// The text of the configuration.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The place `range` of the configuration.
    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        Span::new(&self.source, range.clone())
    }

    /// An error at `range` of the configuration, to be refined and pushed.
    pub(super) fn error(&self, range: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::error(self.span(range), message)
    }

    /// A warning at `range` of the configuration, to be refined and pushed.
    pub(super) fn warning(&self, range: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::warning(self.span(range), message)
    }

    /// Adds a problem, unless its line is one that could not be read anyway.
    pub(super) fn push(&mut self, problem: Problem) {
        let line = self.source.line_index(problem.span.start());
        let is_broken = line >= self.broken_from || self.broken_lines.contains(&line);
        if !(is_broken && Arc::ptr_eq(problem.span.source(), &self.source)) {
            self.keep(problem);
        }
    }

    /// Adds that something is missing. What is missing may be what could not be read: says nothing then.
    pub(super) fn push_missing(&mut self, problem: Problem) {
        if self.broken_lines.is_empty() {
            self.keep(problem);
        }
    }

    /// Adds that the syntax is broken, once a line.
    pub(super) fn push_syntax(&mut self, problem: Problem) {
        if self
            .broken_lines
            .insert(self.source.line_index(problem.span.start()))
        {
            self.keep(problem);
        }
    }

    /// As [`Report::push_syntax`], where what follows in the text can not be told apart from it.
    pub(super) fn push_syntax_to_the_end(&mut self, problem: Problem) {
        self.broken_from = self.source.line_index(problem.span.start());
        self.push_syntax(problem);
    }

    fn keep(&mut self, problem: Problem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        if self.is_full() {
            self.omitted += 1;
        } else {
            self.problems.push(problem);
        }
    }

    /// Counts errors that nobody would be shown, after as many as anybody is.
    pub(super) fn omit_errors(&mut self, count: usize) {
        self.errors += count;
        self.omitted += count;
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// How many errors there are, those that are not kept included.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The problems in the order of the text, those of other files last, and how many more there are.
    pub(super) fn finish(mut self) -> (Vec<Problem>, usize) {
        let own = &self.source;
        self.problems.sort_by(|left, right| {
            let key = |problem: &Problem| {
                let source = problem.span.source();
                (
                    !Arc::ptr_eq(source, own),
                    source.file().to_owned(),
                    problem.span.start(),
                )
            };
            key(left).cmp(&key(right))
        });
        (self.problems, self.omitted)
    }
}
