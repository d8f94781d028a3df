//! The way back, from names to the rules that grant them: what `explain` suggests and what `learn` writes.
//!
//! What is proposed is accepted as it stands when it is appended to the rules it was made for. Registries are recognised
//! as such; where a rule has a place that could be extended, that is said beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::open_names::{self, Instead, OpenName};
use super::{
    Cloud, LoginServer, LoginServerError, MCR_DATA_SUFFIX, MCR_LOGIN_SERVER, Place, Region, Registry, Rule,
    RuleKind,
};
use crate::names::ServerName;

/// What stands in place of a reason that only the user can give.
const REASON_WANTED: &str = "say here why it can not be avoided";

/// One rule that is proposed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    /// The names for the sake of which it is proposed, ascending.
    pub names: Vec<ServerName>,
    /// Its lines: what is appended to a configuration.
    pub lines: Vec<String>,
    /// What to change in a rule that there is, instead of appending these lines.
    pub change: Option<Change>,
    /// What is good to know about it, a sentence each.
    pub remarks: Vec<String>,
    /// Why granting it is risky, where it is.
    pub risk: Option<Risk>,
}

/// A key of a rule that is to be written anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Where the rule's table starts.
    pub place: Place,
    /// The key with its new value.
    pub line: String,
}

/// Why granting a name is risky.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Risk {
    /// What anybody can have a part of.
    pub open: &'static OpenName,
    /// Whether the name itself is shared by all accounts, so that a configuration must say why it is granted.
    pub is_shared: bool,
}

impl Risk {
    /// Whether `name` is one under which, or beside which, anybody can have an account. A registry's own names are not.
    #[must_use]
    pub fn of(name: &ServerName) -> Option<Self> {
        if let Some(open) = open_names::host_openness(name) {
            return Some(Self {
                open,
                is_shared: true,
            });
        }
        let open = open_names::account_openness(name)?;
        (open.instead != Instead::Registries).then_some(Self {
            open,
            is_shared: false,
        })
    }

    /// Whether it is blob storage, from which registries without dedicated data endpoints serve their layers.
    #[must_use]
    pub fn is_blob_storage(self) -> bool {
        self.open.instead == Instead::DataEndpoints
    }

    /// Why `name` is risky, as a sentence without its full stop.
    #[must_use]
    pub fn words(self, name: &ServerName) -> String {
        let what = self.open.what;
        if self.is_shared {
            return format!(
                "everybody's {what} are on `{name}`: who may write there may write to an attacker's; better mirror what you need \
                 into your own registry"
            );
        }
        let instead = match self.open.instead {
            Instead::DataEndpoints => {
                "; for the layers of a registry enable dedicated data endpoints instead, and name its `data_regions`"
            }
            Instead::Registries | Instead::OwnNames | Instead::Nothing => "",
        };
        format!(
            "anybody can have one of the {what} under `{}`: grant it only when you know whose it is{instead}",
            self.open.name
        )
    }
}

/// Endpoints of one registry that are to be granted.
#[derive(Default)]
struct Wanted {
    names: BTreeSet<ServerName>,
    data_regions: BTreeSet<Region>,
    regional: BTreeSet<Region>,
}

/// Proposes rules that grant `names`, beside the `rules` that there are and that do not.
///
/// Ordered: registries by login server, the Microsoft Container Registry, other names.
#[must_use]
pub fn propose(names: &BTreeSet<ServerName>, rules: &[Rule]) -> Vec<Proposal> {
    let mut registries: BTreeMap<LoginServer, Wanted> = BTreeMap::new();
    let mut mcr = BTreeSet::new();
    let mut others = BTreeSet::new();
    for name in names {
        match place_of(name) {
            Some(Part::Mcr) => {
                mcr.insert(name.clone());
            }
            Some(Part::Registry(login_server, part)) => {
                let wanted = registries.entry(login_server).or_default();
                wanted.names.insert(name.clone());
                match part {
                    RegistryPart::LoginServer => {}
                    RegistryPart::Data(region) => {
                        wanted.data_regions.insert(region);
                    }
                    RegistryPart::Regional(region) => {
                        wanted.regional.insert(region);
                    }
                }
            }
            None => {
                others.insert(name.clone());
            }
        }
    }
    // Every registry brings the bare name of its domain.
    others.retain(|name| {
        let is_bare_of = |login_server: &LoginServer| login_server.cloud().registry_domain() == name.as_str();
        !registries.keys().any(is_bare_of)
    });
    let mut proposals: Vec<Proposal> = Vec::new();
    for (login_server, wanted) in &registries {
        match existing(rules, login_server) {
            Some((rule, registry)) => proposals.extend(extension(rule, registry, wanted)),
            None => proposals.push(registry_rule(login_server, wanted)),
        }
    }
    proposals.extend(mcr_rules(&mcr, rules));
    proposals.extend(others.iter().map(name_rule));
    proposals
}

