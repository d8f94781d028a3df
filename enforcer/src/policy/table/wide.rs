//! Prefixes that cover whole blocks: of 16 bits or fewer.

use std::collections::BTreeMap;
use std::ops::Range;

use enforcer_common::table::BLOCKS;

use super::error::TableError;
use super::family::BLOCK_BITS;
use super::holdings::{HeldId, Holdings};

/// A prefix of 0 to 16 bits, as a node of the binary tree of all of them: a 1, then its bits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Node(u32);

impl Node {
    /// The prefix of this length, at most [`BLOCK_BITS`], around a block.
    pub(super) fn around(block: u32, length: u8) -> Self {
        Self((BLOCKS | block) >> (BLOCK_BITS - length))
    }

    pub(super) fn length(self) -> u8 {
        u8::try_from(self.0.ilog2()).expect("a logarithm of 32 bits")
    }

    /// Its bits.
    pub(super) fn bits(self) -> u32 {
        self.0 ^ 1 << self.length()
    }

    pub(super) fn blocks(self) -> Range<u32> {
        let spare = BLOCK_BITS - self.length();
        self.bits() << spare..(self.bits() + 1) << spare
    }
}

/// What is granted by prefixes that cover whole blocks, any number of times.
#[derive(Clone, Debug, Default)]
pub(super) struct Wide(BTreeMap<Node, Vec<HeldId>>);

impl Wide {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, node: Node, held: HeldId) {
        self.0.entry(node).or_default().push(held);
    }

    /// Takes `removed` out and puts `added` in, all or nothing.
    ///
    /// # Errors
    /// One of `removed` that is not there.
    pub(super) fn exchange(
        &mut self,
        removed: &[(Node, HeldId)],
        added: &[(Node, HeldId)],
    ) -> Result<(), (Node, HeldId)> {
        for (at, (node, held)) in removed.iter().enumerate() {
            if !self.remove(*node, *held) {
                for (node, held) in &removed[..at] {
                    self.add(*node, *held);
                }
                return Err((*node, *held));
            }
        }
        for (node, held) in added {
            self.add(*node, *held);
        }
        Ok(())
    }

    /// Takes back an [`Self::exchange`] that was done.
    pub(super) fn undo(&mut self, removed: &[(Node, HeldId)], added: &[(Node, HeldId)]) {
        for (node, held) in added {
            self.remove(*node, *held);
        }
        for (node, held) in removed {
            self.add(*node, *held);
        }
    }

    fn remove(&mut self, node: Node, held: HeldId) -> bool {
        let Some(all) = self.0.get_mut(&node) else {
            return false;
        };
        let Some(at) = all.iter().position(|found| *found == held) else {
            return false;
        };
        all.swap_remove(at);
        if all.is_empty() {
            self.0.remove(&node);
        }
        true
    }

    /// What holds in all of a block.
    pub(super) fn around(&self, block: u32, holdings: &mut Holdings) -> Result<Option<HeldId>, TableError> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut around = None;
        for length in 0..=BLOCK_BITS {
            for held in self.0.get(&Node::around(block, length)).into_iter().flatten() {
                around = Some(join(around, *held, holdings)?);
            }
        }
        Ok(around)
    }

    /// The same for every block; empty when nothing does in any.
    pub(super) fn around_all(&self, holdings: &mut Holdings) -> Result<Vec<Option<HeldId>>, TableError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = vec![None; BLOCKS as usize];
        for (node, held) in &self.0 {
            let Some((first, rest)) = held.split_first() else {
                continue;
            };
            let mut joined = *first;
            for held in rest {
                joined = holdings.joined(joined, *held)?;
            }
            let blocks = node.blocks();
            for around in &mut all[blocks.start as usize..blocks.end as usize] {
                *around = Some(join(*around, joined, holdings)?);
            }
        }
        Ok(all)
    }
}

fn join(around: Option<HeldId>, held: HeldId, holdings: &mut Holdings) -> Result<HeldId, TableError> {
    around.map_or(Ok(held), |around| holdings.joined(around, held))
}
