//! Resolving over real sockets on loopback, against the scriptable name server.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use enforcer::config::{Resolver, Transport, Upstream};
use enforcer::names::ServerName;
use enforcer::resolve::{Family, FamilyState, NameSnapshot, Question, Sanity, Service, Snapshot, Standing};
use enforcer::resolve::{resolve_once, upstream};
use enforcer_lab::nameserver::{Fault, Listener, NameServer, RecordType};

/// Only a failing test waits for it.
const LIMIT: Duration = Duration::from_secs(20);
/// How long an upstream may keep silent where none does.
const PATIENT: Duration = Duration::from_secs(10);
/// How long an upstream may keep silent where one does. Far above what an answer on loopback takes.
const HURRIED: Duration = Duration::from_secs(1);

fn server() -> NameServer {
    NameServer::start(&["127.0.0.1:0".parse().unwrap()]).unwrap()
}

fn config(servers: &[SocketAddr], timeout: Duration) -> Resolver {
    Resolver {
        servers: servers
            .iter()
            .map(|address| Upstream {
                transport: Transport::Plain,
                address: *address,
            })
            .collect(),
        timeout,
        ttl_min: Duration::from_secs(1),
        ttl_max: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
        addresses_max: 64,
        chain_max: 12,
        concurrency: 8,
    }
}

fn questions(names: &[&str]) -> Vec<Question> {
    names
        .iter()
        .map(|name| Question {
            name: ServerName::parse(name).unwrap(),
            private_link: vec![],
            sanity: Sanity::default(),
        })
        .collect()
}

async fn once(servers: &[SocketAddr], timeout: Duration, names: &[&str]) -> Snapshot {
    let config = config(servers, timeout);
    let upstreams = upstream::connect(&config.servers, &config).unwrap();
    resolve_once(questions(names), &config, upstreams, LIMIT).await
}

fn start(servers: &[SocketAddr], timeout: Duration, names: &[&str]) -> Service {
    let config = config(servers, timeout);
    let upstreams = upstream::connect(&config.servers, &config).unwrap();
    Service::start(questions(names), &config, upstreams)
}

fn addresses(name: &NameSnapshot) -> Vec<String> {
    name.addresses
        .iter()
        .map(|known| known.address.to_string())
        .collect()
}

async fn wait_for(service: &Service, what: impl Fn(&NameSnapshot) -> bool) -> NameSnapshot {
    let mut snapshots = service.snapshots();
    let waited = tokio::time::timeout(LIMIT, snapshots.wait_for(|snapshot| what(&snapshot.names[0])));
    let Ok(Ok(snapshot)) = waited.await else {
        panic!("it never came to that");
    };
    NameSnapshot::clone(&snapshot.names[0])
}

#[tokio::test]
async fn only_the_chain_counts_and_its_shortest_ttl() {
    let server = server();
    server.script(|zone| {
        zone.cname("contoso.azurecr.io", 2881, "contoso.privatelink.azurecr.io");
        zone.cname(
            "contoso.privatelink.azurecr.io",
            300,
            "_x.WestEurope.cloudapp.azure.com",
        );
        zone.addresses(
            "_x.westeurope.cloudapp.azure.com",
            10,
            &["198.51.100.1", "2001:db8::1"],
        );
        zone.inject("contoso.azurecr.io", "evil.test", 1, "203.0.113.66");
    });
    let before = std::time::Instant::now();
    let snapshot = once(&[server.address()], PATIENT, &["Contoso.azurecr.io"]).await;
    let after = std::time::Instant::now();
    let name = &snapshot.names[0];
    assert_eq!(addresses(name), ["198.51.100.1", "2001:db8::1"]);
    assert_eq!(
        name.chain
            .iter()
            .map(|target| target.as_str())
            .collect::<Vec<_>>(),
        [
            "contoso.privatelink.azurecr.io",
            "_x.westeurope.cloudapp.azure.com"
        ]
    );
    for known in name.addresses.iter() {
        assert!(known.expires >= before + Duration::from_secs(10));
        assert!(known.expires <= after + Duration::from_secs(10));
    }
    assert_eq!((&name.v4, &name.v6), (&FamilyState::Fresh, &FamilyState::Fresh));
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.name == "contoso.azurecr.io")
    );
}

#[tokio::test]
async fn rotation_is_followed_at_the_pace_of_the_ttl() {
    let server = server();
    server.script(|zone| {
        zone.rotate(
            "a.example.com",
            RecordType::A,
            1,
            &[
                &["198.51.100.1", "198.51.100.2"],
                &["198.51.100.2", "198.51.100.3"],
                &["198.51.100.4"],
            ],
        );
    });
    let service = start(&[server.address()], PATIENT, &["a.example.com"]);
    let name = wait_for(&service, |name| name.addresses.len() == 4).await;
    let current = |name: &NameSnapshot| {
        name.addresses
            .iter()
            .filter(|known| known.standing == Standing::Current)
            .count()
    };
    assert_eq!(current(&name), 1);
    service.stop().await;
}

