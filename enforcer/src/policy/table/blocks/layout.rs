//! All blocks laid out anew, one behind the other.

use enforcer_common::table::BLOCKS;

use super::super::error::TableError;
use super::super::family::Family;
use super::super::holdings::Holdings;
use super::super::runs::Appending;
use super::super::wide::Wide;
use super::plain::{Plain, Step};
use super::worked::Worked;
use super::{Blocks, Pending, Pieces};

impl<F: Family> Blocks<F> {
    /// The same tables with these grants and no others.
    pub(in super::super) fn filled(
        &self,
        pieces: Pieces<F>,
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
        self.laid_out(wide, narrow, holdings)
    }

    /// Works all blocks out; `pieces` are ascending.
    fn laid_out(
        &self,
        wide: Wide,
        pieces: Vec<F::Piece>,
        holdings: &mut Holdings,
    ) -> Result<Self, TableError> {
        let around = wide.around_all(holdings)?;
        let mut intervals = Appending::new(self.chunk, pieces.len());
        for (block, held) in (0..).zip(&around) {
            if let Some(held) = held {
                intervals.whole(block, holdings.word(*held));
            }
        }
        let mut by_block = Appending::of(pieces);
        let mut worked = Worked::<F>::new();
        let mut run = Vec::new();
        let mut start = 0;
        loop {
            if around.is_empty() {
                start = plain::<F>(start, &mut by_block, &mut intervals, holdings);
            }
            let Some(piece) = by_block.items().get(start) else {
                break;
            };
            let block = F::block(*piece);
            let behind = by_block.items()[start..].iter();
            let count = behind.take_while(|piece| F::block(**piece) == block).count();
            let own = &by_block.items()[start..start + count];
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
            by_block.is_at(block, start, count);
            start += count;
        }
        let intervals = intervals
            .finish(self.capacity)
            .map_err(|needed| TableError::TooLarge {
                family: F::NAME,
                needed,
                capacity: self.capacity,
            })?;
        let pieces = by_block
            .finish(u32::MAX)
            .expect("grants are numbered by 32 bits: memory ends before");
        Ok(Self {
            wide,
            pieces,
            intervals,
            capacity: self.capacity,
            chunk: self.chunk,
        })
    }

    /// Everything laid out anew, with the new content of some blocks.
    pub(in super::super) fn compacted(
        &self,
        pending: &Pending<F>,
        holdings: &mut Holdings,
    ) -> Result<Self, TableError> {
        let mut pieces = Vec::with_capacity(self.pieces.items().len() + pending.pieces.len());
        let mut changes = pending.blocks.iter().peekable();
        for block in 0..BLOCKS {
            match changes.next_if(|pending| pending.block == block) {
                Some(new) => pieces.extend_from_slice(&pending.pieces[new.pieces.clone()]),
                None => pieces.extend_from_slice(self.pieces.run(block)),
            }
        }
        self.laid_out(self.wide.clone(), pieces, holdings)
    }
}

/// Lays out blocks from `start` on, where one begins, as long as it is plain how: what is granted in them lies side by
/// side. Returns where the first block begins of which that is not so.
///
/// This is where the time of a replacement goes. Prefixes are spread over blocks by chance: a loop for each block would
/// end where no processor foresees it, and cost several times of what it does. So there is one loop for all of them, which
/// takes the same steps for a prefix of the same block as for one of the next.
fn plain<F: Family>(
    start: usize,
    by_block: &mut Appending<F::Piece>,
    intervals: &mut Appending<F::Interval>,
    holdings: &mut Holdings,
) -> usize {
    let (pieces, entries) = by_block.parts();
    let Some(piece) = pieces.get(start) else {
        return start;
    };
    let mut open = intervals.begin();
    let mut plain = Plain::<F>::from(*piece, holdings);
    let mut block = F::block(*piece);
    // The first piece of the block, and the one that is looked at.
    let (mut block_at, mut at) = (position(start), position(start));
    for piece in &pieces[start..] {
        let next = F::block(*piece);
        let is_same_block = next == block;
        (block, block_at) = (next, if is_same_block { block_at } else { at });
        match plain.step(*piece, is_same_block, holdings) {
            Step::Interval(interval) => open = intervals.push(open, is_same_block, block, interval),
            Step::Longer(longer) => intervals.replace_last(longer),
            Step::Not => {
                intervals.give_up(open);
                plain.give_up(block, holdings);
                return block_at as usize;
            }
        }
        at += 1;
        entries.put(block, block_at, at - block_at);
    }
    pieces.len()
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer grants than 32 bits count: memory ends before")
}
