//! From a configuration to the endpoints it means: names, patterns and prefixes, each with the rule it came from.
//!
//! This room does no I/O, reads no clock and knows neither tokio nor aya.

mod scope;
mod tags;

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::{
    Config, MCR_DATA_SUFFIX, MCR_LOGIN_SERVER, Names, Registry, Rule, RuleId, RuleKind, ServerNames,
    ServiceTag, Upstream, is_loopback,
};
use crate::names::{DomainPattern, NameRule, ServerName};
use crate::resolve::{Question, Sanity};

pub use scope::{Asked, Condition, GrantedName, Scope, Scopes, granted_names};
pub use tags::{OpenTag, open_tags};

/// One thing that the policy lets through, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The rule it came from.
    pub rule: RuleId,
    /// What it is to the rule.
    pub role: Role,
    /// What is let through.
    pub target: Target,
    /// What is asked of sessions to its addresses.
    pub condition: Condition,
}

/// What an endpoint is to its rule; shown by `plan`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Authentication, manifests and pushes.
    LoginServer,
    /// Layers.
    DataEndpoint,
    /// The login server of one region.
    RegionalLoginServer,
    /// The bare name of the registry domain, which its certificate carries.
    CertificateName,
    /// Named by an `[[allow]]`.
    Allowed,
}

impl Role {
    /// The role in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::LoginServer => "login server",
            Self::DataEndpoint => "data endpoint",
            Self::RegionalLoginServer => "regional login server",
            Self::CertificateName => "certificate name",
            Self::Allowed => "allowed",
        }
    }
}

/// What an endpoint lets through.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// One host; its addresses come from resolving it.
    Name(ServerName),
    /// Every host below a suffix: granted as server names, with no addresses of its own.
    Pattern(DomainPattern),
    /// Addresses as such.
    Prefix(IpNet),
    /// The addresses of a service tag.
    Tag(Tag),
}

/// A service tag as a target. Two are the same when name and file are: one configuration reads a file once.
#[derive(Clone, Debug)]
pub struct Tag(pub Arc<ServiceTag>);

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.name, &self.0.file) == (&other.0.name, &other.0.file)
    }
}

impl Eq for Tag {}

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.0.name, &self.0.file).hash(state);
    }
}

impl Endpoint {
    /// The name to resolve for it, if it is one.
    #[must_use]
    pub fn name(&self) -> Option<&ServerName> {
        match &self.target {
            Target::Name(name) => Some(name),
            Target::Pattern(_) | Target::Prefix(_) | Target::Tag(_) => None,
        }
    }
}

/// Every endpoint that the rules mean, in their order; no target twice in one rule.
#[must_use]
pub fn expand(config: &Config) -> Vec<Endpoint> {
    let scopes = scope::of_lists(config);
    let mut endpoints = Vec::new();
    for rule in &config.rules {
        let condition = match (rule.kind.names_at_addresses(), config.enforce.server_names) {
            (_, ServerNames::Off) | (Some(Names::Any), _) => Condition::Unconditional,
            (None | Some(Names::OfThePolicy), ServerNames::Require) => Condition::POLICY,
            (Some(Names::List(names)), ServerNames::Require) => {
                Condition::NameIn(Scopes::of(scopes[&names[..]]))
            }
        };
        let mut seen = HashSet::new();
        for (role, target) in expand_rule(rule) {
            if seen.insert(target.clone()) {
                endpoints.push(Endpoint {
                    rule: rule.id,
                    role,
                    target,
                    condition,
                });
            }
        }
    }
    endpoints
}

fn expand_rule(rule: &Rule) -> Vec<(Role, Target)> {
    match &rule.kind {
        RuleKind::Registry(registry) => expand_registry(registry),
        RuleKind::Mcr => vec![
            (Role::LoginServer, Target::Name(fixed(MCR_LOGIN_SERVER))),
            (
                Role::DataEndpoint,
                Target::Pattern(DomainPattern::below(fixed(MCR_DATA_SUFFIX))),
            ),
        ],
        RuleKind::Name(name) => vec![(Role::Allowed, Target::Name(name.clone()))],
        RuleKind::Pattern(pattern) => vec![(Role::Allowed, Target::Pattern(pattern.clone()))],
        RuleKind::Prefixes { prefixes, .. } => {
            let allowed = |prefix: &IpNet| (Role::Allowed, Target::Prefix(*prefix));
            prefixes.iter().map(allowed).collect()
        }
        RuleKind::ServiceTags { tags, .. } => {
            let allowed = |tag: &Arc<ServiceTag>| (Role::Allowed, Target::Tag(Tag(Arc::clone(tag))));
            tags.iter().map(allowed).collect()
        }
    }
}

fn expand_registry(registry: &Registry) -> Vec<(Role, Target)> {
    let login_server = &registry.login_server;
    let mut found = vec![(Role::LoginServer, Target::Name(login_server.name().clone()))];
    let derived = registry
        .data_regions
        .iter()
        .map(|region| login_server.data_endpoint(region));
    let data_endpoints = derived.chain(registry.data_endpoints.iter().cloned());
    found.extend(data_endpoints.map(|name| (Role::DataEndpoint, Target::Name(name))));
    let patterns = registry.data_patterns.iter().cloned();
    found.extend(patterns.map(|pattern| (Role::DataEndpoint, Target::Pattern(pattern))));
    let regional = registry.regional_endpoints.iter().cloned();
    found.extend(regional.map(|name| (Role::RegionalLoginServer, Target::Name(name))));
    // The documentation asks for the bare name to be reachable: the certificate of every registry carries it.
    let bare = fixed(login_server.cloud().registry_domain());
    found.push((Role::CertificateName, Target::Name(bare)));
    found
}

