//! Lookups that the writer overtakes at every possible point: a model of the double-buffered table in which the writer
//! does some of its steps before each read of the reader. Whatever the interleaving, the answer is that of a policy
//! which was whole and in force at some moment of the lookup, or "changing".

#![expect(clippy::cast_possible_truncation, reason = "the model is small")]

use std::cell::RefCell;

use enforcer_common::packet::Address;
use enforcer_common::table::{
    Found, Generation, GrantWord, Half, Index, IntervalV4, IntervalV6, PolicyWord, Settings, Tables, look_up,
};
use proptest::prelude::*;

/// The block of all addresses in the model.
const BLOCK: u32 = 0x0a00;

/// A policy grants some of the addresses `0..64` of the block; the grant's rule is the policy's number.
type Policy = Vec<u16>;

/// What the writer does in one step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Index(Index),
    Interval(usize, IntervalV4),
    Flip(u32),
}

struct Model {
    generation: u64,
    settings: u32,
    index: [Index; 2],
    intervals: [[IntervalV4; 64]; 2],
    /// What the writer still has to do, last first.
    steps: Vec<Step>,
    /// How many steps it does before each read, last first.
    pace: Vec<usize>,
    /// Every policy that was in force since the lookup began.
    in_force: Vec<u64>,
}

impl Model {
    fn step(&mut self) {
        let Some(step) = self.steps.pop() else { return };
        let inactive = 1 - (self.generation & 1) as usize;
        match step {
            Step::Index(index) => self.index[inactive] = index,
            Step::Interval(at, interval) => self.intervals[inactive][at] = interval,
            Step::Flip(settings) => {
                self.generation += 1;
                self.settings = settings;
                self.in_force.push(self.generation);
            }
        }
    }
}

/// The steps that publish `policy` as generation `number`.
fn publication(policy: &Policy, number: u64) -> Vec<Step> {
    let grant = GrantWord(number as u32);
    let mut steps: Vec<Step> = policy
        .iter()
        .enumerate()
        .map(|(at, address)| {
            Step::Interval(
                at,
                IntervalV4 {
                    first: *address,
                    last: *address,
                    grant,
                },
            )
        })
        .collect();
    steps.push(Step::Index(Index {
        first: 0,
        count: policy.len() as u32,
    }));
    steps.push(Step::Flip(number as u32));
    steps
}

struct Shared(RefCell<Model>);

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Model) -> T) -> T {
        let mut model = self.0.borrow_mut();
        for _ in 0..model.pace.pop().unwrap_or(0) {
            model.step();
        }
        read(&model)
    }
}

impl Tables for Shared {
    type Header = ();
    type Chunk = Half;

    fn header(&self) -> Option<()> {
        Some(())
    }

    fn word(&self, (): (), _after: u64) -> PolicyWord {
        self.read(|model| PolicyWord::new(Generation(model.generation), Settings(model.settings)))
    }

    fn index_v4(&self, half: Half, block: u32) -> Option<Index> {
        assert_eq!(block, BLOCK);
        Some(self.read(|model| model.index[half.index() as usize]))
    }
    fn chunk_v4(&self, half: Half, at: u32) -> Option<(Half, u32)> {
        Some((half, at))
    }
    fn interval_v4(&self, half: Half, at: u32) -> Option<IntervalV4> {
        self.read(|model| model.intervals[half.index() as usize].get(at as usize).copied())
    }
    fn index_v6(&self, _half: Half, _block: u32) -> Option<Index> {
        None
    }
    fn first_v6(&self, _half: Half, _at: u32) -> Option<[u64; 2]> {
        None
    }
    fn interval_v6(&self, _half: Half, _at: u32) -> Option<IntervalV6> {
        None
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::collection::btree_set(0_u16..64, 0..40).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_belongs_to_one_whole_policy(
        policies in prop::collection::vec(policy(), 1..12),
        pace in prop::collection::vec(prop_oneof![4 => Just(0_usize), 2 => 1_usize..4, 1 => 4_usize..120], 0..60),
        wanted in 0_u16..64,
    ) {
        // The first policy is in force before the lookup starts.
        let mut model = Model {
            generation: 0,
            settings: 0,
            index: [Index::default(); 2],
            intervals: [[IntervalV4::default(); 64]; 2],
            steps: Vec::new(),
            pace,
            in_force: Vec::new(),
        };
        model.steps = publication(&policies[0], 1).into_iter().rev().collect();
        while !model.steps.is_empty() {
            model.step();
        }
        let later = policies.iter().zip(1_u64..).skip(1).flat_map(|(policy, number)| publication(policy, number));
        model.steps = later.collect::<Vec<_>>().into_iter().rev().collect();

        let tables = Shared(RefCell::new(model));
        let answer = look_up(&tables, Address::V4((BLOCK << 16) | u32::from(wanted)));
        let model = tables.0.into_inner();

        let granted_by = |number: u64| policies[number as usize - 1].contains(&wanted);
        match answer.found {
            Found::Granted => {
                let grant = answer.grant;
                let number = u64::from(grant.rule());
                prop_assert!(model.in_force.contains(&number));
                prop_assert!(granted_by(number));
                prop_assert_eq!(answer.generation, Generation(number));
                prop_assert_eq!(answer.settings, Settings(number as u32));
            }
            Found::NotGranted => {
                let number = answer.generation.0;
                prop_assert!(model.in_force.contains(&number));
                prop_assert!(!granted_by(number));
                prop_assert_eq!(answer.settings, Settings(number as u32));
            }
            Found::Changing => prop_assert!(model.in_force.len() > 3, "it changed under every attempt"),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
