//! The upstreams for real: UDP and TCP, TLS and HTTPS, by way of hickory.
//!
//! Of that library only the connections are used, one pool for each upstream: no cache, no hosts file, no search list, no
//! following of CNAMEs, no choice between servers. What it hands over is the message as it came.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record as WireRecord, RecordType};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use crate::config::{self, Transport, Upstream};

use super::Family;
use super::answer::{Answer, AskError, DnsName, Record, RecordData};
use super::failover::{Ask, Asking, Failover};

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
    /// The DNS library refuses its configuration.
    #[error("the name server {label} can not be set up")]
    Setup {
        /// Which one.
        label: String,
        /// Why.
        source: NetError,
    },
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
    let tls = if encrypted { Some(trusting_system()?) } else { None };
    let upstreams = servers
        .iter()
        .map(|server| {
            let upstream = Hickory::new(server, resolver, tls.clone())?;
            Ok(Box::new(upstream) as Box<dyn Ask>)
        })
        .collect::<Result<Vec<_>, UpstreamError>>()?;
    Ok(Failover::new(upstreams, resolver))
}

/// One upstream.
struct Hickory {
    label: String,
    pool: NameServerPool<TokioRuntimeProvider>,
    timeout: Duration,
}

impl Hickory {
    fn new(
        upstream: &Upstream,
        resolver: &config::Resolver,
        tls: Option<rustls::ClientConfig>,
    ) -> Result<Self, UpstreamError> {
        let label = label(upstream);
        let mut options = ResolverOpts::default();
        options.timeout = resolver.timeout;
        options.max_active_requests = resolver.concurrency.max(1);
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        let tls = match tls {
            Some(config) => TlsConfig { config },
            None => TlsConfig::new().map_err(|source| UpstreamError::Setup {
                label: label.clone(),
                source,
            })?,
        };
        let pool = NameServerPool::from_config(
            [server(upstream)],
            Arc::new(PoolContext::new(options, tls)),
            TokioRuntimeProvider::default(),
        );
        Ok(Self {
            label,
            pool,
            timeout: resolver.timeout,
        })
    }

    async fn ask_once(&self, name: &DnsName, family: Family) -> Result<Answer, AskError> {
        let mut wire = Name::from_ascii(name.as_str())
            .map_err(|error| AskError::Garbage(format!("{name} can not be asked for: {error}")))?;
        // Absolute, whatever it looks like: no search list is ever tried.
        wire.set_fqdn(true);
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.recursion_desired = true;
        let answer = self.pool.lookup(Query::query(wire, kind), options).first_answer();
        match tokio::time::timeout(self.timeout, answer).await {
            Err(_) | Ok(Err(NetError::Timeout)) => Err(AskError::Silent { after: self.timeout }),
            Ok(Err(error)) => failed(error),
            Ok(Ok(response)) => match response.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => Ok(Answer {
                    missing: response.response_code == ResponseCode::NXDomain,
                    negative_ttl: response
                        .negative_ttl()
                        .map(|seconds| Duration::from_secs(seconds.into())),
                    records: response.answers.iter().filter_map(record).collect(),
                }),
                code => Err(AskError::Code(code_text(code))),
            },
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

/// What the library calls an error: some are answers.
fn failed(error: NetError) -> Result<Answer, AskError> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(nothing)) => {
            let missing = nothing.response_code == ResponseCode::NXDomain;
            if !missing && nothing.soa.is_none() && nothing.ns.is_some() {
                return Err(AskError::Referral);
            }
            Ok(Answer {
                records: Vec::new(),
                missing,
                negative_ttl: nothing
                    .negative_ttl
                    .map(|seconds| Duration::from_secs(seconds.into())),
            })
        }
        NetError::Dns(DnsError::ResponseCode(code)) => Err(AskError::Code(code_text(code))),
        NetError::Io(error) => Err(AskError::Unreachable(error.to_string())),
        NetError::Proto(_)
        | NetError::Decode(_)
        | NetError::QueryCaseMismatch
        | NetError::ForeignClassRecord { .. }
        | NetError::Truncated => Err(AskError::Garbage(error.to_string())),
        error => Err(AskError::Unreachable(error.to_string())),
    }
}

/// The records that matter. Signatures and the like are left out.
fn record(record: &WireRecord) -> Option<Record> {
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

fn server(upstream: &Upstream) -> NameServerConfig {
    let address = upstream.address;
    let name_or_address = |name: &Option<crate::names::ServerName>| -> Arc<str> {
        name.as_ref()
            .map_or_else(|| address.ip().to_string(), ToString::to_string)
            .into()
    };
    let protocols = match &upstream.transport {
        Transport::Plain => vec![ProtocolConfig::Udp, ProtocolConfig::Tcp],
        Transport::Tls { server_name } => vec![ProtocolConfig::Tls {
            server_name: name_or_address(server_name),
        }],
        Transport::Https { server_name, path } => vec![ProtocolConfig::Https {
            server_name: name_or_address(server_name),
            path: path.as_str().into(),
        }],
    };
    let connections = protocols
        .into_iter()
        .map(|protocol| connection(protocol, address))
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

fn connection(protocol: ProtocolConfig, address: SocketAddr) -> ConnectionConfig {
    let mut connection = ConnectionConfig::new(protocol);
    connection.port = address.port();
    connection
}

/// TLS that trusts whom the system trusts.
fn trusting_system() -> Result<rustls::ClientConfig, UpstreamError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let mut why = String::new();
        for error in found.errors.iter().take(2) {
            let _ = write!(why, ": {error}");
        }
        return Err(UpstreamError::NoRoots { why });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(UpstreamError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