/// A rule that grants `name` at the addresses of `prefix` alone.
#[must_use]
pub fn name_at(name: &ServerName, prefix: ipnet::IpNet) -> Proposal {
    let mut proposal = name_rule(name);
    proposal.lines.insert(2, format!("prefix = \"{prefix}\""));
    proposal.remarks.push(
        "nothing is resolved for it: when the host moves to another address, it is denied there".to_owned(),
    );
    proposal
}

/// A rule that grants `prefix` under any server name.
#[must_use]
pub fn prefix(prefix: ipnet::IpNet) -> Proposal {
    Proposal {
        names: Vec::new(),
        lines: vec!["[[allow]]".to_owned(), format!("prefix = \"{prefix}\"")],
        change: None,
        remarks: vec![
            "no server name is asked for there: whoever is behind this address, or shares it, is reached under any name; name \
             the host instead if it has one"
                .to_owned(),
        ],
        risk: None,
    }
}

enum Part {
    Mcr,
    Registry(LoginServer, RegistryPart),
}

enum RegistryPart {
    LoginServer,
    Data(Region),
    Regional(Region),
}

/// What a name is to a registry that a rule can name; `None` where only the name itself can be written.
fn place_of(name: &ServerName) -> Option<Part> {
    if name.as_str() == MCR_LOGIN_SERVER || name.is_below(MCR_DATA_SUFFIX) {
        return Some(Part::Mcr);
    }
    match LoginServer::new(name.clone()) {
        Ok(login_server) => Some(Part::Registry(login_server, RegistryPart::LoginServer)),
        Err(LoginServerError::DataEndpoint {
            registry,
            region,
            domain,
        }) => {
            let login_server = without_name_label(&registry, domain)?;
            Some(Part::Registry(
                login_server,
                RegistryPart::Data(region.parse().ok()?),
            ))
        }
        Err(LoginServerError::Regional {
            registry,
            region,
            domain,
        }) => {
            let login_server = without_name_label(&registry, domain)?;
            let region = region.parse().ok()?;
            login_server
                .cloud()
                .has_regional_login_servers()
                .then_some(Part::Registry(login_server, RegistryPart::Regional(region)))
        }
        Err(_) => None,
    }
}

/// The login server of a registry whose endpoints can be derived: not of one with a domain name label.
fn without_name_label(registry: &str, domain: &str) -> Option<LoginServer> {
    let name = ServerName::parse(&format!("{registry}.{domain}")).ok()?;
    LoginServer::new(name)
        .ok()
        .filter(|found| !found.has_name_label())
}

fn existing<'a>(rules: &'a [Rule], login_server: &LoginServer) -> Option<(&'a Rule, &'a Registry)> {
    rules.iter().find_map(|rule| match &rule.kind {
        RuleKind::Registry(registry) if registry.login_server == *login_server => Some((rule, registry)),
        _ => None,
    })
}

fn registry_rule(login_server: &LoginServer, wanted: &Wanted) -> Proposal {
    let mut lines = vec![
        "[[registry]]".to_owned(),
        format!("login_server = \"{login_server}\""),
    ];
    let mut remarks = Vec::new();
    if login_server.has_name_label() {
        remarks.push(
            "it has a domain name label, from which its data endpoints can not be derived: better write the output of \
             `az acr show-endpoints` to a file, and `endpoints = \"FILE\"` in place of `login_server`"
                .to_owned(),
        );
    } else if wanted.data_regions.is_empty() {
        remarks.push(
            "its layers come from its dedicated data endpoints: enable them, and name their regions with `data_regions = \
             [\"eastus\"]`"
                .to_owned(),
        );
    } else {
        lines.push(regions("data_regions", &wanted.data_regions));
    }
    if !wanted.regional.is_empty() {
        lines.push(regions("regional_login_servers", &wanted.regional));
    }
    Proposal {
        names: wanted.names.iter().cloned().collect(),
        lines,
        change: None,
        remarks,
        risk: None,
    }
}

