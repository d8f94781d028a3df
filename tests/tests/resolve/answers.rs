//! What of an answer counts, and for how long.

use std::time::Duration;

use enforcer::resolve::{FamilyState, NameSnapshot, Standing};
use enforcer::resolve::{resolve_once, upstream};
use enforcer_lab::nameserver::{Fault, RecordType};

use crate::{HURRIED, LIMIT, PATIENT, addresses, config, once, questions, server, start, wait_for};

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
