//! The pieces of all blocks: as they came, and by their blocks from the first exchange on.

use std::mem;

use super::super::family::Family;
use super::super::runs::Runs;

/// All pieces of a family.
///
/// Where nothing is exchanged, nobody asks which of them are of a block; to note it costs a replacement as much as its
/// intervals do, and memory besides.
#[derive(Debug)]
pub(super) struct Own<F: Family> {
    /// Ascending; none once there are runs.
    sorted: Vec<F::Piece>,
    runs: Option<Runs<F::Piece>>,
}

impl<F: Family> Own<F> {
    /// These, which are ascending.
    pub(super) const fn sorted(sorted: Vec<F::Piece>) -> Self {
        Self { sorted, runs: None }
    }

    /// The memory that they lie in.
    pub(super) fn into_sorted(self) -> Vec<F::Piece> {
        self.runs.map_or(self.sorted, |runs| runs.into_parts().1)
    }

    /// Whether there never was any.
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty() && self.runs.as_ref().is_none_or(|runs| runs.items().is_empty())
    }

    /// By their blocks, where that was asked for.
    pub(super) const fn known_runs(&mut self) -> Option<&mut Runs<F::Piece>> {
        self.runs.as_mut()
    }

    /// By their blocks.
    pub(super) fn runs(&mut self) -> &mut Runs<F::Piece> {
        self.runs
            .get_or_insert_with(|| Runs::of_sorted(mem::take(&mut self.sorted), |piece| F::block(*piece)))
    }
}