#[tokio::test]
async fn the_next_upstream_is_asked_on_failure_refusal_and_silence() {
    for fault in [Fault::ServFail, Fault::Refused, Fault::Silence] {
        let (first, second) = (server(), server());
        first.script(|zone| zone.fault_everywhere(Some(fault)));
        second.script(|zone| zone.addresses("a.example.com", 60, &["198.51.100.1"]));
        let snapshot = once(&[first.address(), second.address()], HURRIED, &["a.example.com"]).await;
        assert_eq!(addresses(&snapshot.names[0]), ["198.51.100.1"], "{fault:?}");
        assert_eq!(snapshot.names[0].v6, FamilyState::Empty, "{fault:?}");
        assert!(first.count("a.example.com", RecordType::A) > 0);
    }
}

#[tokio::test]
async fn an_upstream_where_nobody_listens_or_that_talks_nonsense_is_passed_over() {
    let good = server();
    good.script(|zone| zone.addresses("a.example.com", 60, &["198.51.100.1"]));
    // At an address of its own, where no other test can come to listen on the port meanwhile.
    let deserted = UdpSocket::bind("127.0.77.1:0").unwrap().local_addr().unwrap();
    let snapshot = once(&[deserted, good.address()], HURRIED, &["a.example.com"]).await;
    assert_eq!(addresses(&snapshot.names[0]), ["198.51.100.1"]);

    let nonsense = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nonsense.local_addr().unwrap();
    // The thread ends with the test's process: it only ever answers.
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = nonsense.recv_from(&mut buffer) {
            // The right identifier, a response, and then counts that the rest does not keep.
            let mut answer = vec![buffer[0], buffer[1], 0x81, 0x80];
            answer.extend([0xff; 5]);
            assert!(length > 2);
            let _ = nonsense.send_to(&answer, from);
        }
    });
    let snapshot = once(&[address, good.address()], HURRIED, &["a.example.com"]).await;
    assert_eq!(addresses(&snapshot.names[0]), ["198.51.100.1"]);
    let snapshot = once(&[address], HURRIED, &["a.example.com"]).await;
    assert!(
        matches!(&snapshot.names[0].v4, FamilyState::Failed { error } if error.contains("can not be read")),
        "{:?}",
        snapshot.names[0].v4
    );
}

#[tokio::test]
async fn no_such_name_is_not_asked_elsewhere() {
    let (first, second) = (server(), server());
    second.script(|zone| zone.addresses("a.example.com", 60, &["198.51.100.1"]));
    let snapshot = once(&[first.address(), second.address()], PATIENT, &["a.example.com"]).await;
    assert!(
        matches!(&snapshot.names[0].v4, FamilyState::Failed { error } if error.contains("NXDOMAIN")),
        "{:?}",
        snapshot.names[0].v4
    );
    assert_eq!(second.asked(), []);
}

