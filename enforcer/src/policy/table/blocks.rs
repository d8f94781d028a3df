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
            let start = pending.intervals.len();
            let (pieces, into) = (&pending.pieces[own.clone()], &mut pending.intervals);
            let whole = worked.out(block, around, pieces, holdings, into)?;
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

    /// Calls `removed` and `added` with what is granted otherwise once `pending` is in its place, disjoint and ascending.
    pub(super) fn difference(
        &self,
        pending: &Pending<F>,
        mut removed: impl FnMut(F::Number, F::Number, GrantWord),
        mut added: impl FnMut(F::Number, F::Number, GrantWord),
    ) {
        for (block, content) in pending.intervals() {
            let (mut one, mut other) = ([F::Interval::default()], [F::Interval::default()]);
            let mut old = intervals_of::<F>(block, self.intervals.content(block), &mut one);
            let mut new = intervals_of::<F>(block, content, &mut other);
            loop {
                let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
                (old, new) = (&old[same..], &new[same..]);
                let gone = old.first().map(|interval| F::parts(block, interval));
                let come = new.first().map(|interval| F::parts(block, interval));
                if let Some((first, last, grant)) = gone
                    && come.is_none_or(|(start, ..)| first <= start)
                {
                    removed(first, last, grant);
                    old = &old[1..];
                }
                if let Some((first, last, grant)) = come
                    && gone.is_none_or(|(start, ..)| first <= start)
                {
                    added(first, last, grant);
                    new = &new[1..];
                }
                if gone.is_none() && come.is_none() {
                    break;
                }
            }
        }
    }

    /// How many ranges are granted, where those of neighbouring blocks that go on are one. A look at every block, and at no
    /// more of it than its ends.
    pub(super) fn range_count(&self) -> usize {
        let mut count = 0;
        let mut before = None;
        for block in 0..BLOCKS {
            let mut one = [F::Interval::default()];
            let intervals = intervals_of::<F>(block, self.intervals.content(block), &mut one);
            let ([first, ..], [.., last]) = (intervals, intervals) else {
                continue;
            };
            let (start, _, grant) = F::parts(block, first);
            count += intervals.len() - usize::from(before == Some((start, grant)));
            let (_, end, grant) = F::parts(block, last);
            before = end.next().map(|next| (next, grant));
        }
        count
    }

    /// The first address that is granted.
    pub(super) fn first(&self) -> Option<F::Number> {
        (0..BLOCKS).find_map(|block| {
            let mut one = [F::Interval::default()];
            let intervals = intervals_of::<F>(block, self.intervals.content(block), &mut one);
            intervals.first().map(|interval| F::parts(block, interval).0)
        })
    }

    /// Whether an address of this block is granted.
    pub(super) fn grants(&self, block: u32, address: F::Number) -> bool {
        let mut is_granted = false;
        self.segments(block, |first, last, _| {
            is_granted |= (first..=last).contains(&address);
        });
        is_granted
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

/// Pieces that lie side by side: each is an interval, or makes the one before longer.
struct Plain<F: Family> {
    held: HeldId,
    word: GrantWord,
    /// The interval that came last; none of these blocks at first.
    before: Option<(F::Number, F::Number)>,
    /// The last block that brought a condition which the table did not have, and how many it had before.
    growth: Option<(u32, usize)>,
}

/// What a piece comes to.
enum Step<I> {
    /// One more interval.
    Interval(I),
    /// This one instead of the last.
    Longer(I),
    /// It lies in the one before, or completes a block: that is not plain.
    Not,
}

impl<F: Family> Plain<F> {
    /// Pieces from this one on.
    fn from(piece: F::Piece, holdings: &mut Holdings) -> Self {
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
    fn give_up(&self, block: u32, holdings: &mut Holdings) {
        if let Some((_, conditions)) = self.growth.filter(|(grown, _)| *grown == block) {
            holdings.truncate(conditions);
        }
    }

    /// The next piece, in the block of the one before or in a later one.
    #[inline(always)]
    fn step(&mut self, piece: F::Piece, is_same_block: bool, holdings: &mut Holdings) -> Step<F::Interval> {
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

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer grants than 32 bits count: memory ends before")
}

/// Works blocks out, one by one.
struct Worked<F: Family> {
    sweep: Sweep<F>,
    segments: Vec<Segment<F::Number, HeldId>>,
}

impl<F: Family> Worked<F> {
    fn new() -> Self {
        Self {
            sweep: Sweep::new(),
            segments: Vec::new(),
        }
    }

    /// Puts the intervals of a block behind `into`; none where one grant covers all of the block, which is returned.
    fn out(
        &mut self,
        block: u32,
        around: Option<HeldId>,
        pieces: &[F::Piece],
        holdings: &mut Holdings,
        into: &mut Vec<F::Interval>,
    ) -> Result<Option<GrantWord>, TableError> {
        let (start, conditions) = (into.len(), holdings.conditions().len());
        if around.is_none() {
            if side_by_side::<F>(pieces, holdings, into) {
                return Ok(None);
            }
            into.truncate(start);
            holdings.truncate(conditions);
        }
        self.swept(block, around, pieces, holdings, into)
    }

    /// As [`Self::out`], whatever lies in what.
    fn swept(
        &mut self,
        block: u32,
        around: Option<HeldId>,
        pieces: &[F::Piece],
        holdings: &mut Holdings,
        into: &mut Vec<F::Interval>,
    ) -> Result<Option<GrantWord>, TableError> {
        self.segments.clear();
        let segments = &mut self.segments;
        let mut joining = Joining::new(|segment| segments.push(segment));
        self.sweep
            .block(block, around, pieces, holdings, |segment| joining.put(segment))?;
        joining.end();
        if let [only] = self.segments[..]
            && (only.first, only.last) == F::block_span(block)
        {
            return Ok(Some(holdings.word(only.grant)));
        }
        let segments = self.segments.iter();
        into.extend(
            segments.map(|segment| F::interval(segment.first, segment.last, holdings.word(segment.grant))),
        );
        Ok(None)
    }
}

/// Puts the intervals of a block behind `into` where no prefix lies in another one, as is usual; whether it is so.
fn side_by_side<F: Family>(
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

/// Puts `old` without `removed` and with `added`, all three ascending, behind `into`. What lies between two changes is copied
/// without a look.
///
/// # Errors
/// One of `removed` that is not there.
fn exchanged<P: Copy + Ord>(
    mut old: &[P],
    mut removed: &[P],
    mut added: &[P],
    into: &mut Vec<P>,
) -> Result<(), P> {
    into.reserve(old.len() + added.len());
    while let Some(next) = removed.first().into_iter().chain(added.first()).min().copied() {
        let (before, behind) = old.split_at(old.partition_point(|piece| *piece < next));
        into.extend_from_slice(before);
        old = behind;
        if let [gone, rest @ ..] = removed
            && *gone == next
        {
            match old {
                [found, behind @ ..] if *found == next => (old, removed) = (behind, rest),
                _ => return Err(next),
            }
        } else {
            into.push(next);
            added = &added[1..];
        }
    }
    into.extend_from_slice(old);
    Ok(())
}

/// What a block holds as intervals, `one` being the place for the one that a whole block is.
fn intervals_of<'a, F: Family>(
    block: u32,
    content: Content<'a, F::Interval>,
    one: &'a mut [F::Interval; 1],
) -> &'a [F::Interval] {
    match content {
        Content::Run(intervals) => intervals,
        Content::Whole(grant) => {
            let (first, last) = F::block_span(block);
            *one = [F::interval(first, last, grant)];
            one
        }
    }
}

fn net_of<F: Family>(node: Node) -> IpNet {
    F::wide_net(node.bits(), node.length())
}
