//! DNS over TLS and over HTTPS.

use std::net::TcpListener;
use std::sync::Arc;

use enforcer::config::{Transport, Upstream};
use enforcer::names::ServerName;
use enforcer::resolve::{Family, FamilyState};
use enforcer::resolve::{resolve_once, upstream};
use enforcer_lab::nameserver::{Listener, NameServer};

use crate::{LIMIT, PATIENT, addresses, config, questions};

/// A certificate authority, and a server of its.
struct Authority {
    roots: rustls::RootCertStore,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer =
            rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        Self { roots, issuer }
    }

    fn server(&self, name: &str, protocol: &[u8]) -> Arc<rustls::ServerConfig> {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

#[tokio::test]
async fn encrypted_upstreams_are_asked_and_their_names_are_checked() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = Authority::new();
    let server = NameServer::with_listeners(vec![
        Listener::Tls(listen(), authority.server("dns.example", b"dot")),
        Listener::Https {
            listener: listen(),
            tls: authority.server("dns.example", b"h2"),
            path: "/dns-query".to_owned(),
        },
        Listener::Tls(listen(), authority.server("127.0.0.1", b"dot")),
    ])
    .unwrap();
    server.script(|zone| zone.addresses("a.example.com", 60, &["198.51.100.1"]));
    let name = |text: &str| Some(ServerName::parse(text).unwrap());
    let tls = |server_name| Transport::Tls { server_name };
    let https = |server_name| Transport::Https {
        server_name,
        path: "/dns-query".to_owned(),
    };
    let table = [
        (0, tls(name("dns.example")), true),
        (0, tls(name("other.example")), false),
        (0, tls(None), false),
        (1, https(name("dns.example")), true),
        (1, https(name("other.example")), false),
        (2, tls(None), true),
    ];
    for (index, transport, good) in table {
        let upstream = Upstream {
            transport,
            address: server.addresses()[index],
        };
        let config = config(&[], PATIENT);
        let trusting =
            |roots| upstream::connect_trusting(std::slice::from_ref(&upstream), &config, roots).unwrap();
        let trusted = trusting(authority.roots.clone());
        let snapshot = resolve_once(questions(&["a.example.com"]), &config, trusted, LIMIT).await;
        if good {
            assert_eq!(addresses(&snapshot.names[0]), ["198.51.100.1"], "{upstream:?}");
        } else {
            assert!(
                matches!(&snapshot.names[0].v4, FamilyState::Failed { error } if error.contains("certificate")),
                "{upstream:?} {:?}",
                snapshot.names[0].v4
            );
        }
        let distrusted = trusting(Authority::new().roots);
        let snapshot = resolve_once(questions(&["a.example.com"]), &config, distrusted, LIMIT).await;
        assert!(
            matches!(&snapshot.names[0].v4, FamilyState::Failed { error } if error.contains("certificate")),
            "{upstream:?} {:?}",
            snapshot.names[0].v4
        );
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let authority = Authority::new();
    let serve = |listener| {
        let tls = authority.server("dns.example", b"dot");
        let server = NameServer::with_listeners(vec![Listener::Tls(listener, tls)]).unwrap();
        server.script(|zone| zone.addresses("a.example.com", 60, &["198.51.100.1"]));
        server
    };
    let server = serve(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = server.address();
    let upstream = Upstream {
        transport: Transport::Tls {
            server_name: Some(ServerName::parse("dns.example").unwrap()),
        },
        address,
    };
    let config = config(&[], PATIENT);
    let upstreams = upstream::connect_trusting(&[upstream], &config, authority.roots.clone()).unwrap();
    let name = ServerName::parse("a.example.com").unwrap();
    upstreams.resolve(&name, Family::V4).await.unwrap();
    drop(server);
    let error = upstreams
        .resolve(&name, Family::V4)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("refused"), "{error}");
    let server = serve(TcpListener::bind(address).unwrap());
    upstreams.resolve(&name, Family::V4).await.unwrap();
    drop(server);
    let server = serve(TcpListener::bind(address).unwrap());
    upstreams.resolve(&name, Family::V4).await.unwrap();
    assert_eq!(server.asked().len(), 1);
}
