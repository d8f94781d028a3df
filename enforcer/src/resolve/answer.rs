//! What an upstream says, in the few words the rest of this room needs.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::names::ServerName;

use super::chain::ChainError;

/// Any DNS name in lower case without the trailing dot: the owner of a record or the target of a CNAME.
///
/// Unlike a [`ServerName`] it may have labels that no host name has (`_dns`, `*`), escaped as in a zone file (RFC 1035
/// section 5.1), and it never becomes the name of a grant.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// Takes a name in presentation form; upper case is folded and the root's dot at the end dropped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let stem = match text.strip_suffix('.') {
            Some(stem) if !stem.ends_with('\\') => stem,
            _ => text,
        };
        Self(stem.to_ascii_lowercase().into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ServerName> for DnsName {
    fn from(name: &ServerName) -> Self {
        Self(name.as_str().into())
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A record of an answer section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Whose record it is.
    pub owner: DnsName,
    /// Its TTL in seconds, as it was sent.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

/// The record types that matter; an upstream leaves the others out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RecordData {
    /// CNAME.
    Alias(DnsName),
    /// A or AAAA.
    Address(IpAddr),
}

/// One answer of one upstream: NOERROR or NXDOMAIN. Everything else is an [`AskError`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// The records of the answer section, in their order.
    pub records: Vec<Record>,
    /// NXDOMAIN: the name at the end of the chain does not exist.
    pub missing: bool,
    /// How long "nothing there" holds (RFC 2308 section 5); `None` when the answer carries no SOA record.
    pub negative_ttl: Option<Duration>,
}

/// What a question led to, after its chain was walked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Settled {
    /// The name has addresses.
    Addresses {
        /// The CNAME targets in order.
        chain: Vec<DnsName>,
        /// The addresses of the chain's end, ascending, as they were answered.
        addresses: Vec<IpAddr>,
        /// The shortest TTL of the chain and its addresses.
        ttl: Duration,
    },
    /// The name has none.
    Nothing {
        /// The CNAME targets in order.
        chain: Vec<DnsName>,
        /// NXDOMAIN rather than NODATA.
        missing: bool,
        /// How long that holds, where the answer tells.
        ttl: Option<Duration>,
    },
}

/// Why an upstream gave no answer that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// Nothing came in time.
    #[error("no answer within {} s", .after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// It could not be reached, or the connection broke: TCP, TLS, HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// A response code other than NOERROR and NXDOMAIN.
    #[error("it answered {0}")]
    Code(String),
    /// It points to other name servers instead of asking them itself.
    #[error("it does not resolve recursively (it answered with a referral)")]
    Referral,
    /// What came is not a DNS answer to the question.
    #[error("its answer can not be read: {0}")]
    Garbage(String),
    /// The answer's CNAME chain is broken.
    #[error("its answer is contradictory: {0}")]
    Chain(#[from] ChainError),
    /// The answer is larger than any honest one.
    #[error("its answer has {count} records, {max} are the most")]
    TooLarge {
        /// Records in the answer section.
        count: usize,
        /// The limit.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(DnsName::new("A.Example.COM."), DnsName::new("a.example.com"));
        assert_eq!(DnsName::new(r"a\."), DnsName::new(r"A\."));
        assert_eq!(DnsName::new("_dns.*.example").as_str(), "_dns.*.example");
    }
}
