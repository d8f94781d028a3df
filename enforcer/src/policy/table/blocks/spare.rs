//! Memory of a table that was replaced, for the one that comes next: the first touch of fresh memory costs more than what
//! is written there.

use enforcer_common::table::Index;

use super::super::family::Family;

/// Memory of some length, whatever is in it.
#[derive(Debug)]
pub(in super::super) struct Spare<F: Family> {
    pub(in super::super) pieces: Vec<F::Piece>,
    pub(super) intervals: Vec<F::Interval>,
    pub(super) index: Vec<Index>,
}

impl<F: Family> Default for Spare<F> {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            intervals: Vec::new(),
            index: Vec::new(),
        }
    }
}

/// Room for `count` elements, in `memory` if that fits: what is much larger would be held by a table that stays small.
pub(in super::super) fn roomy<T>(mut memory: Vec<T>, count: usize) -> Vec<T> {
    memory.clear();
    if memory.capacity() / 4 > count {
        return Vec::with_capacity(count);
    }
    memory.reserve_exact(count);
    memory
}
