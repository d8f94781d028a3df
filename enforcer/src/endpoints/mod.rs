//! From a configuration to the endpoints it means: names, patterns and prefixes, each with the rule it came from.
//!
//! This room does no I/O, reads no clock and knows neither tokio nor aya.

use ipnet::IpNet;

use crate::config::RuleId;
use crate::names::{DomainPattern, ServerName};

/// One thing that the policy lets through, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The rule it came from.
    pub rule: RuleId,
    /// What it is to the rule.
    pub role: Role,
    /// What is let through.
    pub target: Target,
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

/// What an endpoint lets through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// One host; its addresses come from resolving it.
    Name(ServerName),
    /// Every host below a suffix; not resolvable, enforced by server name.
    Pattern(DomainPattern),
    /// Addresses as such.
    Prefix(IpNet),
}
