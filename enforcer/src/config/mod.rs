//! What a configuration says, after every problem in it has been found.
//!
//! This room does no I/O, reads no clock and knows neither tokio nor aya. Text goes in with a [`Files`] that reads
//! what the text refers to; a [`Config`] comes out, or every problem at once, each with its place.

mod capacity;
mod claim;
mod cloud;
mod document;
mod duration;
mod endpoints_file;
mod json;
mod login_server;
mod lower;
mod lower_allow;
mod lower_control;
mod lower_enforce;
mod lower_regions;
mod lower_registry;
mod lower_resolver;
mod lower_tags;
mod name;
pub mod open_names;
mod open_tags;
mod prefix;
mod problem;
pub mod proposal;
mod region;
mod report;
mod risk;
mod server_names;
mod suggest;
mod syntax;
mod tag_file;
mod upstream;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use duration::parse_duration;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use crate::names::{DomainPattern, NameRule, ServerName};
use crate::prefixes::PrefixSet;

pub use capacity::Capacity;
pub use cloud::Cloud;
#[cfg(test)]
pub(crate) use document::KEYS;
pub use login_server::{LoginServer, LoginServerError, MCR_DATA_SUFFIX, MCR_LOGIN_SERVER};
pub use lower::RULES_MAX;
pub use open_tags::{Tenants, tenants};
#[cfg(test)]
pub(crate) use prefix::PRIVATE;
pub use problem::{PROBLEMS_MAX, Problem, Severity, Source, Span};
pub use region::{Region, RegionError};
pub use server_names::LISTS_MAX;

/// What became of a configuration's text.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The configuration, unless a problem is an error.
    pub config: Option<Config>,
    /// Everything that is wrong with it, in the order of the text; those of files it refers to come last.
    pub problems: Vec<Problem>,
    /// How many problems more there are than [`PROBLEMS_MAX`].
    pub omitted: usize,
}

impl Parsed {
    /// How many of the problems have this severity; those that were omitted are not counted.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let of_severity = |problem: &&Problem| problem.severity == severity;
        self.problems.iter().filter(of_severity).count()
    }
}

/// Reads a configuration. `file` is what places in it are called; `files` reads what it refers to.
#[must_use]
pub fn parse(file: &Path, text: &str, files: &dyn Files) -> Parsed {
    let source = Source::new(file, text);
    let mut report = report::Report::new(std::sync::Arc::clone(&source));
    let (document, errors) = DeTable::parse_recoverable(source.text());
    syntax::push_all(document.get_ref(), errors, &mut report);
    let folder = file.parent().unwrap_or(Path::new(""));
    let config = lower::document(document.get_ref(), folder, files, &mut report);
    let config = (report.errors() == 0).then_some(config);
    let (problems, omitted) = report.finish();
    Parsed {
        config,
        problems,
        omitted,
    }
}

/// Whether denials are dropped or only reported.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Judge, report and drop.
    #[default]
    Enforce,
    /// Judge and report; drop nothing.
    Audit,
}

/// What becomes of UDP to a filtered port.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Quic {
    /// Denied wherever it goes: registries are served over TCP.
    #[default]
    Deny,
    /// Judged by its address like TCP.
    Allow,
}

/// Whether the server name of a TLS session is looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ServerNames {
    /// A session to an address that a name stands for must carry a server name that is granted there.
    #[default]
    Require,
    /// No session is looked at: whoever is behind a granted address is reached under any name.
    Off,
}

/// What becomes of sockets that were open before the programs were attached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Existing {
    /// Where a server name is asked for, what they send next must be a ClientHello with a granted one.
    #[default]
    Deny,
    /// They are judged by their address alone.
    Allow,
}

/// What becomes of a link or pin that somebody takes away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tamper {
    /// It is put back, and told.
    #[default]
    Restore,
    /// It is told.
    Report,
}

/// A rule of the configuration, numbered in the order of the file from 1; 0 is never a rule.
///
/// It is what the kernel stores beside an address and what an event carries back.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId(pub u32);

/// Where in which file something was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `mode`.
    pub mode: Mode,
    /// `[[registry]]` and `[[allow]]`, in the order of the file; `rules[i].id` is `RuleId(i + 1)`.
    pub rules: Vec<Rule>,
    /// `[enforce]`.
    pub enforce: Enforce,
    /// `[resolver]`.
    pub resolver: Resolver,
    /// The files of service tags that rules refer to, each once.
    pub tag_files: Vec<TagFileSummary>,
    /// `[control]`.
    pub control: Control,
}

/// What a file of service tags says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TagFileSummary {
    /// The file as the user knows it.
    pub file: PathBuf,
    /// `changeNumber`, which goes up when the file changes; `None` where it has none.
    pub change_number: Option<u64>,
    /// `cloud`, as in `Public`; `None` where it has none.
    pub cloud: Option<String>,
    /// How many tags it has.
    pub tags: usize,
}

