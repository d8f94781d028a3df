//! Plans from data to text, and the comparison against a naive one.

mod diff;
mod shown;

use super::*;
use crate::config::RuleId;
use crate::endpoints::{Condition, Scopes};
use crate::names::NameRule;

fn range(first: &str, last: &str, rule: u32) -> Range {
    Range {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        rule: RuleId(rule),
        condition: Condition::POLICY,
    }
}

fn granted(text: &str, scopes: u64) -> GrantedName {
    let name = match DomainPattern::parse(text) {
        Ok(pattern) => NameRule::Pattern(pattern),
        Err(_) => NameRule::Name(name(text)),
    };
    GrantedName {
        name,
        scopes: Scopes::from_bits(scopes),
    }
}

fn under(condition: Condition, range: Range) -> Range {
    Range { condition, ..range }
}

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}
