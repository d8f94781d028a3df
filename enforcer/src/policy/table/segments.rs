//! Overlapping grants to disjoint segments, in one sweep over the sorted starts.

use super::error::TableError;
use super::family::{Family, Number};
use super::holdings::{HeldId, Holdings};

/// Addresses, both ends inclusive, and what lies behind them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segment<N, G> {
    pub(super) first: N,
    pub(super) last: N,
    pub(super) grant: G,
}

/// Takes segments, disjoint and ascending, and hands them on with neighbours of the same grant joined.
pub(super) struct Joining<N, G, F> {
    pending: Option<Segment<N, G>>,
    out: F,
}

impl<N: Number, G: Copy + Eq, F: FnMut(Segment<N, G>)> Joining<N, G, F> {
    pub(super) fn new(out: F) -> Self {
        Self { pending: None, out }
    }

    #[inline]
    pub(super) fn put(&mut self, segment: Segment<N, G>) {
        if let Some(before) = &mut self.pending {
            if before.grant == segment.grant && before.last.next() == Some(segment.first) {
                before.last = segment.last;
                return;
            }
            (self.out)(*before);
        }
        self.pending = Some(segment);
    }

    pub(super) fn end(&mut self) {
        if let Some(last) = self.pending.take() {
            (self.out)(last);
        }
    }
}

/// Makes the prefixes of a block disjoint. Two prefixes are disjoint or one contains the other, so those around an
/// address form a stack.
pub(super) struct Sweep<F: Family> {
    /// Open segments, outermost first: where each ends, and what holds in it, joined with all around it.
    open: Vec<(F::Number, HeldId)>,
    /// Where the part of the innermost open segment starts that has not been put out.
    from: Option<F::Number>,
}

impl<F: Family> Sweep<F> {
    pub(super) fn new() -> Self {
        Self {
            open: Vec::new(),
            from: None,
        }
    }

    /// Puts out the segments of a block of which `around` holds everywhere and `pieces`, ascending, in parts.
    pub(super) fn block(
        &mut self,
        block: u32,
        around: Option<HeldId>,
        pieces: &[F::Piece],
        holdings: &mut Holdings,
        mut put: impl FnMut(Segment<F::Number, HeldId>),
    ) -> Result<(), TableError> {
        self.open.clear();
        self.from = None;
        if let Some(held) = around {
            let (first, last) = F::block_span(block);
            self.open.push((last, held));
            self.from = Some(first);
        }
        for piece in pieces {
            let (first, last) = F::span(*piece);
            let held = F::held(*piece);
            self.close(Some(first), &mut put);
            let grant = match self.open.last() {
                Some((_, around)) => {
                    if let (Some(start), Some(end)) = (self.from, first.previous())
                        && start <= end
                    {
                        put(Segment {
                            first: start,
                            last: end,
                            grant: *around,
                        });
                    }
                    holdings.joined(*around, held)?
                }
                None => held,
            };
            self.from = Some(first);
            self.open.push((last, grant));
        }
        self.close(None, &mut put);
        Ok(())
    }

    /// Puts out the rest of every open segment that ends before `next`.
    #[inline]
    fn close(&mut self, next: Option<F::Number>, put: &mut impl FnMut(Segment<F::Number, HeldId>)) {
        while let Some((last, grant)) = self.open.last().copied() {
            if next.is_some_and(|next| last >= next) {
                break;
            }
            if let Some(first) = self.from
                && first <= last
            {
                put(Segment { first, last, grant });
            }
            // Without an address behind it, nothing of what is around can be left either.
            self.from = last.next();
            self.open.pop();
        }
    }
}
