//! Whom it asks, and what it does about those that do not answer.

use std::net::UdpSocket;

use enforcer::resolve::FamilyState;
use enforcer_lab::nameserver::{Fault, RecordType};

use crate::{HURRIED, LIMIT, PATIENT, addresses, once, server, start};

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
