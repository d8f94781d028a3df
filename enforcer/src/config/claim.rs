//! What the rules of a file claim, and where they stand in each other's way.

use std::collections::HashMap;
use std::ops::Range;

use ipnet::IpNet;

use super::login_server::LoginServer;
use super::problem::{Problem, Span};
use super::report::Report;
use crate::names::{DomainPattern, ServerName};

/// One thing that a rule names, with its place.
pub(super) struct Claim {
    pub(super) what: Claimed,
    pub(super) span: Span,
    /// What it lets through besides: the endpoints of a registry.
    pub(super) implied: Vec<Claimed>,
}

/// What a rule can name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Claimed {
    Registry(LoginServer),
    Mcr,
    Name(ServerName),
    Pattern(DomainPattern),
    Prefix(IpNet),
}

impl Claimed {
    fn words(&self) -> String {
        match self {
            Self::Registry(login_server) => format!("the registry `{login_server}`"),
            Self::Mcr => "the Microsoft Container Registry".into(),
            Self::Name(name) => format!("`{name}`"),
            Self::Pattern(pattern) => format!("`{pattern}`"),
            Self::Prefix(prefix) => format!("`{prefix}`"),
        }
    }
}

/// Reports duplicates, names that a pattern covers, and prefixes inside others.
pub(super) fn check(claims: &[Claim], report: &mut Report) {
    let mut first_of: HashMap<&Claimed, &Claim> = HashMap::with_capacity(claims.len());
    let mut distinct: Vec<&Claim> = Vec::with_capacity(claims.len());
    for claim in claims {
        if let Some(first) = first_of.get(&claim.what) {
            let problem = Problem::error(claim.span.clone(), format!("{} stands twice", claim.what.words()));
            report.push(
                problem
                    .related(first.span.clone(), "first here")
                    .hint("keep one of the two; put what they say into it"),
            );
        } else {
            first_of.insert(&claim.what, claim);
            distinct.push(claim);
        }
    }
    implied_again(&distinct, report);
    covered_names(&distinct, &first_of, report);
    nested_prefixes(&distinct, report);
}

/// Reports what stands in an `[[allow]]` although a `[[registry]]` means it already.
fn implied_again(claims: &[&Claim], report: &mut Report) {
    let mut implied_by: HashMap<&Claimed, &Claim> = HashMap::new();
    for claim in claims {
        for implied in &claim.implied {
            implied_by.entry(implied).or_insert(claim);
        }
    }
    for claim in claims {
        if let Some(registry) = implied_by.get(&claim.what) {
            let message = format!(
                "{} is already let through by its `[[registry]]`",
                claim.what.words()
            );
            let problem =
                Problem::warning(claim.span.clone(), message).related(registry.span.clone(), "here");
            report.push(problem.hint("take this rule away"));
        }
    }
}

fn covered_names(claims: &[&Claim], first_of: &HashMap<&Claimed, &Claim>, report: &mut Report) {
    for claim in claims {
        let (name, pattern) = match &claim.what {
            Claimed::Name(name) => (name, None),
            Claimed::Pattern(pattern) => (pattern.suffix(), Some(pattern)),
            _ => continue,
        };
        // Every suffix of the name that a pattern may have; a name has at most 127 labels.
        let covering = name
            .as_str()
            .match_indices('.')
            .filter_map(|(at, _)| ServerName::parse(&name.as_str()[at + 1..]).ok())
            .map(|suffix| Claimed::Pattern(DomainPattern::below(suffix)))
            .find_map(|covering| first_of.get(&covering));
        let hint = match pattern {
            None => "patterns are not enforced by this version, so the name is needed until they are",
            Some(_) => "take the narrower pattern away, or the wider one if it was not meant",
        };
        if let Some(covering) = covering {
            let problem = Problem::warning(
                claim.span.clone(),
                format!(
                    "{} is already covered by {}",
                    claim.what.words(),
                    covering.what.words()
                ),
            );
            report.push(problem.related(covering.span.clone(), "covers it").hint(hint));
        }
    }
}

fn nested_prefixes(claims: &[&Claim], report: &mut Report) {
    let mut prefixes: Vec<(IpNet, &Span)> = claims
        .iter()
        .filter_map(|claim| match claim.what {
            Claimed::Prefix(prefix) => Some((prefix, &claim.span)),
            _ => None,
        })
        .collect();
    // An outer prefix sorts before those inside it.
    prefixes.sort_by_key(|(prefix, _)| (prefix.network(), prefix.prefix_len()));
    let mut around: Vec<(IpNet, &Span)> = Vec::new();
    for (prefix, span) in prefixes {
        while around.pop_if(|(outer, _)| !outer.contains(&prefix)).is_some() {}
        if let Some((outer, outer_span)) = around.last() {
            let problem = Problem::warning(span.clone(), format!("`{prefix}` lies inside `{outer}`"));
            report.push(
                problem
                    .related((*outer_span).clone(), "already let through here")
                    .hint("take the inner prefix away, or make the outer one smaller"),
            );
        }
        around.push((prefix, span));
    }
}

/// The claim of something at `range` of the configuration.
pub(super) fn claim(what: Claimed, range: &Range<usize>, report: &Report) -> Claim {
    Claim {
        what,
        span: report.span(range),
        implied: Vec::new(),
    }
}
