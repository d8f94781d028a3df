//! The verdict on the host: the vectors, and properties over arbitrary bytes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use enforcer::policy::table::{HostTables, TableImage};
use enforcer_common::Reason;
use enforcer_common::packet::{self, Family, Packet};
use enforcer_common::table::{Generation, Settings};
use enforcer_common::verdict::{Judgement, Verdict, judge_packet};
use enforcer_lab::vectors::{Expected, PORTS, policy, vectors};
use proptest::prelude::*;

fn judge(bytes: &[u8], family: Family, settings: u32, generation: u64) -> Judgement {
    static IMAGE: LazyLock<TableImage> = LazyLock::new(|| policy().unwrap());
    let tables = HostTables {
        image: &IMAGE,
        settings: Settings(settings),
        generation: Generation(generation),
    };
    judge_packet(bytes, family, PORTS.as_slice(), &tables, &mut ()).0
}

fn expected(judgement: Judgement) -> Expected {
    match judgement.verdict {
        Verdict::Ignored => Expected::Ignored,
        Verdict::Granted => Expected::Granted(judgement.grant.rule()),
        Verdict::Session => unreachable!("only of a TCP socket"),
        Verdict::Denied(reason) => Expected::Denied(reason),
    }
}

#[test]
fn every_vector_gets_its_verdict() {
    for vector in vectors() {
        let verdict = judge(&vector.packet.bytes, vector.packet.family, 0, 1);
        assert_eq!(expected(verdict), vector.expected, "{}", vector.name);
    }
}

#[test]
fn vectors_cover_every_reason_that_bytes_can_cause() {
    let covered: BTreeSet<Reason> = vectors()
        .into_iter()
        .filter_map(|vector| match vector.expected {
            Expected::Denied(reason) => Some(reason),
            _ => None,
        })
        .collect();
    // These four need another state of the tables, or a packet that is no IP; what comes behind needs a connection.
    let elsewhere = [
        Reason::NotIp,
        Reason::NoPolicy,
        Reason::PolicyChanging,
        Reason::TableDamaged,
    ];
    let of_packets = Reason::ALL
        .iter()
        .filter(|reason| **reason < Reason::NoServerName && !elsewhere.contains(reason));
    for reason in of_packets {
        assert!(covered.contains(reason), "{}", reason.name());
    }
}

#[test]
fn without_a_policy_filtered_ports_are_denied_and_others_are_not() {
    for vector in vectors() {
        let verdict = judge(&vector.packet.bytes, vector.packet.family, 0, 0).verdict;
        match vector.expected {
            Expected::Ignored => assert_eq!(verdict, Verdict::Ignored, "{}", vector.name),
            _ => assert!(
                matches!(verdict, Verdict::Denied(_)),
                "{}: {verdict:?}",
                vector.name
            ),
        }
    }
}

#[test]
fn with_quic_allowed_udp_is_judged_by_its_address() {
    for vector in vectors() {
        let verdict = judge(
            &vector.packet.bytes,
            vector.packet.family,
            Settings::QUIC_ALLOWED,
            1,
        )
        .verdict;
        assert_ne!(verdict, Verdict::Denied(Reason::QuicDenied), "{}", vector.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// No bytes make the parser panic, and whatever it finds lies within the packet.
    #[test]
    fn arbitrary_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..160), six: bool) {
        let mut parsed = Packet::default();
        let family = if six { Family::V6 } else { Family::V4 };
        if packet::parse(bytes.as_slice(), family, &mut parsed).is_ok() {
            prop_assert!(!parsed.has_ports || parsed.transport as usize + 4 <= bytes.len());
            prop_assert!(parsed.options <= packet::IPV4_OPTIONS_BYTES_MAX);
            let _ = packet::check_options(bytes.as_slice(), parsed.options);
        }
    }

    /// A packet that is cut short is judged as before or denied, never let through where it was denied.
    #[test]
    fn cutting_a_packet_never_widens(at in any::<prop::sample::Index>(), length in 0_usize..80) {
        let all = vectors();
        let vector = at.get(&all);
        let cut = vector.packet.clone().cut(length);
        let verdict = judge(&cut.bytes, cut.family, 0, 1).verdict;
        if let Expected::Denied(_) = vector.expected {
            prop_assert!(matches!(verdict, Verdict::Denied(_)), "{}: {verdict:?}", vector.name);
        }
    }
}
