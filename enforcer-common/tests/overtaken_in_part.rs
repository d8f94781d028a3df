//! Every interleaving of a lookup with a writer that writes only what a half of the table lacks.
//!
//! The model: a table of a few blocks and a few positions, as `policy::table` keeps it, published by the rules of
//! `kernel/tables/publish.rs`, a word of memory at a time. Before each read of the reader the writer does any number of its
//! steps; all combinations are tried. The answer must be that of a policy which was whole and in force at some moment of
//! the lookup, or "changing". Then the same with each of the rules broken, which must be seen.

#![expect(clippy::cast_possible_truncation, reason = "the model is small")]

use std::cell::{Cell, RefCell};

use enforcer_common::packet::Address;
use enforcer_common::table::{
    Found, Generation, GrantWord, Half, Index, IntervalV4, PolicyWord, Settings, Tables, WHOLE, look_up,
};

/// Blocks of the model, from the first address on.
const BLOCKS: usize = 2;
/// Positions of a half.
const POSITIONS: usize = 5;

/// The last 16 bits of the granted addresses, for each block; the highest ones alone stand for all of it.
type Policy = [&'static [u16]; BLOCKS];

/// A rule of the writer that is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Broken {
    Nothing,
    /// What changed in the publication before is not written again into the other half.
    OnlyThisChange,
    /// Both halves are written at once.
    BothHalves,
    /// The word comes before the half is written.
    WordFirst,
    /// Runs come before the word, the entries that name them behind it.
    EntriesLate,
    /// What is written is the half that counts.
    InPlace,
    /// One more word follows, for the other half, in which nothing was written.
    OneWordMore,
    /// A run is put where it lies on that of a block that does not change.
    PlacesOverlap,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Index(usize, usize, Index),
    Interval(usize, usize, IntervalV4),
    Word(u64),
}

/// The table as the daemon has it: where each block's run lies, and what it is.
#[derive(Clone, Default)]
struct Writer {
    runs: [(usize, Vec<IntervalV4>); BLOCKS],
    before: [Vec<u16>; BLOCKS],
    changed_before: Vec<usize>,
    generation: u64,
}

impl Writer {
    /// The lowest positions that are free for a run of `count`.
    fn place(&self, block: usize, count: usize, broken: Broken) -> usize {
        if broken == Broken::PlacesOverlap {
            return 0;
        }
        (0..=POSITIONS - count)
            .find(|first| {
                let others = self.runs.iter().enumerate().filter(|(other, _)| *other != block);
                others.into_iter().all(|(_, (start, run))| {
                    run.is_empty() || start + run.len() <= *first || first + count <= *start
                })
            })
            .expect("the model has room")
    }

    /// The steps that publish `policy`, whose number is that of its generation.
    fn publish(&mut self, policy: &Policy, broken: Broken) -> Vec<Step> {
        self.generation += 1;
        let number = self.generation;
        let changed: Vec<usize> = (0..BLOCKS)
            .filter(|block| self.before[*block] != policy[*block])
            .collect();
        for block in &changed {
            self.runs[*block].1.clear();
        }
        for block in &changed {
            let place = self.place(*block, policy[*block].len(), broken);
            // The rule says in which policy this block became what it is.
            let run = policy[*block].iter().map(|address| IntervalV4 {
                first: *address,
                last: *address,
                grant: GrantWord(number as u32),
            });
            self.runs[*block] = (place, run.collect());
            self.before[*block] = policy[*block].to_vec();
        }
        let mut lacking = changed.clone();
        if broken != Broken::OnlyThisChange {
            lacking.extend(&self.changed_before);
            lacking.sort_unstable();
            lacking.dedup();
        }
        self.changed_before = changed;
        let half = (number & 1) as usize;
        let halves = match broken {
            Broken::BothHalves => vec![half, 1 - half],
            Broken::InPlace => vec![1 - half],
            _ => vec![half],
        };
        let mut steps = Vec::new();
        for half in halves {
            for block in &lacking {
                self.write(half, *block, &mut steps);
            }
        }
        let is_entry = |step: &Step| matches!(step, Step::Index(..));
        if broken == Broken::EntriesLate {
            steps.sort_by_key(is_entry);
        }
        let at = match broken {
            Broken::WordFirst => 0,
            Broken::EntriesLate => steps.iter().take_while(|step| !is_entry(step)).count(),
            _ => steps.len(),
        };
        steps.insert(at, Step::Word(number));
        if broken == Broken::OneWordMore {
            self.generation += 1;
            steps.push(Step::Word(number + 1));
        }
        steps
    }

