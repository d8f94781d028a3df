//! The record behind the first ClientHello, read in the fewest steps, against how every other is read.

use enforcer_common::bytes::Bytes as _;
use enforcer_common::flow::{Flow, Stage};
use enforcer_common::greeting::settles;
use enforcer_common::packet::{Address, Segment};
use enforcer_common::session::{Step, read};
use enforcer_common::table::{Generation, PolicyWord, Settings};
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
    let change = [20, 3, 3, 0, 1, 1];
    let data = [23, 3, 3, 0, 64, 0xda];
    let word = PolicyWord::new(Generation(GENERATION), Settings::default());
    for bytes in [data.to_vec(), [change, data].concat()] {
        let mut flow = greeted(&bytes);
        assert!(settles(bytes.as_slice(), &mut flow, word));
        assert_eq!((flow.stage(), flow.judged), (Stage::Settled, GENERATION));
    }
    let hello = [22, 3, 3, 0, 64, 1];
    for bytes in [hello.to_vec(), [change, hello].concat(), data[..5].to_vec()] {
        let mut flow = greeted(&bytes);
        assert!(!settles(bytes.as_slice(), &mut flow, word));
        assert_eq!(flow, greeted(&bytes));
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
        bytes.extend([23, 3, 3, 0, 64, 0xda]);
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut settled = Flow { early_data, stage, gathered, ..greeted(&bytes) };
        settled.next = settled.next.wrapping_add(skip / 2);
        settled.segment.flags = if urgent && skip == 0 { Segment::URG } else { 0 };
        let (before, mut other) = (settled, settled);
        let word = PolicyWord::new(Generation(generation), Settings(settings));
        if settles(bytes.as_slice(), &mut settled, word) {
            prop_assert_eq!(read(bytes.as_slice(), &mut other, word), Step::Pass);
            other.window = before.window;
            prop_assert_eq!(settled, other);
        } else {
            prop_assert_eq!(settled, before);
        }
    }
}