#[tokio::test]
async fn a_truncated_answer_comes_over_tcp() {
    let server = server();
    let many: Vec<String> = (1..=60).map(|host| format!("198.51.100.{host}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    server.script(|zone| {
        zone.addresses("a.example.com", 60, &many);
        zone.addresses("b.example.com", 60, &["198.51.100.1"]);
        zone.fault("b.example.com", RecordType::A, Fault::Truncate);
        // More than a UDP answer holds, and within the limit of one family.
        let wide: Vec<String> = (1..=60).map(|host| format!("2001:db8::{host}")).collect();
        zone.addresses(
            "c.example.com",
            60,
            &wide.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    });
    let names = ["a.example.com", "b.example.com", "c.example.com"];
    let snapshot = once(&[server.address()], PATIENT, &names).await;
    assert_eq!(snapshot.names[0].addresses.len(), 60);
    assert_eq!(addresses(&snapshot.names[1]), ["198.51.100.1"]);
    assert_eq!(snapshot.names[2].addresses.len(), 60);
    let tcp = |name: &str, kind| {
        let asked = server.asked();
        asked
            .iter()
            .any(|asked| asked.tcp && asked.name == name && asked.kind == kind)
    };
    assert!(tcp("b.example.com", RecordType::A));
    assert!(tcp("c.example.com", RecordType::AAAA));
    assert!(!tcp("b.example.com", RecordType::AAAA));
}

#[tokio::test]
async fn one_family_fails_alone() {
    let server = server();
    server.script(|zone| {
        zone.addresses("a.example.com", 60, &["198.51.100.1", "2001:db8::1"]);
        zone.fault("a.example.com", RecordType::AAAA, Fault::ServFail);
    });
    let snapshot = once(&[server.address()], PATIENT, &["a.example.com"]).await;
    let name = &snapshot.names[0];
    assert_eq!(addresses(name), ["198.51.100.1"]);
    assert_eq!(name.v4, FamilyState::Fresh);
    let FamilyState::Failed { error } = &name.v6 else {
        panic!("{:?}", name.v6);
    };
    assert_eq!(
        *error,
        format!("{}: it answered SERVFAIL (server failure)", server.address())
    );
}

#[tokio::test]
async fn the_last_good_answer_outlives_every_fault() {
    let faults = [
        ("nxdomain.example.com", Fault::NxDomain),
        ("nodata.example.com", Fault::NoData),
        ("servfail.example.com", Fault::ServFail),
        ("refused.example.com", Fault::Refused),
        ("silence.example.com", Fault::Silence),
    ];
    let names = faults.map(|(name, _)| name);
    let server = server();
    server.script(|zone| {
        for name in names {
            zone.addresses(name, 1, &["198.51.100.1"]);
        }
    });
    let service = start(&[server.address()], HURRIED, &names);
    let everywhere = |what: fn(&NameSnapshot) -> bool| {
        let mut snapshots = service.snapshots();
        async move {
            let all = snapshots.wait_for(|snapshot| snapshot.names.iter().all(|name| what(name)));
            let Ok(Ok(snapshot)) = tokio::time::timeout(LIMIT, all).await else {
                panic!("it never came to that");
            };
            snapshot.clone()
        }
    };
    everywhere(|name| name.v4 == FamilyState::Fresh).await;
    server.script(|zone| {
        for (name, fault) in faults {
            zone.fault(name, RecordType::A, fault);
        }
    });
    let snapshot = everywhere(|name| matches!(name.v4, FamilyState::Stale { .. })).await;
    for name in snapshot.names.iter() {
        assert_eq!(addresses(name), ["198.51.100.1"], "{}", name.name);
    }
    server.script(|zone| {
        for name in names {
            zone.heal(name, RecordType::A);
            zone.addresses(name, 1, &["198.51.100.2"]);
        }
    });
    let snapshot = everywhere(|name| name.v4 == FamilyState::Fresh).await;
    for name in snapshot.names.iter() {
        assert_eq!(addresses(name), ["198.51.100.1", "198.51.100.2"], "{}", name.name);
    }
    service.stop().await;
}

#[tokio::test]
async fn special_addresses_are_refused_and_reported() {
    let server = server();
    server.script(|zone| {
        zone.addresses("a.example.com", 60, &["127.0.0.1", "198.51.100.1", "fe80::1"]);
        zone.addresses("contoso.azurecr.io", 60, &["10.20.0.4"]);
    });
    let config = config(&[server.address()], PATIENT);
    let upstreams = upstream::connect(&config.servers, &config).unwrap();
    let mut questions = questions(&["a.example.com", "contoso.azurecr.io"]);
    questions[1].private_link = vec!["10.20.0.0/16".parse().unwrap()];
    let snapshot = resolve_once(questions, &config, upstreams, LIMIT).await;
    assert_eq!(addresses(&snapshot.names[0]), ["198.51.100.1"]);
    let refused: Vec<String> = snapshot.names[0]
        .refused
        .iter()
        .map(|refused| format!("{} {}", refused.address, refused.why))
        .collect();
    assert_eq!(
        refused,
        ["127.0.0.1 loopback (RFC 1122)", "fe80::1 link-local (RFC 4291)"]
    );
    assert!(matches!(snapshot.names[0].v6, FamilyState::Failed { .. }));
    assert_eq!(addresses(&snapshot.names[1]), ["10.20.0.4"]);
}

#[tokio::test]
async fn a_chain_that_an_upstream_does_not_follow_is_followed() {
    let server = server();
    server.script(|zone| {
        zone.cname("a.example.com", 60, "b.example.net");
        zone.stop_at("a.example.com");
        zone.addresses("b.example.net", 60, &["198.51.100.1"]);
        zone.cname("loop.example.com", 60, "loop.example.net");
        zone.cname("loop.example.net", 60, "loop.example.com");
    });
    let snapshot = once(
        &[server.address()],
        PATIENT,
        &["a.example.com", "loop.example.com"],
    )
    .await;
    assert_eq!(addresses(&snapshot.names[0]), ["198.51.100.1"]);
    assert!(
        matches!(&snapshot.names[1].v4, FamilyState::Failed { error } if error.contains("comes back to")),
        "{:?}",
        snapshot.names[1].v4
    );
}

#[tokio::test]
async fn names_are_absolute_and_the_hosts_file_is_not_read() {
    let server = server();
    let snapshot = once(&[server.address()], PATIENT, &["localhost.localdomain"]).await;
    assert!(snapshot.names[0].addresses.is_empty());
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|asked| asked.name == "localhost.localdomain"));
}

#[tokio::test]
async fn a_dead_name_does_not_hold_up_the_others() {
    let server = server();
    server.script(|zone| {
        zone.addresses("a.example.com", 60, &["198.51.100.1"]);
        for kind in [RecordType::A, RecordType::AAAA] {
            zone.fault("dead.example.com", kind, Fault::Silence);
        }
    });
    let service = start(
        &[server.address()],
        PATIENT,
        &["dead.example.com", "a.example.com"],
    );
    let mut snapshots = service.snapshots();
    let first = snapshots.wait_for(|snapshot| snapshot.names[1].v4 == FamilyState::Fresh);
    let first = tokio::time::timeout(LIMIT, first).await.unwrap().unwrap().clone();
    assert_eq!(
        first.names[0].v4,
        FamilyState::Unasked,
        "the dead one is still being waited for"
    );
    service.stop().await;
}

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
