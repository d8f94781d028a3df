//! A recorded ClientHello with faults, so that the fuzzer gets past the outer lengths: the same must hold as for any
//! bytes.

#![no_main]

use std::sync::LazyLock;

use enforcer_hellos::faults::{Fault, with_faults};
use enforcer_hellos::recorded::RECORDINGS;
use enforcer_hellos::{Hello, proof};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// What is done to which hello. Numbers are taken modulo what there is.
#[derive(Arbitrary, Debug)]
struct Input {
    hello: u8,
    other: u8,
    faults: Vec<Fault>,
}

/// The recordings, and a small hello.
static HELLOS: LazyLock<Vec<Hello>> = LazyLock::new(|| {
    RECORDINGS
        .iter()
        .filter_map(|(_, bytes)| Hello::read(bytes))
        .chain([Hello::asking_for("a.example")])
        .collect()
});

fuzz_target!(|input: Input| {
    let pick = |index: u8| &HELLOS[usize::from(index) % HELLOS.len()];
    let bytes = with_faults(pick(input.hello), &input.faults, &pick(input.other).bytes());
    if let Err(fault) = proof::check(&bytes) {
        panic!("{fault}");
    }
});