    /// The steps that write a block.
    fn write(&self, half: usize, block: usize, steps: &mut Vec<Step>) {
        let (first, run) = &self.runs[block];
        for (at, interval) in run.iter().enumerate() {
            steps.push(Step::Interval(half, first + at, *interval));
        }
        let index = match run[..] {
            [only] if only.first == u16::MAX => Index {
                first: only.grant.0,
                count: WHOLE,
            },
            _ => Index {
                first: *first as u32,
                count: run.len() as u32,
            },
        };
        steps.push(Step::Index(half, block, index));
    }
}

/// Memory, and a writer that is about to go on.
struct Model<'a> {
    word: Cell<u64>,
    index: RefCell<[[Index; BLOCKS]; 2]>,
    intervals: RefCell<[[IntervalV4; POSITIONS]; 2]>,
    steps: &'a [Step],
    done: Cell<usize>,
    /// How many steps come before each read.
    paces: &'a RefCell<Vec<usize>>,
    /// Each read, and how many steps were left before it.
    reads: RefCell<Vec<usize>>,
    /// Words since the lookup began.
    in_force: RefCell<Vec<u64>>,
}

impl Model<'_> {
    fn step(&self) {
        match self.steps[self.done.get()] {
            Step::Index(half, block, index) => self.index.borrow_mut()[half][block] = index,
            Step::Interval(half, at, interval) => self.intervals.borrow_mut()[half][at] = interval,
            Step::Word(word) => {
                self.word.set(word);
                self.in_force.borrow_mut().push(word);
            }
        }
        self.done.set(self.done.get() + 1);
    }

    fn before_a_read(&self) {
        let at = self.reads.borrow().len();
        self.reads.borrow_mut().push(self.steps.len() - self.done.get());
        for _ in 0..self.paces.borrow().get(at).copied().unwrap_or(0) {
            self.step();
        }
    }
}

impl Tables for &Model<'_> {
    type Header = ();
    type Chunk = Half;

    fn header(&self) -> Option<()> {
        Some(())
    }

    fn word(&self, (): (), _after: u64) -> PolicyWord {
        self.before_a_read();
        PolicyWord::new(Generation(self.word.get()), Settings(0))
    }

    fn index_v4(&self, half: Half, block: u32) -> Option<Index> {
        self.before_a_read();
        self.index.borrow()[half.index() as usize]
            .get(block as usize)
            .copied()
    }

    fn chunk_v4(&self, half: Half, at: u32) -> Option<(Half, u32)> {
        Some((half, at))
    }

    fn interval_v4(&self, half: Half, at: u32) -> Option<IntervalV4> {
        self.before_a_read();
        self.intervals.borrow()[half.index() as usize]
            .get(at as usize)
            .copied()
    }

    fn index_v6(&self, _half: Half, _block: u32) -> Option<Index> {
        None
    }

    fn first_v6(&self, _half: Half, _at: u32) -> Option<[u64; 2]> {
        None
    }

    fn interval_v6(&self, _half: Half, _at: u32) -> Option<enforcer_common::table::IntervalV6> {
        None
    }
}

