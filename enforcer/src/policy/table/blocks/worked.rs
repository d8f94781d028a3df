//! What a block holds, worked out from its own grants and what is around it.

use enforcer_common::table::GrantWord;

use super::super::error::TableError;
use super::super::family::Family;
use super::super::holdings::{HeldId, Holdings};
use super::super::segments::{Joining, Segment, Sweep};
use super::plain::side_by_side;

/// Works blocks out, one by one.
pub(super) struct Worked<F: Family> {
    sweep: Sweep<F>,
    segments: Vec<Segment<F::Number, HeldId>>,
}

impl<F: Family> Worked<F> {
    pub(super) fn new() -> Self {
        Self {
            sweep: Sweep::new(),
            segments: Vec::new(),
        }
    }

    /// Puts the intervals of a block behind `into`; none where one grant covers all of the block, which is returned.
    pub(super) fn out(
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
    pub(super) fn swept(
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
