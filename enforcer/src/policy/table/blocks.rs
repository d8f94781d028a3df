//! The grants of one family by their blocks, and the intervals that they come to.
//!
//! A block is worked out anew from its own grants and from what covers it as a whole, and from nothing else: this is
//! what an exchange costs.

use std::ops::Range as Span;

use enforcer_common::table::{BLOCKS, GrantWord, Index, WHOLE};
use ipnet::IpNet;

use super::error::TableError;
use super::family::{Family, Number as _};
use super::holdings::{HeldId, Holdings};
use super::runs::{Appending, Content, NoRoom, Runs};
use super::segments::{Joining, Segment, Sweep};
use super::wide::{Node, Wide};

/// All grants of one family, and the intervals.
#[derive(Debug)]
pub(super) struct Blocks<F: Family> {
    wide: Wide,
    pieces: Runs<F::Piece>,
    intervals: Runs<F::Interval>,
    capacity: u32,
    chunk: u32,
}

/// Grants in the terms of this room.
#[derive(Debug)]
pub(super) struct Pieces<F: Family> {
    /// Those within a block.
    narrow: Vec<F::Piece>,
    /// Whether they came in order: lists of prefixes are sorted as a rule.
    is_ascending: bool,
    newest: F::Piece,
    /// Those that cover one or more.
    wide: Vec<(Node, HeldId)>,
}

impl<F: Family> Pieces<F> {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            narrow: Vec::with_capacity(count),
            is_ascending: true,
            newest: F::Piece::default(),
            wide: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, first: F::Number, length: u8, held: HeldId) {
        let piece = F::piece(first, length, held);
        if length > super::family::BLOCK_BITS {
            self.is_ascending &= self.newest <= piece;
            self.newest = piece;
            self.narrow.push(piece);
        } else {
            self.wide.push((Node::around(F::block(piece), length), held));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.narrow.is_empty() && self.wide.is_empty()
    }

    /// The blocks in which something is, ascending.
    fn blocks(&self, into: &mut Vec<u32>) {
        into.extend(self.narrow.iter().map(|piece| F::block(*piece)));
        into.extend(self.wide.iter().flat_map(|(node, _)| node.blocks()));
    }
}

/// The new content of some blocks.
#[derive(Debug)]
pub(super) struct Pending<F: Family> {
    blocks: Vec<PendingBlock>,
    pieces: Vec<F::Piece>,
    intervals: Vec<F::Interval>,
}

#[derive(Debug)]
struct PendingBlock {
    block: u32,
    pieces: Span<usize>,
    whole: Option<GrantWord>,
    intervals: Span<usize>,
}

impl<F: Family> Pending<F> {
    /// The blocks, ascending.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().map(|pending| pending.block)
    }

    fn pieces(&self) -> impl Iterator<Item = (u32, Content<'_, F::Piece>)> + Clone {
        let content = |pending: &PendingBlock| Content::Run(&self.pieces[pending.pieces.clone()]);
        self.blocks
            .iter()
            .map(move |pending| (pending.block, content(pending)))
    }

    fn intervals(&self) -> impl Iterator<Item = (u32, Content<'_, F::Interval>)> + Clone {
        let content = |pending: &PendingBlock| match pending.whole {
            Some(grant) => Content::Whole(grant),
            None => Content::Run(&self.intervals[pending.intervals.clone()]),
        };
        self.blocks
            .iter()
            .map(move |pending| (pending.block, content(pending)))
    }
}

/// Where the new content of some blocks goes.
#[derive(Debug)]
pub(super) struct Places {
    pieces: Vec<u32>,
    intervals: Vec<u32>,
}

impl<F: Family> Blocks<F> {
    /// Without any grant: intervals in at most `capacity` positions, no run across a multiple of `chunk`.
    pub(super) fn empty(capacity: u32, chunk: u32) -> Self {
        Self {
            wide: Wide::default(),
            pieces: Runs::empty(u32::MAX, u32::MAX),
            intervals: Runs::empty(capacity, chunk),
            capacity,
            chunk,
        }
    }

    pub(super) fn index(&self) -> &[Index] {
        self.intervals.index()
    }

    pub(super) fn intervals(&self) -> &[F::Interval] {
        self.intervals.items()
    }

    /// Whether nothing was ever granted.
    pub(super) fn is_empty(&self) -> bool {
        self.wide.is_empty() && self.pieces.items().is_empty()
    }

