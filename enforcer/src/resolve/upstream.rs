//! The upstreams for real: UDP and TCP, TLS and HTTPS, by way of hickory.
//!
//! Of that library only the connections are used: no cache, no hosts file, no search list, no following of CNAMEs, no
//! choice between servers, no retries beyond those of UDP. What it hands over is the message as it came.

mod wire;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record as WireRecord, RecordType};
use hickory_resolver::config::{ConnectionConfig, ProtocolConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::{PoolContext, TlsConfig};
use rustls::RootCertStore;

use crate::config::{self, Transport, Upstream};
use crate::names::ServerName;

use super::Family;
use super::answer::{Answer, AskError, DnsName, Record, RecordData};
use super::failover::{Ask, Asking, Failover};

use wire::Wire;

/// Why an upstream can not be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A `tls://` or `https://` upstream, on a system that trusts nobody.
    #[error("the system has no certificate authorities to check encrypted name servers with{why}")]
    NoRoots {
        /// What went wrong while they were looked for, in words; may be empty.
        why: String,
    },
    /// The TLS library refuses its configuration.
    #[error("TLS for encrypted name servers can not be set up")]
    Tls(#[source] rustls::Error),
}

/// Connects the upstreams of a configuration: `servers` are those of the configuration, or of the system where it names
/// none. Nothing is sent before the first question.
///
/// Certificates of `tls://` and `https://` upstreams are checked against the system's authorities, or those in
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`.
///
/// # Errors
/// An [`UpstreamError`].
pub fn connect(servers: &[Upstream], resolver: &config::Resolver) -> Result<Failover, UpstreamError> {
    let encrypted = servers.iter().any(|server| server.transport != Transport::Plain);
    let roots = if encrypted {
        system_roots()?
    } else {
        RootCertStore::empty()
    };
    connect_trusting(servers, resolver, roots)
}

/// As [`connect`], with the certificate authorities given.
///
/// # Errors
/// An [`UpstreamError`].
pub fn connect_trusting(
    servers: &[Upstream],
    resolver: &config::Resolver,
    roots: RootCertStore,
) -> Result<Failover, UpstreamError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(UpstreamError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let upstreams = servers
        .iter()
        .map(|server| Box::new(Hickory::new(server, resolver, tls.clone())) as Box<dyn Ask>)
        .collect();
    Ok(Failover::new(upstreams, resolver))
}

/// One upstream.
struct Hickory {
    label: String,
    first: Wire,
    /// Where to ask again when an answer was truncated.
    on_truncation: Option<Wire>,
    timeout: Duration,
}

impl Hickory {
    fn new(upstream: &Upstream, resolver: &config::Resolver, tls: rustls::ClientConfig) -> Self {
        let mut options = ResolverOpts::default();
        options.timeout = resolver.timeout;
        options.max_active_requests = resolver.concurrency.max(1);
        let context = Arc::new(PoolContext::new(options, TlsConfig { config: tls }));
        let address = upstream.address;
        let wire = |protocol| Wire::new(address.ip(), connection(protocol, address), context.clone());
        let (first, on_truncation) = match &upstream.transport {
            Transport::Plain => (wire(ProtocolConfig::Udp), Some(wire(ProtocolConfig::Tcp))),
            Transport::Tls { server_name } => {
                let server_name = name_or_address(server_name.as_ref(), address);
                (wire(ProtocolConfig::Tls { server_name }), None)
            }
            Transport::Https { server_name, path } => {
                let server_name = name_or_address(server_name.as_ref(), address);
                let path = path.as_str().into();
                (wire(ProtocolConfig::Https { server_name, path }), None)
            }
        };
        Self {
            label: label(upstream),
            first,
            on_truncation,
            timeout: resolver.timeout,
        }
    }

    async fn ask_once(&self, name: &DnsName, family: Family) -> Result<Answer, AskError> {
        let query = query(name, family)?;
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.recursion_desired = true;
        let request = DnsRequest::from_query(query.clone(), options);
        let limit = tokio::time::Instant::now() + self.timeout;
        let mut response = self.ask_by(&self.first, &request, limit).await?;
        if response.truncation
            && let Some(wire) = &self.on_truncation
        {
            response = self.ask_by(wire, &request, limit).await?;
        }
        read(&response, &query)
    }

    async fn ask_by(
        &self,
        wire: &Wire,
        request: &DnsRequest,
        limit: tokio::time::Instant,
    ) -> Result<DnsResponse, AskError> {
        let silent = AskError::Silent { after: self.timeout };
        match tokio::time::timeout_at(limit, wire.ask(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(NetError::Timeout)) => Err(silent),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => {
                wire.reset();
                Err(silent)
            }
        }
    }
}

impl Ask for Hickory {
    fn label(&self) -> &str {
        &self.label
    }

    fn ask<'a>(&'a self, name: &'a DnsName, family: Family) -> Asking<'a> {
        Box::pin(self.ask_once(name, family))
    }
}

fn query(name: &DnsName, family: Family) -> Result<Query, AskError> {
    let mut wire = Name::from_ascii(name.as_str())
        .map_err(|error| AskError::Garbage(format!("{name} can not be asked for: {error}")))?;
    // Absolute, whatever it looks like: no search list is ever tried.
    wire.set_fqdn(true);
    let kind = match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    Ok(Query::query(wire, kind))
}

/// What the message says, if it is an answer to `query` at all.
fn read(response: &DnsResponse, query: &Query) -> Result<Answer, AskError> {
    match response.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Err(AskError::Code(code_text(code))),
    }
    if response.queries != std::slice::from_ref(query) {
        return Err(AskError::Garbage("it answers another question".to_owned()));
    }
    if response.truncation {
        return Err(AskError::Garbage("it is truncated".to_owned()));
    }
    let missing = response.response_code == ResponseCode::NXDomain;
    let negative_ttl = response
        .negative_ttl()
        .map(|seconds| Duration::from_secs(seconds.into()));
    let refers = response
        .authorities
        .iter()
        .any(|record| record.record_type() == RecordType::NS);
    if !missing && response.answers.is_empty() && negative_ttl.is_none() && refers {
        return Err(AskError::Referral);
    }
    Ok(Answer {
        records: response.answers.iter().filter_map(record).collect(),
        missing,
        negative_ttl,
    })
}

fn failed(error: &NetError) -> AskError {
    match error {
        NetError::Io(error) => AskError::Unreachable(error.to_string()),
        NetError::Proto(_) | NetError::Decode(_) => AskError::Garbage(error.to_string()),
        error => AskError::Unreachable(error.to_string()),
    }
}

/// The records that matter. Signatures and the like are left out.
fn record(record: &WireRecord) -> Option<Record> {
    if record.dns_class != DNSClass::IN {
        return None;
    }
    let data = match &record.data {
        RData::A(address) => RecordData::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => RecordData::Address(IpAddr::V6(address.0)),
        RData::CNAME(target) => RecordData::Alias(DnsName::new(&target.0.to_ascii())),
        _ => return None,
    };
    Some(Record {
        owner: DnsName::new(&record.name.to_ascii()),
        ttl: record.ttl,
        data,
    })
}

/// The field's own words for the codes that matter.
fn code_text(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL (server failure)".to_owned(),
        ResponseCode::Refused => "REFUSED (query refused)".to_owned(),
        ResponseCode::FormErr => "FORMERR (it does not understand the query)".to_owned(),
        ResponseCode::NotImp => "NOTIMP (not implemented)".to_owned(),
        other => format!("{other} (code {})", u16::from(other)),
    }
}

/// `192.0.2.53:53`, `tls://192.0.2.53:853#dns.example`, as in the configuration.
fn label(upstream: &Upstream) -> String {
    let Upstream { transport, address } = upstream;
    let mut label = match transport {
        Transport::Plain => address.to_string(),
        Transport::Tls { .. } => format!("tls://{address}"),
        Transport::Https { path, .. } => format!("https://{address}{path}"),
    };
    if let Transport::Tls {
        server_name: Some(name),
    }
    | Transport::Https {
        server_name: Some(name),
        ..
    } = transport
    {
        // Writing into a String can not fail.
        let _ = write!(label, "#{name}");
    }
    label
}

/// What the certificate has to be for.
fn name_or_address(name: Option<&ServerName>, address: SocketAddr) -> Arc<str> {
    name.map_or_else(|| address.ip().to_string(), ToString::to_string)
        .into()
}

fn connection(protocol: ProtocolConfig, address: SocketAddr) -> ConnectionConfig {
    let mut connection = ConnectionConfig::new(protocol);
    connection.port = address.port();
    connection
}

/// Whom the system trusts.
fn system_roots() -> Result<RootCertStore, UpstreamError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let mut why = String::new();
        for error in found.errors.iter().take(2) {
            let _ = write!(why, ": {error}");
        }
        return Err(UpstreamError::NoRoots { why });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
