//! What is asked about: a name or an address, with or without a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::names::{NameError, ServerName};

/// A destination as a user names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Whom.
    pub host: Host,
    /// The port; `None` stands for the first filtered one, 443 where that is filtered.
    pub port: Option<u16>,
}

/// A name or an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// A name.
    Name(ServerName),
    /// An address, never an IPv4-mapped one.
    Address(IpAddr),
}

/// Why a text is no target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// What stands behind the colon is none.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A whole URL, or something with a path.
    #[error("a name or an address is expected, not a URL or an image: for example `contoso.azurecr.io:443`")]
    Path,
    /// More than one address.
    #[error("a prefix is many addresses: ask for one of them")]
    Prefix,
    /// An address with a zone.
    #[error(
        "what stands behind `%` is known to this host alone, and not judged: leave it out, as in `fe80::1`"
    )]
    Zone,
    /// Brackets around something else.
    #[error("in brackets stands an IPv6 address: `[2001:db8::1]:443`")]
    Brackets,
    /// A pattern.
    #[error("a pattern is many names: ask for one of them")]
    Pattern,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `NAME`, `NAME:PORT`, `ADDRESS`, `192.0.2.1:PORT` or `[2001:db8::1]:PORT`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.parse::<IpNet>().is_ok() {
            return Err(TargetError::Prefix);
        }
        if text.contains('/') {
            return Err(TargetError::Path);
        }
        if text.contains('*') {
            return Err(TargetError::Pattern);
        }
        if text.contains('%') {
            return Err(TargetError::Zone);
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self {
                host: Host::Address(address.to_canonical()),
                port: None,
            });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: Host::Address(address.ip().to_canonical()),
                port: Some(port(&address.port().to_string())?),
            });
        }
        if let Some((inside, behind)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let has_port = inside.parse::<IpAddr>().is_ok() && behind.starts_with(':');
            return Err(if has_port {
                TargetError::Port
            } else {
                TargetError::Brackets
            });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, number)) => (name, Some(port(number)?)),
            None => (text, None),
        };
        Ok(Self {
            host: Host::Name(ServerName::parse(name)?),
            port,
        })
    }
}

fn port(text: &str) -> Result<u16, TargetError> {
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or(TargetError::Port)
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(out),
            Self::Address(address) => address.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart_with_their_ports() {
        for (text, host, port) in [
            ("contoso.azurecr.io", "contoso.azurecr.io", None),
            ("Contoso.AzureCR.io.:8443", "contoso.azurecr.io", Some(8443)),
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:5671", "192.0.2.1", Some(5671)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("::ffff:192.0.2.1", "192.0.2.1", None),
            ("[::ffff:192.0.2.1]:1", "192.0.2.1", Some(1)),
        ] {
            let target: Target = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (target.host.to_string().as_str(), target.port),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_target_says_why() {
        for (text, error) in [
            ("contoso.azurecr.io:0", TargetError::Port),
            ("contoso.azurecr.io:https", TargetError::Port),
            ("192.0.2.1:0", TargetError::Port),
            ("192.0.2.1:99999", TargetError::Port),
            ("https://contoso.azurecr.io", TargetError::Path),
            ("contoso.azurecr.io/app:v1", TargetError::Path),
            ("*.example.com", TargetError::Pattern),
            ("192.0.2.0/24", TargetError::Prefix),
            ("2001:db8::/32", TargetError::Prefix),
            ("fe80::1%eth0", TargetError::Zone),
            ("[fe80::1%eth0]:443", TargetError::Zone),
            ("[contoso.azurecr.io]:443", TargetError::Brackets),
            ("[2001:db8::1]:99999", TargetError::Port),
            ("[2001:db8::1]443", TargetError::Brackets),
            ("", TargetError::Name(NameError::Empty)),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
        }
    }
}