/// What went wrong in the first interleaving in which something does, and how many were tried.
fn try_all(
    policies: &[Policy],
    in_force: usize,
    wanted: (usize, u16),
    broken: Broken,
) -> (Option<String>, u64) {
    let mut writer = Writer::default();
    let publications: Vec<Vec<Step>> = policies
        .iter()
        .map(|policy| writer.publish(policy, broken))
        .collect();
    let first: Vec<Step> = publications[..in_force].concat();
    let steps: Vec<Step> = publications[in_force..].concat();
    let paces = RefCell::new(Vec::new());
    let mut tried = 0;
    loop {
        let mut model = Model {
            word: Cell::new(0),
            index: RefCell::default(),
            intervals: RefCell::default(),
            steps: &first,
            done: Cell::new(0),
            paces: &paces,
            reads: RefCell::default(),
            in_force: RefCell::default(),
        };
        for _ in &first {
            model.step();
        }
        model.steps = &steps;
        model.done.set(0);
        let last = model.in_force.borrow_mut().split_off(in_force - 1);
        *model.in_force.borrow_mut() = last;
        let address = Address::V4((wanted.0 as u32) << 16 | u32::from(wanted.1));
        let answer = look_up(&&model, address);
        tried += 1;
        let number = answer.generation.0;
        let is_granted = |number: u64| {
            let policy = policies.get(number.wrapping_sub(1) as usize);
            policy.is_some_and(|policy| {
                policy[wanted.0]
                    .iter()
                    .any(|last| [wanted.1, u16::MAX].contains(last))
            })
        };
        let was_in_force = model.in_force.borrow().contains(&number);
        let is_right = match answer.found {
            Found::Granted => was_in_force && is_granted(number),
            Found::NotGranted => was_in_force && !is_granted(number),
            // Three changes at least, or it gave up too early.
            Found::Changing => model.in_force.borrow().len() > 3,
            _ => false,
        };
        if !is_right {
            return (Some(format!("{answer:?} after {:?}", paces.borrow())), tried);
        }
        // The next combination: of the last read that has a step left before it, one more.
        let reads = model.reads.borrow();
        let mut next = paces.borrow_mut();
        next.resize(reads.len(), 0);
        loop {
            let Some(pace) = next.pop() else {
                return (None, tried);
            };
            if pace < reads[next.len()] {
                next.push(pace + 1);
                break;
            }
        }
    }
}

/// Runs grow and shrink and change places, and one block is whole for a while.
const POLICIES: [Policy; 6] = [
    [&[5], &[1, 2]],
    [&[5, 6], &[1, 2]],
    [&[5, 6], &[1]],
    [&[6], &[1]],
    [&[5, 7], &[u16::MAX]],
    [&[7], &[2]],
];

const WANTED: [(usize, u16); 3] = [(0, 5), (0, 6), (1, 2)];

/// Every lookup in every policy that is followed by so many others meanwhile.
fn all(later: usize, broken: Broken) -> (Option<String>, u64) {
    let mut tried = 0;
    for in_force in 1..=POLICIES.len() - later {
        for wanted in WANTED {
            let (wrong, count) = try_all(&POLICIES[..in_force + later], in_force, wanted, broken);
            tried += count;
            if let Some(wrong) = wrong {
                return (
                    Some(format!("{wanted:?} from policy {in_force} on: {wrong}")),
                    tried,
                );
            }
        }
    }
    (None, tried)
}

#[test]
fn whatever_the_interleaving_an_answer_belongs_to_one_whole_policy() {
    let (wrong, tried) = all(2, Broken::Nothing);
    println!("{tried} interleavings");
    assert_eq!(wrong, None);
    assert!(tried > 10_000, "{tried}");
}

/// Without this rule some lookup sees a policy that never was.
#[track_caller]
fn is_needed(broken: Broken) {
    let (wrong, tried) = all(1, broken);
    println!("{broken:?} is seen after {tried} interleavings: {wrong:?}");
    assert!(wrong.is_some(), "nothing notices {broken:?}");
}

#[test]
fn a_half_gets_what_the_publication_before_has_changed() {
    is_needed(Broken::OnlyThisChange);
}

#[test]
fn one_half_is_written_at_a_time() {
    is_needed(Broken::BothHalves);
}

#[test]
fn the_half_that_counts_is_left_alone() {
    is_needed(Broken::InPlace);
}

#[test]
fn the_word_comes_last() {
    is_needed(Broken::WordFirst);
}

#[test]
fn entries_come_before_the_word() {
    is_needed(Broken::EntriesLate);
}

#[test]
fn every_word_has_its_half_written() {
    is_needed(Broken::OneWordMore);
}

#[test]
fn runs_do_not_overlap() {
    is_needed(Broken::PlacesOverlap);
}