/// The names to resolve, each once, in the order of the endpoints; the `private_link` and the sanity tags of all its
/// rules together.
#[must_use]
pub fn questions(config: &Config, endpoints: &[Endpoint]) -> Vec<Question> {
    let rules: HashMap<RuleId, &Rule> = config.rules.iter().map(|rule| (rule.id, rule)).collect();
    let mut questions: Vec<Question> = Vec::new();
    let mut index_of: HashMap<&ServerName, usize> = HashMap::new();
    for endpoint in endpoints {
        let Some(name) = endpoint.name() else { continue };
        let index = *index_of.entry(name).or_insert_with(|| {
            questions.push(Question {
                name: name.clone(),
                private_link: Vec::new(),
                sanity: Sanity::default(),
            });
            questions.len() - 1
        });
        if let Some(rule) = rules.get(&endpoint.rule) {
            let question = &mut questions[index];
            question.sanity.add(&rule.sanity_tags);
            question.private_link.extend(&rule.private_link);
        }
    }
    for question in &mut questions {
        // Every registry of a cloud asks for the bare name of its domain: a look for each prefix would be one too many.
        question.private_link.sort_unstable();
        question.private_link.dedup();
    }
    questions
}

/// A pattern for which no rule says where its hosts are: sessions under it pass only where other rules lead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unaddressed {
    /// The rule that grants it.
    pub rule: RuleId,
    /// The pattern.
    pub pattern: DomainPattern,
    /// Whether its hosts are the data endpoints of the Microsoft Container Registry.
    pub is_mcr: bool,
}

impl Unaddressed {
    /// What it means and what to do, as one sentence.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "`{}` has no addresses yet, for a pattern can not be resolved: {}",
            self.pattern,
            self.advice()
        )
    }

    /// What to write.
    #[must_use]
    pub fn advice(&self) -> String {
        let addresses = if self.is_mcr { MCR_TAGS } else { "prefix = [...]" };
        format!(
            "say where its hosts are with an `[[allow]]` of `name = \"{}\"` and `{addresses}`",
            self.pattern
        )
    }
}

/// Where the data endpoints of the Microsoft Container Registry are.
pub const MCR_TAGS: &str = "service_tag = [\"MicrosoftContainerRegistry\", \"AzureFrontDoor.FirstParty\"]";

/// The endpoints of each rule that has any. `endpoints` are in the order of the rules, as [`expand`] gives them.
#[must_use]
pub fn by_rule(endpoints: &[Endpoint]) -> HashMap<RuleId, &[Endpoint]> {
    let of_one = endpoints.chunk_by(|one, next| one.rule == next.rule);
    of_one.map(|endpoints| (endpoints[0].rule, endpoints)).collect()
}

/// The patterns that grant names and no addresses, in the order of the rules.
///
/// A prefix rule which asks for the policy's names gives all of them addresses; one that lists the pattern, or a wider
/// one, gives them to that.
#[must_use]
pub fn unaddressed(config: &Config, endpoints: &[Endpoint]) -> Vec<Unaddressed> {
    let mut addressed: HashSet<&str> = HashSet::new();
    for rule in &config.rules {
        match rule.kind.names_at_addresses() {
            Some(Names::OfThePolicy) => return Vec::new(),
            Some(Names::List(names)) => addressed.extend(names.iter().filter_map(|name| match name {
                NameRule::Pattern(pattern) => Some(pattern.suffix().as_str()),
                NameRule::Name(_) => None,
            })),
            Some(Names::Any) | None => {}
        }
    }
    let mcr = config
        .rules
        .iter()
        .filter(|rule| matches!(rule.kind, RuleKind::Mcr));
    let mcr: HashSet<RuleId> = mcr.map(|rule| rule.id).collect();
    endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.target {
            Target::Pattern(pattern) => Some((endpoint.rule, pattern)),
            Target::Name(_) | Target::Prefix(_) | Target::Tag(_) => None,
        })
        .filter(|(_, pattern)| {
            let suffix = pattern.suffix().as_str();
            let wider = suffix.match_indices('.').map(|(at, _)| &suffix[at + 1..]);
            !std::iter::once(suffix)
                .chain(wider)
                .any(|suffix| addressed.contains(suffix))
        })
        .map(|(rule, pattern)| Unaddressed {
            rule,
            pattern: pattern.clone(),
            is_mcr: mcr.contains(&rule),
        })
        .collect()
}

/// The upstreams that need a grant of their own, or they would be denied: those behind a filtered port, loopback excepted,
/// which always passes.
pub fn filtered_upstreams<'a>(
    upstreams: &'a [Upstream],
    ports: &[u16],
) -> impl Iterator<Item = &'a Upstream> {
    upstreams.iter().filter(move |upstream| {
        ports.contains(&upstream.address.port()) && !is_loopback(upstream.address.ip())
    })
}

fn fixed(name: &str) -> ServerName {
    ServerName::parse(name).expect("the names written in this crate are valid")
}

#[cfg(test)]
mod tests;
