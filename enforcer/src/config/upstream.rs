//! One entry of `[resolver] servers`: an address, or `tls://` and `https://` with an address.

use std::net::{IpAddr, SocketAddr};

use super::problem::quote;
use super::{Transport, Upstream};
use crate::names::{NameError, ServerName};

/// Path of queries over HTTPS that most servers use (RFC 8484 section 4.1.1 gives it as an example).
const HTTPS_PATH: &str = "/dns-query";

/// Why a text is no upstream.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error("{} is not a way to ask a name server", quote(&format!("{}://", .0)))]
    Scheme(String),
    #[error("`{0}` is a name; the resolver would have to be resolved first")]
    Name(String),
    #[error("{} is no address", quote(.0))]
    Address(String),
    #[error("{} is no port", quote(.0))]
    Port(String),
    #[error("no name server can be at `{0}`")]
    Unusable(IpAddr),
    #[error("a path stands only behind `https://`")]
    Path,
    #[error("{} is no path of a URL", quote(.0))]
    PathCharacter(String),
    #[error("a name behind `#` stands only with `tls://` and `https://`, where a certificate carries it")]
    PlainName,
    #[error("the name behind `#` is not valid: {0}")]
    ServerName(NameError),
}

impl UpstreamError {
    /// What to write instead.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Scheme(_) => {
                "write an address alone (UDP, TCP when needed), or `tls://ADDRESS#NAME`, `https://ADDRESS/dns-query#NAME`".into()
            }
            Self::Name(name) => format!(
                "write its address, and the name behind `#` where a certificate carries it: `tls://192.0.2.1#{name}`"
            ),
            Self::Address(_) | Self::Port(_) => {
                "for example `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`".into()
            }
            Self::Unusable(address) => match address.to_canonical() {
                canonical if canonical != *address => format!("write `{canonical}`"),
                _ => "write the address that the name server listens on".into(),
            },
            Self::PathCharacter(path) => match path.split_once('{') {
                Some((path, _)) => format!("write `{path}`, without the template behind it"),
                None => "write it percent-encoded, without white space, for example `/dns-query`".into(),
            },
            Self::Path => "take the path away, or write `https://`".into(),
            Self::PlainName => "take the name away, or write `tls://` before the address".into(),
            Self::ServerName(_) => "write the name on the server's certificate, for example `#dns.example.com`".into(),
        }
    }
}

/// Reads one entry.
pub(super) fn parse(text: &str) -> Result<Upstream, UpstreamError> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let (rest, server_name) = match rest.split_once('#') {
        Some((rest, name)) => {
            let name = ServerName::parse(name).map_err(UpstreamError::ServerName)?;
            (rest, Some(name))
        }
        None => (rest, None),
    };
    let (host, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let (transport, default_port) = match scheme {
        None if server_name.is_some() => return Err(UpstreamError::PlainName),
        None => (Transport::Plain, 53),
        Some("tls") => (Transport::Tls { server_name }, 853),
        Some("https") => {
            let path = path.unwrap_or(HTTPS_PATH).to_owned();
            (Transport::Https { server_name, path }, 443)
        }
        Some(other) => return Err(UpstreamError::Scheme(other.to_owned())),
    };
    if path.is_some() && !matches!(transport, Transport::Https { .. }) {
        return Err(UpstreamError::Path);
    }
    if let Transport::Https { path, .. } = &transport
        && !path.bytes().all(is_of_a_path)
    {
        return Err(UpstreamError::PathCharacter(path.clone()));
    }
    let address = address(host, default_port)?;
    Ok(Upstream { transport, address })
}

/// Whether a path of a URL or the query behind it has such a byte (RFC 3986 sections 3.3 and 3.4).
fn is_of_a_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&byte)
}

fn address(host: &str, default_port: u16) -> Result<SocketAddr, UpstreamError> {
    let unbracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let address = if let Ok(address) = unbracketed.parse::<IpAddr>() {
        SocketAddr::new(address, default_port)
    } else if let Ok(address) = host.parse::<SocketAddr>() {
        address
    } else {
        return Err(not_an_address(host));
    };
    if address.port() == 0 {
        return Err(UpstreamError::Port("0".into()));
    }
    let ip = address.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast || ip.to_canonical() != ip {
        return Err(UpstreamError::Unusable(ip));
    }
    Ok(address)
}

fn not_an_address(host: &str) -> UpstreamError {
    let (stem, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let bare = stem.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return UpstreamError::Port(port.to_owned());
    }
    match ServerName::parse(stem) {
        Ok(name) => UpstreamError::Name(name.to_string()),
        Err(_) => UpstreamError::Address(host.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(Upstream { transport, address }) => match transport {
                Transport::Plain => format!("plain {address}"),
                Transport::Tls { server_name } => {
                    format!(
                        "tls {address} {}",
                        server_name.map_or_else(String::new, |name| name.to_string())
                    )
                }
                Transport::Https { server_name, path } => format!(
                    "https {address} {path} {}",
                    server_name.map_or_else(String::new, |name| name.to_string())
                ),
            },
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_form() {
        for (text, expected) in [
            ("192.0.2.1", "plain 192.0.2.1:53"),
            ("192.0.2.1:5353", "plain 192.0.2.1:5353"),
            ("2001:db8::1", "plain [2001:db8::1]:53"),
            ("[2001:db8::1]", "plain [2001:db8::1]:53"),
            ("[2001:db8::1]:53", "plain [2001:db8::1]:53"),
            (
                "tls://192.0.2.1#dns.example.com",
                "tls 192.0.2.1:853 dns.example.com",
            ),
            ("tls://[2001:db8::1]:8853", "tls [2001:db8::1]:8853 "),
            (
                "https://192.0.2.1/dns-query#dns.example.com",
                "https 192.0.2.1:443 /dns-query dns.example.com",
            ),
            ("https://192.0.2.1:8443", "https 192.0.2.1:8443 /dns-query "),
            (
                "https://192.0.2.1/dns-query{?dns}#a.example.com",
                "`/dns-query{?dns}` is no path of a URL",
            ),
            (
                "https://192.0.2.1/a b\r\nHost: x",
                "`/a b\\r\\nHost: x` is no path of a URL",
            ),
            ("https://192.0.2.1/q?a=%20b", "https 192.0.2.1:443 /q?a=%20b "),
            ("192\n\u{1b}[31m", "`192\\n\\u{1b}[31m` is no address"),
            ("udp://192.0.2.1", "`udp://` is not a way to ask a name server"),
            (
                "tls://dns.example.com",
                "`dns.example.com` is a name; the resolver would have to be resolved first",
            ),
            (
                "dns.example.com:53",
                "`dns.example.com` is a name; the resolver would have to be resolved first",
            ),
            ("192.0.2.1:0", "`0` is no port"),
            ("192.0.2.1:65536", "`65536` is no port"),
            ("192.0.2", "`192.0.2` is no address"),
            ("", "`` is no address"),
            ("0.0.0.0", "no name server can be at `0.0.0.0`"),
            ("ff02::1", "no name server can be at `ff02::1`"),
            ("::ffff:192.0.2.1", "no name server can be at `::ffff:192.0.2.1`"),
            ("192.0.2.1/dns-query", "a path stands only behind `https://`"),
            (
                "192.0.2.1#dns.example.com",
                "a name behind `#` stands only with `tls://` and `https://`, where a certificate carries it",
            ),
            (
                "tls://192.0.2.1#a_b.example.com",
                "the name behind `#` is not valid: `_` can not stand in a host name",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
