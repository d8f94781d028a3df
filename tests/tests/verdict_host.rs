//! The verdict on the host: the vectors, and properties over arbitrary bytes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use enforcer::policy::table::{HostTables, Table};
use enforcer_common::Reason;
use enforcer_common::at_once::{AtOnce, at_once};
use enforcer_common::flow::Flow;
use enforcer_common::packet::{self, Family, Packet};
use enforcer_common::table::{Generation, Settings};
use enforcer_common::verdict::{Judgement, Verdict, judge_packet};
use enforcer_lab::packets::{tcp4, tcp6};
use enforcer_lab::vectors::{
    Expected, FOREIGN_V4, FOREIGN_V6, GRANTED_V4, GRANTED_V6, PORTS, policy, vectors,
};
use proptest::prelude::*;

fn tables(settings: u32, generation: u64) -> HostTables<'static> {
    static IMAGE: LazyLock<Table> = LazyLock::new(|| policy().unwrap());
    HostTables {
        table: &IMAGE,
        settings: Settings(settings),
        generation: Generation(generation),
    }
}

fn judge(bytes: &[u8], family: Family, settings: u32, generation: u64) -> Judgement {
    let tables = tables(settings, generation);
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

/// Not that any other would be wrong, but it would be slow.
#[test]
fn what_is_sent_all_the_time_passes_at_once() {
    let payload = |mut packet: enforcer_lab::packets::Packet| {
        packet.bytes.extend([0; 100]);
        packet
    };
    let named = std::net::Ipv4Addr::new(192, 0, 2, 200);
    let mut judged = Flow {
        judged: 1,
        ..Flow::default()
    };
    for packet in [
        tcp4(FOREIGN_V4, 80),
        tcp6(FOREIGN_V6, 80),
        tcp4(GRANTED_V4, 443),
        tcp6(GRANTED_V6, 443),
        payload(tcp4(GRANTED_V4, 443)),
        payload(tcp6(GRANTED_V6, 443)),
        tcp4(named, 443),
        payload(tcp4(named, 443)),
    ] {
        let known = at_once(
            packet.bytes.as_slice(),
            packet.family,
            PORTS.as_slice(),
            &tables(0, 1),
            &mut judged,
        );
        assert_eq!(known, AtOnce::Passes, "{packet:?}");
    }
    // A policy later it is to be judged once more.
    let known = at_once(
        payload(tcp4(named, 443)).bytes.as_slice(),
        Family::V4,
        PORTS.as_slice(),
        &tables(0, 2),
        &mut judged,
    );
    assert_eq!(known, AtOnce::Session);
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

    /// What passes at once would pass anyhow, and what is a session's at once would be one, whatever it is and whatever is kept
    /// with its socket; and what is kept then is the same.
    #[test]
    fn what_is_known_at_once_is_so(
        at in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in prop::option::of(0_usize..80),
        settings in 0_u32..8,
        generation in 0_u64..3,
        judged in prop::option::of(0_u64..3),
    ) {
        let all = vectors();
        let mut packet = at.get(&all).packet.clone();
        for (at, byte) in changes {
            let at = at.index(packet.bytes.len().min(64));
            packet.bytes[at] = byte;
        }
        if let Some(length) = length {
            packet = packet.cut(length);
        }
        let (bytes, tables) = (packet.bytes.as_slice(), tables(settings, generation));
        let (known, verdict) = match judged {
            None => (
                at_once(bytes, packet.family, PORTS.as_slice(), &tables, &mut ()),
                judge_packet(bytes, packet.family, PORTS.as_slice(), &tables, &mut ()).0.verdict,
            ),
            Some(judged) => {
                let before = Flow { judged, ..Flow::default() };
                let (mut one, mut other) = (before, before);
                let known = at_once(bytes, packet.family, PORTS.as_slice(), &tables, &mut one);
                let verdict = judge_packet(bytes, packet.family, PORTS.as_slice(), &tables, &mut other).0.verdict;
                if matches!(known, AtOnce::Unknown) {
                    prop_assert_eq!(one, before);
                } else {
                    prop_assert_eq!(one, other);
                }
                (known, verdict)
            }
        };
        let holds = match known {
            AtOnce::Passes => matches!(verdict, Verdict::Ignored | Verdict::Granted),
            AtOnce::Session => matches!(verdict, Verdict::Session),
            AtOnce::Unknown => true,
        };
        prop_assert!(holds, "{known:?}, and {verdict:?}");
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
