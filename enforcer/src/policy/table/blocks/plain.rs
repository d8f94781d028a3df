//! Pieces that lie side by side, as most do: each of them is an interval.

use enforcer_common::table::GrantWord;

use super::super::family::{Family, Number as _};
use super::super::holdings::{HeldId, Holdings};

/// Pieces that lie side by side: each is an interval, or makes the one before longer.
pub(super) struct Plain<F: Family> {
    held: HeldId,
    word: GrantWord,
    /// The interval that came last; none of these blocks at first.
    before: Option<(F::Number, F::Number)>,
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
}

impl<F: Family> Plain<F> {
    /// Pieces from this one on.
    pub(super) fn from(piece: F::Piece, holdings: &mut Holdings) -> Self {
        let mut plain = Self {
            held: F::held(piece),
            word: GrantWord::default(),
            before: None,
            growth: None,
        };
        plain.hold(piece, holdings);
        plain
    }

    /// Goes over to the owner of this piece.
    fn hold(&mut self, piece: F::Piece, holdings: &mut Holdings) {
        let conditions = holdings.conditions().len();
        self.held = F::held(piece);
        self.word = holdings.word(self.held);
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
        holdings: &mut Holdings,
    ) -> Step<F::Interval> {
        let (first, last) = F::span(piece);
        let held = F::held(piece);
        if let Some((start, end)) = self.before {
            if end >= first {
                return Step::Not;
            }
            // What is rare comes first: whether it is the same block nobody can foresee.
            if end.next() == Some(first) && held == self.held && is_same_block {
                if last == F::block_span(F::block(piece)).1 {
                    return Step::Not;
                }
                self.before = Some((start, last));
                return Step::Longer(F::interval(start, last, self.word));
            }
        }
        if held != self.held {
            self.hold(piece, holdings);
        }
        self.before = Some((first, last));
        Step::Interval(F::interval(first, last, self.word))
    }
}

/// Puts the intervals of a block behind `into` where no prefix lies in another one, as is usual; whether it is so.
pub(super) fn side_by_side<F: Family>(
    pieces: &[F::Piece],
    holdings: &mut Holdings,
    into: &mut Vec<F::Interval>,
) -> bool {
    let Some(piece) = pieces.first() else {
        return true;
    };
    into.reserve(pieces.len());
    let mut plain = Plain::<F>::from(*piece, holdings);
    for piece in pieces {
        match plain.step(*piece, true, holdings) {
            Step::Interval(interval) => into.push(interval),
            Step::Longer(interval) => {
                into.pop();
                into.push(interval);
            }
            Step::Not => return false,
        }
    }
    true
}
