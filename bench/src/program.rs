//! Section 1: what the kernel program takes for a packet (`BPF_PROG_TEST_RUN`), beside a hash map and an LPM trie with the
//! same content.
//!
//! Every round runs every program once, [`REPEAT`] times in a row, and what a figure says is a difference to the empty
//! program of the same round. With one destination ("hot"), another one in each round, that is the program as it is attached,
//! over a packet as TCP sends it. For random destinations the packet's is replaced by the next of a list, as
//! `bench/programs/src/main.rs` tells, and the difference is to a program that takes the next and lets the packet pass.
//!
//! The floor of a case is the simplest program that has to do the same: `bench/programs/src/floors.rs`. What it leaves out
//! is part of the other one, "with all that a verdict owes": `bench/programs/src/whole.rs`.
//!
//! Everything is loaded several times over: the kernel puts a program at an address that chance decides on
//! (`bpf_jit_binary_pack_alloc` of Linux `kernel/bpf/core.c`), and where its branches come to lie in the lines of the cache is
//! worth as much as some of these figures, for the empty program too.
//!
//! A denial is measured as it is: it counts, and tells an event within the rate limit. In a test run there is no socket
//! that storage could hang on; what an established session under a name condition takes with one is in section 5.

mod drawn;
mod programs;

use std::ops::Range;

use anyhow::{Result, ensure};
use enforcer_lab::packets::{tcp4, tcp6};

use self::drawn::{Drawn, FOREIGN, FOREIGN_V6, NAMED};
use self::programs::{Program, Programs};
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::targets::{EMPTY as EMPTY_PROGRAM, ENFORCER, FLOOR, LPM as TRIE};

/// Runs of a program for one sample, samples of every figure from one load, and loads.
const REPEAT: u32 = 400_000;
const ROUNDS: usize = 3;
const LOADS: usize = 5;
/// The same where it is only tried whether it runs.
const REPEAT_QUICK: u32 = 1000;
const ROUNDS_QUICK: usize = 1;
const LOADS_QUICK: usize = 2;
/// Any number: the same prefixes each time.
const SEED: u64 = 0x7061_7468;

const HASH: &str = "hash map";

/// One program over one packet.
struct Case {
    what: String,
    subject: &'static str,
    program: Program,
    /// One a round, in turn.
    frames: Vec<Vec<u8>>,
    passes: bool,
    /// The case that a figure is the difference to, by its position.
    floor: usize,
}

/// Measures with each number of prefixes in turn, ascending.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    let (repeat, rounds, loads) = if sizes.quick {
        (REPEAT_QUICK, ROUNDS_QUICK, LOADS_QUICK)
    } else {
        (REPEAT, ROUNDS, LOADS)
    };
    for &size in &sizes.prefixes {
        let size = size as usize;
        let drawn = Drawn::new(size, SEED);
        let cases = cases(&drawn);
        let (mut samples, mut counted) = (Vec::new(), 0);
        for load in 0..loads {
            let mut programs = Programs::new(&drawn)?;
            let rounds = load * rounds..(load + 1) * rounds;
            samples.extend(measure(&mut programs, &cases, repeat, rounds)?);
            counted += programs.counted()?;
        }
        if report.believes(&format!("kernel program, {size} prefixes"), counted) {
            add(report, size, &cases, &samples);
        }
    }
    Ok(())
}

