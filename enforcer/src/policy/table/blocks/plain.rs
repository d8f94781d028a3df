//! Pieces that lie side by side, as most do: each of them is an interval.

use super::super::family::{Family, Number as _};
use super::super::holdings::{HeldId, Holdings};

/// Pieces that lie side by side: each is an interval, or makes the one before longer.
pub(super) struct Plain<F: Family> {
    held: HeldId,
    /// The interval that came last.
    first: F::Number,
    last: F::Number,
    /// The last block that brought a condition which the table did not have, and how many it had before.
    growth: Option<(u32, usize)>,
}

/// What a piece comes to.
pub(super) enum Step<I> {
    /// One more interval.
    Interval(I),
    /// This one instead of the last.
    Longer(I),
    /// It lies in the one before, or completes a block: that is not plain.
    Not,
    /// What it grants has no word yet. [`Plain::name`], and it can be asked again.
    Nameless,
}

impl<F: Family> Plain<F> {
    /// Pieces from this one on, and what it is.
    pub(super) fn from(piece: F::Piece, holdings: &mut Holdings) -> (Self, F::Interval) {
        let (first, last) = F::span(piece);
        let held = F::held(piece);
        let mut plain = Self {
            held,
            first,
            last,
            growth: None,
        };
        plain.name(piece, holdings);
        (plain, F::interval(first, last, holdings.word(held)))
    }

    /// Gives what a piece grants its word.
    #[cold]
    pub(super) fn name(&mut self, piece: F::Piece, holdings: &mut Holdings) {
        let conditions = holdings.conditions().len();
        holdings.word(F::held(piece));
        let block = F::block(piece);
        let is_more = holdings.conditions().len() > conditions;
        if is_more && self.growth.is_none_or(|(grown, _)| grown != block) {
            self.growth = Some((block, conditions));
        }
    }

    /// Takes back what this block has brought into the table.
    pub(super) fn give_up(&self, block: u32, holdings: &mut Holdings) {
        if let Some((_, conditions)) = self.growth.filter(|(grown, _)| *grown == block) {
            holdings.truncate(conditions);
        }
    }

    /// The next piece, in the block of the one before or in a later one.
    #[inline(always)]
    pub(super) fn step(
        &mut self,
        piece: F::Piece,
        is_same_block: bool,
        holdings: &Holdings,
    ) -> Step<F::Interval> {
        let (first, last) = F::span(piece);
        let held = F::held(piece);
        if first <= self.last {
            return Step::Not;
        }
        let Some(word) = holdings.known_word(held) else {
            return Step::Nameless;
        };
        // What is rare comes first: whether it is the same block nobody can foresee.
        if first.previous() == Some(self.last) && held == self.held && is_same_block {
            if last == F::block_span(F::block(piece)).1 {
                return Step::Not;
            }
            self.last = last;
            return Step::Longer(F::interval(self.first, last, word));
        }
        self.held = held;
        (self.first, self.last) = (first, last);
        Step::Interval(F::interval(first, last, word))
    }
}

/// Puts the intervals of a block behind `into` where no prefix lies in another one, as is usual; whether it is so.
pub(super) fn side_by_side<F: Family>(
    pieces: &[F::Piece],
    holdings: &mut Holdings,
    into: &mut Vec<F::Interval>,
) -> bool {
    let [piece, pieces @ ..] = pieces else {
        return true;
    };
    into.reserve(1 + pieces.len());
    let (mut plain, interval) = Plain::<F>::from(*piece, holdings);
    into.push(interval);
    for piece in pieces {
        holdings.word(F::held(*piece));
        match plain.step(*piece, true, holdings) {
            Step::Interval(interval) => into.push(interval),
            Step::Longer(interval) => {
                into.pop();
                into.push(interval);
            }
            Step::Not | Step::Nameless => return false,
        }
    }
    true
}
