//! The table on the host: the same lookup that the kernel programs do, over what the daemon keeps instead of maps.

use enforcer_common::names::{NameEntry, NameHead, NameTables};
use enforcer_common::table::{
    Generation, Half, Index, IntervalV4, IntervalV6, PolicyWord, Settings as Word, Tables,
};

use super::Table;

/// A published policy, as the verdict sees it.
#[derive(Clone, Copy, Debug)]
pub struct HostTables<'a> {
    /// The table.
    pub table: &'a Table,
    /// The settings that were published with it.
    pub settings: Word,
    /// Its generation; 0 stands for no policy at all.
    pub generation: Generation,
}

impl Tables for HostTables<'_> {
    type Header = ();
    type Chunk = ();

    fn header(&self) -> Option<Self::Header> {
        Some(())
    }

    fn word(&self, (): Self::Header, _after: u64) -> PolicyWord {
        PolicyWord::new(self.generation, self.settings)
    }

    fn index_v4(&self, _half: Half, block: u32) -> Option<Index> {
        self.table.index_v4().get(block as usize).copied()
    }

    fn chunk_v4(&self, _half: Half, at: u32) -> Option<(Self::Chunk, u32)> {
        Some(((), at))
    }

    fn interval_v4(&self, (): Self::Chunk, at: u32) -> Option<IntervalV4> {
        self.table.intervals_v4().get(at as usize).copied()
    }

    fn index_v6(&self, _half: Half, block: u32) -> Option<Index> {
        self.table.index_v6().get(block as usize).copied()
    }

    fn first_v6(&self, half: Half, at: u32) -> Option<[u64; 2]> {
        self.interval_v6(half, at).map(|interval| interval.first)
    }

    fn interval_v6(&self, _half: Half, at: u32) -> Option<IntervalV6> {
        self.table.intervals_v6().get(at as usize).copied()
    }
}

impl NameTables for HostTables<'_> {
    fn condition(&self, _half: Half, at: u32) -> Option<u64> {
        self.table.conditions().get(at as usize).copied()
    }

    fn name_head(&self, _half: Half) -> Option<NameHead> {
        Some(self.table.names().head)
    }

    fn name_entry(&self, _half: Half, at: u32) -> Option<NameEntry> {
        self.table.names().entry(at)
    }

    fn text(&self, _half: Half, at: u32) -> Option<u64> {
        self.table.names().words.get(at as usize).copied()
    }
}