/// The cases, floors in front of what stands on them.
fn cases(drawn: &Drawn) -> Vec<Case> {
    const EMPTY: usize = 0;
    const NEXT: usize = 1;
    const NEXT_V6: usize = 2;
    let granted = drawn.keys_v4[0];
    let granted_v6 = drawn.keys_v6[0];
    // As many as there are rounds: how long a look-up takes depends on how much is granted near by.
    let hot: Vec<Vec<u8>> = drawn.keys_v4[..LOADS * ROUNDS]
        .iter()
        .map(|&granted| tcp4(granted, 443).frame())
        .collect();
    let hot_v6 = [tcp6(granted_v6, 443).frame()];
    let (other, named) = ([tcp4(granted, 80).frame()], [tcp4(NAMED, 443).frame()]);
    let case = |what: &str, subject, program, frames: &[Vec<u8>], passes, floor| Case {
        what: what.to_owned(),
        subject,
        program,
        frames: frames.to_vec(),
        passes,
        floor,
    };
    let enforcer =
        |what, frames: &[Vec<u8>], passes| case(what, ENFORCER, Program::Enforcer, frames, passes, EMPTY);
    let bench = |what, subject, name, frames: &[Vec<u8>], floor| {
        case(what, subject, Program::Bench(name), frames, true, floor)
    };
    vec![
        bench("nothing", EMPTY_PROGRAM, "bench_empty", &hot, EMPTY),
        bench("next destination", EMPTY_PROGRAM, "bench_next", &hot, NEXT),
        bench(
            "next destination, IPv6",
            EMPTY_PROGRAM,
            "bench_next_v6",
            &hot_v6,
            NEXT_V6,
        ),
        enforcer("not a filtered port", &other, true),
        bench("not a filtered port", FLOOR, "bench_floor_port", &other, EMPTY),
        bench(
            &format!("not a filtered port{OWED}"),
            FLOOR,
            "bench_floor_whole",
            &other,
            EMPTY,
        ),
        enforcer("granted, hot", &hot, true),
        bench("granted, hot", FLOOR, "bench_floor_granted", &hot, EMPTY),
        bench(
            &format!("granted, hot{OWED}"),
            FLOOR,
            "bench_floor_whole",
            &hot,
            EMPTY,
        ),
        bench("granted, hot", HASH, "bench_hash", &hot, EMPTY),
        bench("granted, hot", TRIE, "bench_trie", &hot, EMPTY),
        enforcer("granted under a name condition, hot", &named, true),
        bench(
            "granted under a name condition, hot",
            FLOOR,
            "bench_floor_granted",
            &named,
            EMPTY,
        ),
        bench("granted, random", ENFORCER, "bench_enforcer_random", &hot, NEXT),
        bench("granted, random", FLOOR, "bench_floor_granted_random", &hot, NEXT),
        bench("granted, random", HASH, "bench_hash_random", &hot, NEXT),
        bench("granted, random", TRIE, "bench_trie_random", &hot, NEXT),
        enforcer("denied", &[tcp4(FOREIGN, 443).frame()], false),
        enforcer("not a filtered port, IPv6", &[tcp6(granted_v6, 80).frame()], true),
        enforcer("granted, hot, IPv6", &hot_v6, true),
        bench(
            "granted, random, IPv6",
            ENFORCER,
            "bench_enforcer_random_v6",
            &hot_v6,
            NEXT_V6,
        ),
        enforcer("denied, IPv6", &[tcp6(FOREIGN_V6, 443).frame()], false),
    ]
}

/// Samples of each case, a row a round. The rounds start at another case each, so that none always follows the same.
fn measure(
    programs: &mut Programs,
    cases: &[Case],
    repeat: u32,
    rounds: Range<usize>,
) -> Result<Vec<Vec<f64>>> {
    // Once without looking: what is loaded is cold.
    for case in cases {
        for frame in &case.frames {
            let (_, passed) = programs.run(case.program, frame, repeat / 10)?;
            ensure!(
                passed == case.passes,
                "{} ({}) passes: {passed}",
                case.what,
                case.subject
            );
        }
    }
    let mut samples = Vec::new();
    for round in rounds {
        let mut row = vec![0.0; cases.len()];
        for turn in 0..cases.len() {
            let at = (round + turn) % cases.len();
            let case = &cases[at];
            let frame = &case.frames[round % case.frames.len()];
            (row[at], _) = programs.run(case.program, frame, repeat)?;
        }
        samples.push(row);
    }
    Ok(samples)
}

fn add(report: &mut Report, size: usize, cases: &[Case], samples: &[Vec<f64>]) {
    let figure = |what: String, subject: &str, samples: Vec<f64>| Figure {
        section: 1,
        what,
        subject: subject.to_owned(),
        size: Some(size as u64),
        unit: Unit::Nanoseconds,
        samples,
    };
    for (at, case) in cases.iter().enumerate() {
        let all = samples.iter().map(|row| row[at]).collect();
        report.figures.push(figure(case.what.clone(), case.subject, all));
        if at != case.floor {
            let above = samples.iter().map(|row| row[at] - row[case.floor]).collect();
            let what = format!("{}{ABOVE}", case.what);
            report.figures.push(figure(what, case.subject, above));
        }
    }
}

/// What a figure is called that is a difference.
pub(crate) const ABOVE: &str = ", above the empty program";
/// What the figures of the floor end with that owes what a verdict owes.
pub(crate) const OWED: &str = ", with all that a verdict owes";
