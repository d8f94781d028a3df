//! All blocks laid out anew, one behind the other.

use enforcer_common::table::BLOCKS;

use super::super::error::TableError;
use super::super::family::Family;
use super::super::holdings::Holdings;
use super::super::runs::Appending;
use super::super::wide::Wide;
use super::own::Own;
use super::plain::{Plain, Step};
use super::spare::roomy;
use super::worked::Worked;
use super::{Blocks, Pending, Pieces, Spare};

impl<F: Family> Blocks<F> {
    /// The same tables with these grants and no others, in memory that is `spare` as far as it goes.
    pub(in super::super) fn filled(
        &self,
        pieces: Pieces<F>,
        spare: Spare<F>,
        holdings: &mut Holdings,
    ) -> Result<Self, TableError> {
        let mut wide = Wide::default();
        for (node, held) in pieces.wide {
            wide.add(node, held);
        }
        let mut narrow = pieces.narrow;
        if !pieces.is_ascending {
            F::sort(&mut narrow);
        }
        self.laid_out(wide, narrow, spare, holdings)
    }

    /// Works all blocks out; `pieces` are ascending. Of `spare` those are no part.
    fn laid_out(
        &self,
        wide: Wide,
        pieces: Vec<F::Piece>,
        spare: Spare<F>,
        holdings: &mut Holdings,
    ) -> Result<Self, TableError> {
        let around = wide.around_all(holdings)?;
        let mut intervals = Appending::within(spare.index, roomy(spare.intervals, pieces.len()), self.chunk);
        for (block, held) in (0..).zip(&around) {
            if let Some(held) = held {
                intervals.whole(block, holdings.word(*held));
            }
        }
        let mut worked = Worked::<F>::new();
        let mut run = Vec::new();
        let mut start = 0;
        loop {
            if around.is_empty() {
                start = plain::<F>(start, &pieces, &mut intervals, holdings);
            }
            let Some(piece) = pieces.get(start) else {
                break;
            };
            let block = F::block(*piece);
            let behind = pieces[start..].iter();
            let count = behind.take_while(|piece| F::block(**piece) == block).count();
            let own = &pieces[start..start + count];
            run.clear();
            let whole = match around.get(block as usize) {
                // It is known not to be plain.
                None => worked.swept(block, None, own, holdings, &mut run)?,
                Some(around) => worked.out(block, *around, own, holdings, &mut run)?,
            };
            match whole {
                Some(grant) => intervals.whole(block, grant),
                None => intervals.run(block, run.iter().copied()),
            }
            start += count;
        }
        let intervals = intervals
            .finish(self.capacity)
            .map_err(|needed| TableError::TooLarge {
                family: F::NAME,
                needed,
                capacity: self.capacity,
            })?;
        Ok(Self {
            wide,
            pieces: Own::sorted(pieces),
            intervals,
            capacity: self.capacity,
            chunk: self.chunk,
        })
    }

    /// Everything laid out anew, with the new content of some blocks.
    pub(in super::super) fn compacted(
        &mut self,
        pending: &Pending<F>,
        holdings: &mut Holdings,
    ) -> Result<Self, TableError> {
        let old = self.pieces.runs();
        let mut pieces = Vec::with_capacity(old.items().len() + pending.pieces.len());
        let mut changes = pending.blocks.iter().peekable();
        for block in 0..BLOCKS {
            match changes.next_if(|pending| pending.block == block) {
                Some(new) => pieces.extend_from_slice(&pending.pieces[new.pieces.clone()]),
                None => pieces.extend_from_slice(old.run(block)),
            }
        }
        self.laid_out(self.wide.clone(), pieces, Spare::default(), holdings)
    }
}

/// Pieces that are laid out with no look at anything else: the room for their intervals stays in the first cache.
const STRETCH: usize = 256;

/// Lays out blocks from `start` on, where one begins, as long as it is plain how: what is granted in them lies side by
/// side. Returns where the first block begins of which that is not so.
///
/// This is where the time of a replacement goes. Prefixes are spread over blocks by chance: a loop for each block would
/// end where no processor foresees it, and cost several times of what it does. So there is one loop for all of them, which
/// takes the same steps for a prefix of the same block as for one of the next.
fn plain<F: Family>(
    start: usize,
    pieces: &[F::Piece],
    intervals: &mut Appending<F::Interval>,
    holdings: &mut Holdings,
) -> usize {
    let Some(piece) = pieces.get(start) else {
        return start;
    };
    let (mut plain, interval) = Plain::<F>::from(*piece, holdings);
    let mut block = F::block(*piece);
    let mut open = intervals.begin(block, interval);
    let mut at = start + 1;
    while let Some(next) = pieces.get(at) {
        let room = STRETCH.min(pieces.len() - at);
        let mut stretch = intervals.stretch(open, block, F::block(*next) == block, room);
        let now = &pieces[at..at + stretch.room()];
        let mut stop = None;
        for piece in now {
            let next = F::block(*piece);
            match plain.step(*piece, next == block, holdings) {
                Step::Interval(interval) => stretch.push(next == block, next, interval),
                Step::Longer(longer) => stretch.replace_last(longer),
                other => {
                    stop = Some((*piece, other));
                    break;
                }
            }
            block = next;
            at += 1;
        }
        open = stretch.end();
        match stop {
            Some((piece, Step::Nameless)) => plain.name(piece, holdings),
            Some((piece, _)) => {
                let block = F::block(piece);
                let before = pieces[..at].iter().rev();
                let own = before.take_while(|piece| F::block(**piece) == block).count();
                intervals.give_up(open);
                plain.give_up(block, holdings);
                return at - own;
            }
            None => {}
        }
        intervals.truncate(open);
    }
    pieces.len()
}