impl fmt::Display for TagFileSummary {
    /// `ServiceTags_Public.json: change number 352, cloud Public, 2900 tags`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.file.display())?;
        match self.change_number {
            Some(number) => write!(out, "change number {number}")?,
            None => out.write_str("no change number")?,
        }
        if let Some(cloud) = &self.cloud {
            write!(out, ", cloud {cloud}")?;
        }
        let tags = if self.tags == 1 { "tag" } else { "tags" };
        write!(out, ", {} {tags}", self.tags)
    }
}

/// A service tag: the addresses of a service of a cloud, those of all its tenants alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceTag {
    /// Its name as the file has it, as in `AzureContainerRegistry.AustraliaEast`: ASCII letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// The file, as the user knows it.
    pub file: PathBuf,
    /// Its addresses; never none.
    pub prefixes: PrefixSet,
}

impl fmt::Display for ServiceTag {
    /// `AzureContainerRegistry.AustraliaEast (12 IPv4 and 4 IPv6 prefixes)`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (v4, v6) = (self.prefixes.v4_count(), self.prefixes.v6_count());
        write!(out, "{} ({v4} IPv4 and {v6} IPv6 prefixes)", self.name)
    }
}

/// One `[[registry]]` or `[[allow]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its number.
    pub id: RuleId,
    /// Where its table starts.
    pub place: Place,
    /// What it says.
    pub kind: RuleKind,
    /// Prefixes in which the answers for its names may lie although they are special-purpose addresses
    /// (`private_link`). Grants nothing by itself.
    pub private_link: Vec<IpNet>,
    /// `sanity_tag`: the service tags outside of which the public answers for its names are refused. None of them: they
    /// may lie anywhere.
    pub sanity_tags: Vec<Arc<ServiceTag>>,
    /// The reason given with `accept_exfiltration_risk`, where one was needed.
    pub accepted_risk: Option<String>,
}

/// The kinds of rule.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// A registry by its login server, or by the output of `az acr show-endpoints`.
    Registry(Registry),
    /// `kind = "mcr"`: the Microsoft Container Registry.
    Mcr,
    /// `[[allow]] name = "host"`.
    Name(ServerName),
    /// `[[allow]] name = "*.suffix"`.
    Pattern(DomainPattern),
    /// `[[allow]] prefix = "..."`: addresses as such, one prefix or more.
    Prefixes {
        /// The prefixes.
        prefixes: Vec<IpNet>,
        /// The server names that sessions to them must carry.
        names: Names,
    },
    /// `[[allow]] service_tag = "..."`: the addresses of service tags, one or more.
    ServiceTags {
        /// The tags.
        tags: Vec<Arc<ServiceTag>>,
        /// The server names that sessions to them must carry.
        names: Names,
    },
}

impl RuleKind {
    /// The server names that sessions to the addresses must carry, where the rule has addresses of its own.
    #[must_use]
    pub fn names_at_addresses(&self) -> Option<&Names> {
        match self {
            Self::Prefixes { names, .. } | Self::ServiceTags { names, .. } => Some(names),
            Self::Registry(_) | Self::Mcr | Self::Name(_) | Self::Pattern(_) => None,
        }
    }
}

/// The server names that sessions to the addresses of a prefix rule must carry.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Names {
    /// None is asked for: the prefix alone.
    Any,
    /// `server_name = "require"`: one that the policy grants at addresses of its names.
    OfThePolicy,
    /// `server_name = [...]`, or `name` beside `prefix`: one of these, ascending and each once.
    List(Vec<NameRule>),
}

impl fmt::Display for RuleKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(registry) => write!(out, "registry {}", registry.login_server),
            Self::Mcr => write!(out, "registry {MCR_LOGIN_SERVER}"),
            Self::Name(name) => write!(out, "allow {name}"),
            Self::Pattern(pattern) => write!(out, "allow {pattern}"),
            Self::Prefixes { prefixes, names } => {
                write!(out, "allow {names}")?;
                match prefixes[..] {
                    [prefix] => write!(out, "{prefix}"),
                    _ => write!(out, "{} prefixes", prefixes.len()),
                }
            }
            Self::ServiceTags { tags, names } => {
                write!(out, "allow {names}")?;
                match &tags[..] {
                    [tag] => write!(out, "the service tag {}", tag.name),
                    _ => write!(out, "{} service tags", tags.len()),
                }
            }
        }
    }
}

impl fmt::Display for Names {
    /// What stands before the addresses in a rule's title: `a.example.com at `.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::OfThePolicy => out.write_str("the policy's names at "),
            Self::List(names) => match &names[..] {
                [name] => write!(out, "{name} at "),
                _ => write!(out, "{} names at ", names.len()),
            },
        }
    }
}