/// What grants more endpoints of a registry that has a rule: names of their own, since a registry stands only once; better
/// is to extend its rule.
fn extension(rule: &Rule, registry: &Registry, wanted: &Wanted) -> Vec<Proposal> {
    // What an `endpoints` file lists is not changed by hand.
    let is_listed = !registry.data_endpoints.is_empty() || !registry.data_patterns.is_empty();
    let with = |key, known: BTreeSet<&Region>, more: &BTreeSet<Region>| Change {
        place: rule.place.clone(),
        line: regions(key, known.into_iter().chain(more).collect::<BTreeSet<_>>()),
    };
    let mut proposals = Vec::new();
    for name in &wanted.names {
        let mut proposal = name_rule(name);
        let change = match place_of(name) {
            _ if is_listed => {
                proposal.remarks.push(format!(
                    "its registry is known by an `endpoints` file, named at {}:{}: better write that file anew with \
                     `az acr show-endpoints`",
                    rule.place.file.display(),
                    rule.place.line
                ));
                None
            }
            Some(Part::Registry(_, RegistryPart::Data(_))) => Some(with(
                "data_regions",
                registry.data_regions.iter().collect(),
                &wanted.data_regions,
            )),
            Some(Part::Registry(_, RegistryPart::Regional(_))) => {
                let known = registry
                    .data_regions
                    .iter()
                    .filter(|region| {
                        let name = registry.login_server.regional(region);
                        registry.regional_endpoints.contains(&name)
                    })
                    .collect();
                Some(with("regional_login_servers", known, &wanted.regional))
            }
            _ => None,
        };
        proposal.change = change;
        proposals.push(proposal);
    }
    proposals
}

fn mcr_rules(names: &BTreeSet<ServerName>, rules: &[Rule]) -> Vec<Proposal> {
    let Some(first) = names.first() else {
        return Vec::new();
    };
    let mut proposals = Vec::new();
    if !rules.iter().any(|rule| matches!(rule.kind, RuleKind::Mcr)) {
        proposals.push(Proposal {
            names: vec![ServerName::parse(MCR_LOGIN_SERVER).unwrap_or_else(|_| first.clone())],
            lines: vec!["[[registry]]".to_owned(), "kind = \"mcr\"".to_owned()],
            change: None,
            remarks: vec![format!(
                "it resolves `{MCR_LOGIN_SERVER}`; its layers are below `*.{MCR_DATA_SUFFIX}`, and a pattern can not be resolved"
            )],
            risk: None,
        });
    }
    for name in names.iter().filter(|name| name.is_below(MCR_DATA_SUFFIX)) {
        let mut proposal = name_rule(name);
        proposal.remarks.push(format!(
            "Microsoft advises against naming its single regions: better write an `[[allow]]` of `name = \"*.{MCR_DATA_SUFFIX}\"` \
             and `prefix = [...]` with the prefixes of the service tags MicrosoftContainerRegistry and AzureFrontDoor.FirstParty"
        ));
        proposals.push(proposal);
    }
    proposals
}

fn name_rule(name: &ServerName) -> Proposal {
    let mut lines = vec!["[[allow]]".to_owned(), format!("name = \"{name}\"")];
    let risk = Risk::of(name);
    if risk.is_some_and(|risk| risk.is_shared) {
        lines.push(format!("accept_exfiltration_risk = \"{REASON_WANTED}\""));
    }
    let mut remarks = Vec::new();
    if let Some(cloud) = Cloud::of(name) {
        let has_name_label = name.labels().next().is_some_and(|label| label.contains('-'));
        if has_name_label {
            remarks.push(format!(
                "it looks like an endpoint of a registry with a domain name label under `{}`: better write the output of \
                 `az acr show-endpoints` to a file, and a `[[registry]]` with `endpoints = \"FILE\"`",
                cloud.registry_domain()
            ));
        }
    }
    Proposal {
        names: vec![name.clone()],
        lines,
        change: None,
        remarks,
        risk,
    }
}

fn regions<'a>(key: &str, regions: impl IntoIterator<Item = &'a Region>) -> String {
    let quoted: Vec<String> = regions
        .into_iter()
        .map(|region| format!("\"{region}\""))
        .collect();
    format!("{key} = [{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests;
