//! The record behind the first ClientHello, read in the fewest steps, against how every other is read.

use enforcer_common::at_once::{AtOnce, of_kept};
use enforcer_common::bytes::Bytes as _;
use enforcer_common::flow::{Flow, Stage};
use enforcer_common::greeting::settles;
use enforcer_common::packet::{Address, Family, Segment};
use enforcer_common::session::{Step, read};
use enforcer_common::table::{Generation, GrantWord, PolicyWord, Settings};
use proptest::prelude::*;

const GENERATION: u64 = 5;

/// A session whose hello was let through, and a segment behind it.
fn greeted(bytes: &[u8]) -> Flow {
    let segment = Segment {
        sequence: u32::MAX - 2,
        length: bytes.length(),
        ..Segment::default()
    };
    let mut flow = Flow {
        stage: Stage::Greeted as u8,
        named: GENERATION,
        next: segment.sequence,
        ..Flow::default()
    };
    flow.note(&segment, 0, Address::default());
    flow
}

#[test]
fn what_clients_send_behind_their_hello_settles() {
    let change = vec![20, 3, 3, 0, 1, 1];
    // The least that there is of a cipher: a byte that tells what it is, and 16 that prove it (RFC 8446 section 5.2).
    let data = [vec![23, 3, 3, 0, 17], vec![0xda; 17]].concat();
    let word = PolicyWord::new(Generation(GENERATION), Settings::default());
    for bytes in [data.clone(), [change.clone(), data.clone()].concat()] {
        let mut flow = greeted(&bytes);
        let segment = flow.segment;
        assert!(settles(bytes.as_slice(), &mut flow, &segment, word));
        assert_eq!((flow.stage(), flow.judged), (Stage::Settled, GENERATION));
    }
    let hello = [vec![22, 3, 3, 0, 64, 1], vec![0; 63]].concat();
    for bytes in [hello.clone(), [change, hello].concat(), data[..11].to_vec()] {
        let mut flow = greeted(&bytes);
        let segment = flow.segment;
        assert!(!settles(bytes.as_slice(), &mut flow, &segment, word));
        assert_eq!(flow, greeted(&bytes));
    }
}

/// A segment from an IPv4 address, with a sequence number and nothing else that matters in its headers.
fn packet(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x45;
    packet[24..28].copy_from_slice(&sequence.to_be_bytes());
    packet[32] = 5 << 4;
    packet.extend(payload);
    packet
}

#[test]
fn what_settles_passes_at_once_and_what_does_not_is_noted() {
    let word = PolicyWord::new(Generation(GENERATION), Settings::default());
    let data = [vec![23, 3, 3, 0, 17], vec![0xda; 17]].concat();
    let mut flow = greeted(&data);
    flow.segment = Segment::default();
    let before = flow;
    let sent = packet(flow.next, &data);
    let told = of_kept(sent.as_slice(), Family::V4, word, GrantWord::default(), &mut flow);
    assert_eq!(told, AtOnce::Passes);
    assert_eq!(flow.judged, GENERATION);
    assert_eq!(flow.segment, before.segment);

    // Behind a gap, or under another policy.
    for (sequence, generation) in [(before.next.wrapping_add(1), 0), (before.next, 1)] {
        let mut flow = before;
        let word = PolicyWord::new(Generation(GENERATION + generation), Settings::default());
        let sent = packet(sequence, &data);
        let told = of_kept(sent.as_slice(), Family::V4, word, GrantWord::default(), &mut flow);
        assert_eq!(told, AtOnce::Session);
        assert_eq!((flow.stage(), flow.judged), (Stage::Greeted, 0));
        assert_eq!(
            (flow.segment.sequence, flow.segment.payload, flow.segment.length),
            (sequence, 40, 22)
        );
        assert_eq!(flow.policy, word);
    }
}

fn kind() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 19_u8..25, 1 => any::<u8>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// What settles would pass anyhow, and leave the same behind.
    #[test]
    fn to_settle_is_to_be_read_as_the_last(
        records in prop::collection::vec((kind(), 0_u8..3, 0_u8..4), 0..4),
        cut in 0_usize..40,
        stage in prop_oneof![4 => Just(2), 1 => 0_u8..6],
        (early_data, generation, urgent) in (0_u32..2, 4_u64..7, any::<bool>()),
        (skip, gathered, settings) in (0_u32..3, 0_u32..2, 0_u32..8),
    ) {
        let mut bytes: Vec<u8> = Vec::new();
        for (kind, length, content) in records {
            bytes.extend([kind, 3, 3, 0, length]);
            bytes.extend(std::iter::repeat_n(content, length.into()));
        }
        bytes.extend([23, 3, 3, 0, 7, 0xda, 0xda, 0xda, 0xda, 0xda, 0xda, 0xda]);
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut settled = Flow { early_data, stage, gathered, ..greeted(&bytes) };
        settled.next = settled.next.wrapping_add(skip / 2);
        settled.segment.flags = if urgent && skip == 0 { Segment::URG } else { 0 };
        let (before, mut other) = (settled, settled);
        let word = PolicyWord::new(Generation(generation), Settings(settings));
        if settles(bytes.as_slice(), &mut settled, &before.segment, word) {
            prop_assert_eq!(read(bytes.as_slice(), &mut other, word), Step::Pass);
            // How it was read is nobody's.
            (other.window, other.looks) = (before.window, before.looks);
            prop_assert_eq!(settled, other);
        } else {
            prop_assert_eq!(settled, before);
        }
    }
}