/// A registry and its endpoints, as far as the configuration names them.
#[derive(Clone, Debug)]
pub struct Registry {
    /// `contoso.azurecr.io`, or with a domain name label `contoso-<hash>.azurecr.io`.
    pub login_server: LoginServer,
    /// `data_regions`: the data endpoints are derived from these.
    pub data_regions: Vec<Region>,
    /// Data endpoints that an `endpoints` file listed.
    pub data_endpoints: Vec<ServerName>,
    /// Patterns of shared storage that an `endpoints` file listed; only with an accepted risk.
    pub data_patterns: Vec<DomainPattern>,
    /// Regional login servers: derived for `regional_login_servers`, or listed by an `endpoints` file.
    pub regional_endpoints: Vec<ServerName>,
}

/// `[enforce]`.
#[derive(Clone, Debug)]
pub struct Enforce {
    /// Destination ports that are filtered, ascending, 1 to [`PORTS_MAX`] of them. Default 443.
    pub ports: Vec<u16>,
    /// The cgroup to attach to; `None` is the root of cgroup v2.
    pub cgroup: Option<PathBuf>,
    /// `quic`.
    pub quic: Quic,
    /// `server_name`.
    pub server_names: ServerNames,
    /// `existing`.
    pub existing: Existing,
    /// `tamper`.
    pub tamper: Tamper,
    /// `capacity`.
    pub capacity: Capacity,
}

impl Default for Enforce {
    fn default() -> Self {
        Self {
            ports: vec![443],
            cgroup: None,
            quic: Quic::Deny,
            server_names: ServerNames::Require,
            existing: Existing::Deny,
            tamper: Tamper::Restore,
            capacity: Capacity::default(),
        }
    }
}

/// Most ports a configuration may list: the kernel programs compare against each.
pub const PORTS_MAX: usize = 16;

/// `[control]`: who may ask the daemon.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Control {
    /// `group`: the group whose members may ask as root may, by its name in /etc/group or its number.
    pub group: Option<String>,
    /// `metrics`: where metrics are served beside the socket, to anybody who can connect; an address of the loopback.
    pub metrics: Option<SocketAddr>,
}

/// The longest name of a group (`LOGIN_NAME_MAX` less its end, as for users).
pub const GROUP_MAX: usize = 255;

/// `[resolver]`.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Upstreams in the order of preference; empty means those of the system.
    pub servers: Vec<Upstream>,
    /// How long one query may take before the next upstream is asked. Default 3 s.
    pub timeout: Duration,
    /// A shorter TTL is taken as this. Default 5 s.
    pub ttl_min: Duration,
    /// A longer TTL is taken as this. Default 1 h.
    pub ttl_max: Duration,
    /// How long an address stays granted after it left the answers. Default 10 min.
    pub grace: Duration,
    /// Most addresses of one family that one name may have. Default 64.
    pub addresses_max: usize,
    /// Most CNAMEs between a name and its addresses. Default 12.
    pub chain_max: usize,
    /// Queries under way at once. Default 32.
    pub concurrency: usize,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(3),
            ttl_min: Duration::from_secs(5),
            ttl_max: Duration::from_secs(3600),
            grace: Duration::from_secs(600),
            addresses_max: 64,
            chain_max: 12,
            concurrency: 32,
        }
    }
}

/// One upstream name server.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Upstream {
    /// How to talk to it.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How an upstream is asked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// UDP, and TCP where an answer was truncated. Port 53.
    Plain,
    /// DNS over TLS (RFC 7858), `tls://192.0.2.1[:853]#name`.
    Tls {
        /// The name its certificate must carry; `None` is the address itself.
        server_name: Option<ServerName>,
    },
    /// DNS over HTTPS (RFC 8484), `https://192.0.2.1[:443]/dns-query#name`.
    Https {
        /// The name its certificate must carry; `None` is the address itself.
        server_name: Option<ServerName>,
        /// The path of the query, with its leading slash.
        path: String,
    },
}

/// Most bytes of a file with the output of `az acr show-endpoints`.
pub const ENDPOINTS_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of a file of service tags; those that are published have a few MiB.
pub const SERVICE_TAGS_BYTES_MAX: u64 = 32 << 20;

/// Reads the files a configuration refers to. The daemon gives the file system, a test gives a table.
pub trait Files {
    /// The text of `path`, which is as written in the configuration (relative to the configuration's folder). One of
    /// more than `bytes_max` bytes is not read from a disk.
    ///
    /// # Errors
    /// What went wrong, in words for the user.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Arc<str>, String>;
}

/// Whether an address is the loopback of its family, in which nothing is filtered.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
