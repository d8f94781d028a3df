//! The blocks that an exchange touches, worked out before anything is changed.

use std::ops::Range as Span;

use enforcer_common::table::GrantWord;

use super::super::error::TableError;
use super::super::family::Family;
use super::super::holdings::Holdings;
use super::super::runs::Content;
use super::worked::Worked;
use super::{Blocks, Pieces, intervals_of};

/// The new content of some blocks.
#[derive(Debug)]
pub(in super::super) struct Pending<F: Family> {
    pub(super) blocks: Vec<PendingBlock>,
    pub(super) pieces: Vec<F::Piece>,
    intervals: Vec<F::Interval>,
}

#[derive(Debug)]
pub(super) struct PendingBlock {
    pub(super) block: u32,
    pub(super) pieces: Span<usize>,
    whole: Option<GrantWord>,
    intervals: Span<usize>,
}

impl<F: Family> Pending<F> {
    /// The blocks, ascending.
    pub(in super::super) fn blocks(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().map(|pending| pending.block)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = (u32, Content<'_, F::Piece>)> + Clone {
        let content = |pending: &PendingBlock| Content::Run(&self.pieces[pending.pieces.clone()]);
        self.blocks
            .iter()
            .map(move |pending| (pending.block, content(pending)))
    }

    pub(super) fn intervals(&self) -> impl Iterator<Item = (u32, Content<'_, F::Interval>)> + Clone {
        let content = |pending: &PendingBlock| match pending.whole {
            Some(grant) => Content::Whole(grant),
            None => Content::Run(&self.intervals[pending.intervals.clone()]),
        };
        self.blocks
            .iter()
            .map(move |pending| (pending.block, content(pending)))
    }
}

impl<F: Family> Blocks<F> {
    /// Works out the blocks that an exchange touches. Prefixes around them are as [`Self::exchange_wide`] left them.
    pub(in super::super) fn prepare(
        &mut self,
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
            exchanged(self.pieces.runs().run(block), out, new, &mut pending.pieces).map_err(|missing| {
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

    /// Calls `removed` and `added` with what is granted otherwise once `pending` is in its place, disjoint and ascending.
    pub(in super::super) fn difference(
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
