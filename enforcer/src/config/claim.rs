//! What the rules of a file claim, and where they stand in each other's way.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use ipnet::IpNet;

use super::login_server::LoginServer;
use super::lower_allow::patterns_over;
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
    Prefix(IpNet, Asked),
    /// A service tag of a file.
    Tag(PathBuf, String, Asked),
}

/// Which server names a rule asks for at its prefixes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Asked {
    /// None.
    Nothing,
    /// Those of the policy.
    OfThePolicy,
    /// Those of a list, which has this number.
    List(usize),
}

impl Claimed {
    fn words(&self) -> String {
        match self {
            Self::Registry(login_server) => format!("the registry `{login_server}`"),
            Self::Mcr => "the Microsoft Container Registry".into(),
            Self::Name(name) => format!("`{name}`"),
            Self::Pattern(pattern) => format!("`{pattern}`"),
            Self::Prefix(prefix, _) => format!("`{prefix}`"),
            Self::Tag(_, name, _) => format!("the service tag `{name}`"),
        }
    }
}

/// Reports duplicates, patterns that a pattern covers, and prefixes inside others.
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
    covered_patterns(&distinct, &first_of, report);
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

/// Reports patterns that lie under another. A name under a pattern is none: it brings the addresses that a pattern lacks.
fn covered_patterns(claims: &[&Claim], first_of: &HashMap<&Claimed, &Claim>, report: &mut Report) {
    for claim in claims {
        let Claimed::Pattern(pattern) = &claim.what else {
            continue;
        };
        let covering = patterns_over(pattern.suffix())
            .map(Claimed::Pattern)
            .find_map(|covering| first_of.get(&covering));
        if let Some(covering) = covering {
            let problem = Problem::warning(
                claim.span.clone(),
                format!(
                    "{} is already covered by {}",
                    claim.what.words(),
                    covering.what.words()
                ),
            );
            report.push(
                problem
                    .related(covering.span.clone(), "covers it")
                    .hint("take the narrower pattern away, or the wider one if it was not meant"),
            );
        }
    }
}

/// Reports prefixes that change nothing because of what is around them.
fn nested_prefixes(claims: &[&Claim], report: &mut Report) {
    let mut prefixes: Vec<(IpNet, Asked, &Span)> = claims
        .iter()
        .filter_map(|claim| match claim.what {
            Claimed::Prefix(prefix, asked) => Some((prefix, asked, &claim.span)),
            _ => None,
        })
        .collect();
    // An outer prefix sorts before those inside it, and of equal ones that which asks for nothing comes first.
    prefixes.sort_by_key(|(prefix, asked, _)| (prefix.network(), prefix.prefix_len(), *asked));
    let mut around: Vec<(IpNet, Asked, &Span)> = Vec::new();
    for (prefix, asked, span) in prefixes {
        while around.pop_if(|(outer, _, _)| !outer.contains(&prefix)).is_some() {}
        // A prefix with other names than those around it adds its own; one that asks for nothing is an exception.
        let free = around.iter().rev().find(|(_, outer, _)| *outer == Asked::Nothing);
        let same = || around.iter().rev().find(|(_, outer, _)| *outer == asked);
        if let Some((outer, outer_asked, outer_span)) = free.or_else(same) {
            let (message, label, hint) = if *outer_asked == asked {
                (
                    format!("`{prefix}` lies inside `{outer}`"),
                    "already let through here",
                    "take the inner prefix away, or make the outer one smaller",
                )
            } else {
                (
                    format!("the server names at `{prefix}` mean nothing: none is asked for at `{outer}`"),
                    "let through under any name here",
                    "give that rule a `server_name` too, or take these addresses out of it",
                )
            };
            let problem = Problem::warning(span.clone(), message);
            report.push(problem.related((*outer_span).clone(), label).hint(hint));
        }
        around.push((prefix, asked, span));
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
