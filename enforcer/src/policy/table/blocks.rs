//! The grants of one family by their blocks, and the intervals that they come to.
//!
//! A block is worked out anew from its own grants and from what covers it as a whole, and from nothing else: this is
//! what an exchange costs.

mod layout;
mod own;
mod pending;
mod pieces;
mod plain;
mod spare;
mod worked;

use enforcer_common::table::{BLOCKS, GrantWord, Index, WHOLE};
use ipnet::IpNet;

use super::error::TableError;
use super::family::{Family, Number as _};
use super::holdings::Holdings;
use super::runs::{Content, NoRoom, Runs};
use super::wide::{Node, Wide};
use own::Own;

pub(super) use pending::Pending;
pub(super) use pieces::Pieces;
pub(super) use spare::{Spare, roomy};

/// All grants of one family, and the intervals.
#[derive(Debug)]
pub(super) struct Blocks<F: Family> {
    wide: Wide,
    pieces: Own<F>,
    intervals: Runs<F::Interval>,
    capacity: u32,
    chunk: u32,
}

/// Where the new content of some blocks goes.
#[derive(Debug, Default)]
pub(super) struct Places {
    pieces: Vec<u32>,
    intervals: Vec<u32>,
}

impl<F: Family> Blocks<F> {
    /// Without any grant: intervals in at most `capacity` positions, no run across a multiple of `chunk`.
    pub(super) fn empty(capacity: u32, chunk: u32) -> Self {
        Self {
            wide: Wide::default(),
            pieces: Own::sorted(Vec::new()),
            intervals: Runs::empty(capacity, chunk),
            capacity,
            chunk,
        }
    }

    /// What can be used again of it.
    pub(super) fn into_spare(self) -> Spare<F> {
        let (index, intervals) = self.intervals.into_parts();
        Spare {
            pieces: self.pieces.into_sorted(),
            intervals,
            index,
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
        self.wide.is_empty() && self.pieces.is_empty()
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
        if pending.is_empty() {
            return Ok(Places::default());
        }
        Ok(Places {
            pieces: self.pieces.runs().place(pending.pieces())?,
            intervals: self.intervals.place(pending.intervals())?,
        })
    }

    /// Takes [`Self::place`] back.
    pub(super) fn forget_places(&mut self) {
        if let Some(pieces) = self.pieces.known_runs() {
            pieces.forget_places();
        }
        self.intervals.forget_places();
    }

    /// Puts the new content of blocks where [`Self::place`] has found room for it.
    pub(super) fn put(&mut self, pending: &Pending<F>, places: &Places) {
        if pending.is_empty() {
            return;
        }
        self.pieces.runs().put(pending.pieces(), &places.pieces);
        self.intervals.put(pending.intervals(), &places.intervals);
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