    /// The same tables with these grants and no others.
    pub(super) fn filled(&self, pieces: Pieces<F>, holdings: &mut Holdings) -> Result<Self, TableError> {
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
            let around = around.get(block as usize).copied().flatten();
            worked.out(block, around, own, holdings)?;
            match worked.whole(holdings) {
                Some(grant) => intervals.whole(block, grant),
                None => intervals.run(block, worked.intervals(holdings)),
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

    /// Works out the blocks that an exchange touches. Prefixes around them are as [`Self::exchange_wide`] left them.
    pub(super) fn prepare(
        &self,
        removed: &mut Pieces<F>,
        added: &mut Pieces<F>,
        holdings: &mut Holdings,
    ) -> Result<Pending<F>, TableError> {
        removed.narrow.sort_unstable();
        added.narrow.sort_unstable();
        let mut touched = Vec::new();
        removed.blocks(&mut touched);
        added.blocks(&mut touched);
        touched.sort_unstable();
        touched.dedup();
        let mut pending = Pending {
            blocks: Vec::with_capacity(touched.len()),
            pieces: Vec::new(),
            intervals: Vec::new(),
        };
        let (mut removed, mut added) = (&removed.narrow[..], &added.narrow[..]);
        let mut worked = Worked::<F>::new();
        for block in touched {
            let of_block = |piece: &F::Piece| F::block(*piece) == block;
            let (out, rest) = removed.split_at(removed.iter().take_while(|piece| of_block(piece)).count());
            removed = rest;
            let (new, rest) = added.split_at(added.iter().take_while(|piece| of_block(piece)).count());
            added = rest;
            let start = pending.pieces.len();
            exchanged(self.pieces.run(block), out, new, &mut pending.pieces).map_err(|missing| {
                TableError::NotThere {
                    net: F::net(missing),
                    rule: holdings.held(F::held(missing)).rule.0,
                }
            })?;
            let own = start..pending.pieces.len();
            let around = self.wide.around(block, holdings)?;
            worked.out(block, around, &pending.pieces[own.clone()], holdings)?;
            let whole = worked.whole(holdings);
            let start = pending.intervals.len();
            if whole.is_none() {
                pending.intervals.extend(worked.intervals(holdings));
            }
            pending.blocks.push(PendingBlock {
                block,
                pieces: own,
                whole,
                intervals: start..pending.intervals.len(),
            });
        }
        Ok(pending)
    }

    /// Exchanges prefixes that cover whole blocks, all or nothing.
    pub(super) fn exchange_wide(
        &mut self,
        removed: &Pieces<F>,
        added: &Pieces<F>,
        holdings: &Holdings,
    ) -> Result<(), TableError> {
        self.wide
            .exchange(&removed.wide, &added.wide)
            .map_err(|(node, held)| TableError::NotThere {
                net: net_of::<F>(node),
                rule: holdings.held(held).rule.0,
            })
    }

    /// Takes [`Self::exchange_wide`] back.
    pub(super) fn undo_wide(&mut self, removed: &Pieces<F>, added: &Pieces<F>) {
        self.wide.undo(&removed.wide, &added.wide);
    }

    /// Finds a place for everything; on an error [`Self::forget_places`] must follow.
    pub(super) fn place(&mut self, pending: &Pending<F>) -> Result<Places, NoRoom> {
        Ok(Places {
            pieces: self.pieces.place(pending.pieces())?,
            intervals: self.intervals.place(pending.intervals())?,
        })
    }

    /// Takes [`Self::place`] back.
    pub(super) fn forget_places(&mut self) {
        self.pieces.forget_places();
        self.intervals.forget_places();
    }

    /// Puts the new content of blocks where [`Self::place`] has found room for it.
    pub(super) fn put(&mut self, pending: &Pending<F>, places: &Places) {
        self.pieces.put(pending.pieces(), &places.pieces);
        self.intervals.put(pending.intervals(), &places.intervals);
    }

    /// Everything laid out anew, with the new content of some blocks.
    pub(super) fn compacted(
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

    /// Calls `put` with what is granted in a block, disjoint and ascending.
    pub(super) fn segments(&self, block: u32, mut put: impl FnMut(F::Number, F::Number, GrantWord)) {
        let entry = self.intervals.entry(block);
        if entry.count == WHOLE {
            let (first, last) = F::block_span(block);
            put(first, last, GrantWord(entry.first));
        }
        for interval in self.intervals.run(block) {
            let (first, last, grant) = F::parts(block, interval);
            put(first, last, grant);
        }
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
    let mut block = F::block(*piece);
    let mut held = F::held(*piece);
    let mut word = holdings.word(held);
    // The first piece of the block, and the one that is looked at.
    let (mut block_at, mut at) = (position(start), position(start));
    // What lies before, in no block of these.
    let mut before: Option<F::Number> = None;
    for piece in &pieces[start..] {
        let (first, last) = F::span(*piece);
        let (next_block, next_held) = (F::block(*piece), F::held(*piece));
        let is_same_block = next_block == block;
        if before >= Some(first) {
            intervals.give_up(open);
            return block_at as usize;
        }
        if first.previous() == before && is_same_block && next_held == held && before.is_some() {
            // Two that make one; what makes a whole block of it is not plain.
            if last == F::block_span(block).1 {
                intervals.give_up(open);
                return block_at as usize;
            }
            intervals.prolong(|interval| F::interval(F::parts(block, interval).0, last, word));
        } else {
            if next_held != held {
                held = next_held;
                word = holdings.word(held);
            }
            (block, block_at) = (next_block, if is_same_block { block_at } else { at });
            open = intervals.push(open, is_same_block, block, F::interval(first, last, word));
        }
        before = Some(last);
        at += 1;
        entries.put(block, block_at, at - block_at);
    }
    pieces.len()
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer grants than 32 bits count: memory ends before")
}

/// A block that was worked out.
struct Worked<F: Family> {
    sweep: Sweep<F>,
    block: u32,
    segments: Vec<Segment<F::Number, HeldId>>,
}

impl<F: Family> Worked<F> {
    fn new() -> Self {
        Self {
            sweep: Sweep::new(),
            block: 0,
            segments: Vec::new(),
        }
    }

    #[inline]
    fn out(
        &mut self,
        block: u32,
        around: Option<HeldId>,
        pieces: &[F::Piece],
        holdings: &mut Holdings,
    ) -> Result<(), TableError> {
        self.block = block;
        if around.is_none() && self.flat(pieces) {
            return Ok(());
        }
        self.segments.clear();
        let segments = &mut self.segments;
        let mut joining = Joining::new(|segment| segments.push(segment));
        self.sweep
            .block(block, around, pieces, holdings, |segment| joining.put(segment))?;
        joining.end();
        Ok(())
    }

    /// Where no prefix lies in another one, as is usual, they are the segments; whether it is so.
    #[inline]
    fn flat(&mut self, pieces: &[F::Piece]) -> bool {
        self.segments.clear();
        for piece in pieces {
            let (first, last) = F::span(*piece);
            let grant = F::held(*piece);
            if let Some(before) = self.segments.last_mut() {
                if first <= before.last {
                    return false;
                }
                if before.grant == grant && before.last.next() == Some(first) {
                    before.last = last;
                    continue;
                }
            }
            self.segments.push(Segment { first, last, grant });
        }
        true
    }

    /// What covers all of the block, if one grant does.
    #[inline]
    fn whole(&self, holdings: &mut Holdings) -> Option<GrantWord> {
        match self.segments[..] {
            [only] if (only.first, only.last) == F::block_span(self.block) => Some(holdings.word(only.grant)),
            _ => None,
        }
    }

    #[inline]
    fn intervals(&self, holdings: &mut Holdings) -> impl ExactSizeIterator<Item = F::Interval> {
        self.segments
            .iter()
            .map(|segment| F::interval(segment.first, segment.last, holdings.word(segment.grant)))
    }
}

/// `old` without `removed` and with `added`, all three ascending.
///
/// # Errors
/// One of `removed` that is not there.
fn exchanged<P: Copy + Ord>(old: &[P], removed: &[P], added: &[P], into: &mut Vec<P>) -> Result<(), P> {
    let mut removed = removed.iter().peekable();
    let mut added = added.iter().peekable();
    for piece in old {
        if removed.next_if_eq(&piece).is_some() {
            continue;
        }
        while let Some(new) = added.next_if(|new| *new < piece) {
            into.push(*new);
        }
        into.push(*piece);
    }
    into.extend(added);
    match removed.next() {
        Some(missing) => Err(*missing),
        None => Ok(()),
    }
}

fn net_of<F: Family>(node: Node) -> IpNet {
    F::wide_net(node.bits(), node.length())
}
