//! `server_name` of a prefix rule: which names sessions to its addresses must carry.

use std::collections::{BTreeMap, HashMap};

use super::Names;
use super::claim::Asked;
use super::document::{Section, Text};
use super::lower::Context;
use super::lower_allow::{self, is_empty_array};
use super::problem::quote;
use super::report::Report;
use super::risk::Risk;
use super::suggest;
use crate::names::NameRule;

/// Most different lists of server names in one configuration: the kernel keeps the lists that a name is in as one
/// word, of which one bit stands for the names of the policy.
pub const LISTS_MAX: usize = 63;

const KEY: &str = "server_name";
const REQUIRE: &str = "require";

/// The lists of server names of one configuration, each once.
#[derive(Default)]
pub(super) struct Lists {
    number_of: HashMap<Vec<NameRule>, usize>,
}

impl Lists {
    /// The number of a list, which is ascending; how many there are with it where it is one too many.
    fn number(&mut self, names: &[NameRule]) -> Result<usize, usize> {
        let next = self.number_of.len();
        let number = *self.number_of.entry(names.to_vec()).or_insert(next);
        if number < LISTS_MAX {
            Ok(number)
        } else {
            Err(number + 1)
        }
    }
}

/// What `server_name` says, `None` where it is wrong. Without the key, no name is asked for.
pub(super) fn read(section: &Section<'_>, risk: &mut Risk, context: &mut Context<'_>) -> Option<Names> {
    let Some(value) = section.get(KEY) else {
        return Some(Names::Any);
    };
    let texts = section.texts(KEY, "[\"a.example.com\", \"*.b.example.com\"]", context.report)?;
    if is_empty_array(value) {
        let problem = context
            .report
            .error(&section.key_span(KEY), format!("`{KEY}` is an empty list"));
        context.report.push(problem.hint(
            "name the hosts that are reached there, or write `\"require\"` for the names of the other rules",
        ));
        return None;
    }
    if let [text] = &texts[..]
        && text.value == REQUIRE
    {
        return Some(Names::OfThePolicy);
    }
    let mut first_of: BTreeMap<NameRule, Text<'_>> = BTreeMap::new();
    let mut is_whole = true;
    for text in texts {
        let name = if is_word(&text, context.report) {
            None
        } else {
            lower_allow::name_rule(&text, risk, context)
        };
        match name {
            None => is_whole = false,
            Some(name) => match first_of.get(&name) {
                None => {
                    first_of.insert(name, text);
                }
                Some(first) => {
                    let problem = context.report.error(&text.span, format!("`{name}` stands twice"));
                    let related = context.report.span(&first.span);
                    context.report.push(
                        problem
                            .related(related, "first here")
                            .hint("take one of the two away"),
                    );
                }
            },
        }
    }
    covered(&first_of, context.report);
    let names: Vec<NameRule> = first_of.into_keys().collect();
    (is_whole && !names.is_empty()).then_some(Names::List(names))
}

/// What claims say about `names`, which stand at `key`. Reports a list that is one too many.
pub(super) fn asked(names: &Names, section: &Section<'_>, key: &str, context: &mut Context<'_>) -> Asked {
    let names = match names {
        Names::Any => return Asked::Nothing,
        Names::OfThePolicy => return Asked::OfThePolicy,
        Names::List(names) => names,
    };
    match context.lists.number(names) {
        Ok(number) => Asked::List(number),
        Err(count) => {
            let problem = context.report.error(
                &section.key_span(key),
                format!("{count} different lists of server names, {LISTS_MAX} are the most"),
            );
            context
                .report
                .push(problem.hint("rules with the same list share it: give several rules one list"));
            Asked::List(count)
        }
    }
}

/// Reports a word that is no name but was meant to say something.
fn is_word(text: &Text<'_>, report: &mut Report) -> bool {
    let shown = quote(text.value);
    let (message, hint) = match text.value {
        REQUIRE => (
            format!("{shown} means the names of the policy, and stands alone"),
            "take it out of the list, or all others".to_owned(),
        ),
        "off" | "any" | "all" | "none" | "*" | "false" => (
            format!("{shown} is no server name"),
            format!("without `{KEY}` no name is asked for at a prefix: take the key away if that is meant"),
        ),
        word if !word.contains('.') && suggest::nearest(word, [REQUIRE]).is_some() => (
            format!("{shown} is no server name"),
            format!("did you mean `\"{REQUIRE}\"`?"),
        ),
        _ => return false,
    };
    report.push(report.error(&text.span, message).hint(hint));
    true
}

/// Reports names that a pattern of the same list covers.
fn covered(names: &BTreeMap<NameRule, Text<'_>>, report: &mut Report) {
    for (name, text) in names {
        let host = match name {
            NameRule::Name(name) => name,
            NameRule::Pattern(pattern) => pattern.suffix(),
        };
        let covering = lower_allow::patterns_over(host)
            .find_map(|pattern| names.get_key_value(&NameRule::Pattern(pattern)));
        if let Some((covering, covering_text)) = covering {
            let problem = report.warning(&text.span, format!("`{name}` is already covered by `{covering}`"));
            let related = report.span(&covering_text.span);
            report.push(
                problem
                    .related(related, "covers it")
                    .hint("take it away, or the pattern if that was not meant"),
            );
        }
    }
}
