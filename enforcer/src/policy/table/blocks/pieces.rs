//! Grants, told apart by whether they lie within a block or cover some.

use super::super::family::{BLOCK_BITS, Family};
use super::super::holdings::HeldId;
use super::super::wide::Node;

/// Grants in the terms of this room.
#[derive(Debug)]
pub(in super::super) struct Pieces<F: Family> {
    /// Those within a block.
    pub(super) narrow: Vec<F::Piece>,
    /// Whether they came in order: lists of prefixes are sorted as a rule.
    pub(super) is_ascending: bool,
    newest: F::Piece,
    /// Those that cover one or more.
    pub(super) wide: Vec<(Node, HeldId)>,
}

impl<F: Family> Pieces<F> {
    /// None yet, and room for those within blocks.
    pub(in super::super) fn within(room: Vec<F::Piece>) -> Self {
        Self {
            narrow: room,
            is_ascending: true,
            newest: F::Piece::default(),
            wide: Vec::new(),
        }
    }

    #[inline]
    pub(in super::super) fn push(&mut self, first: F::Number, length: u8, held: HeldId) {
        let piece = F::piece(first, length, held);
        if length > BLOCK_BITS {
            self.is_ascending &= self.newest <= piece;
            self.newest = piece;
            self.narrow.push(piece);
        } else {
            self.wide.push((Node::around(F::block(piece), length), held));
        }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.narrow.is_empty() && self.wide.is_empty()
    }

    /// The blocks in which something is, ascending.
    pub(super) fn blocks(&self, into: &mut Vec<u32>) {
        into.extend(self.narrow.iter().map(|piece| F::block(*piece)));
        into.extend(self.wide.iter().flat_map(|(node, _)| node.blocks()));
    }
}
