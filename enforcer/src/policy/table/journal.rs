//! What has changed since a table was last written somewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

/// Changed blocks that are remembered. Whoever lags behind more of them writes everything, which costs about as much.
const REMEMBERED: usize = 8192;

/// A table at one moment: which one, and how often it has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    table: u64,
    edition: u64,
}

/// What of a family a copy of the table lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// These blocks, ascending; often none.
    Blocks(Vec<u32>),
}

/// What a copy of the table lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct News {
    pub(crate) v4: Part,
    pub(crate) v6: Part,
    pub(crate) conditions: bool,
    pub(crate) names: bool,
}

/// One family's changes.
#[derive(Debug, Default)]
struct Family {
    /// The edition since which it is another as a whole, or before which nothing is remembered.
    whole: u64,
    /// The blocks of later editions.
    blocks: VecDeque<(u64, u32)>,
}

/// The changes of one table.
#[derive(Debug)]
pub(super) struct Journal {
    stamp: Stamp,
    v4: Family,
    v6: Family,
    conditions: u64,
    names: u64,
}

impl Family {
    fn touch(&mut self, edition: u64, blocks: impl Iterator<Item = u32>) {
        for block in blocks {
            if self.blocks.len() == REMEMBERED
                && let Some((forgotten, _)) = self.blocks.pop_front()
            {
                self.whole = forgotten;
            }
            self.blocks.push_back((edition, block));
        }
    }

    fn replace(&mut self, edition: u64) {
        self.whole = edition;
        self.blocks.clear();
    }

    fn since(&self, edition: u64) -> Part {
        if edition < self.whole {
            return Part::Whole;
        }
        let newer = self.blocks.iter().rev().take_while(|(at, _)| *at > edition);
        let mut blocks: Vec<u32> = newer.map(|(_, block)| *block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        Part::Blocks(blocks)
    }
}

impl Journal {
    pub(super) fn new() -> Self {
        static TABLES: AtomicU64 = AtomicU64::new(0);
        Self {
            stamp: Stamp {
                table: TABLES.fetch_add(1, Ordering::Relaxed),
                edition: 0,
            },
            v4: Family::default(),
            v6: Family::default(),
            conditions: 0,
            names: 0,
        }
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Notes that these blocks are others now, and whether there are more conditions than before.
    pub(super) fn touch(
        &mut self,
        v4: impl Iterator<Item = u32>,
        v6: impl Iterator<Item = u32>,
        conditions: bool,
    ) {
        self.stamp.edition += 1;
        self.v4.touch(self.stamp.edition, v4);
        self.v6.touch(self.stamp.edition, v6);
        if conditions {
            self.conditions = self.stamp.edition;
        }
    }

    /// Notes that these families are others as a whole, with all conditions, and whether the names are.
    pub(super) fn replace(&mut self, v4: bool, v6: bool, names: bool) {
        self.stamp.edition += 1;
        if v4 {
            self.v4.replace(self.stamp.edition);
        }
        if v6 {
            self.v6.replace(self.stamp.edition);
        }
        self.conditions = self.stamp.edition;
        if names {
            self.names = self.stamp.edition;
        }
    }

    /// What a copy lacks that was the table at `written`; `None` for one that never was.
    pub(super) fn since(&self, written: Option<Stamp>) -> News {
        match written {
            Some(written) if written.table == self.stamp.table => News {
                v4: self.v4.since(written.edition),
                v6: self.v6.since(written.edition),
                conditions: written.edition < self.conditions,
                names: written.edition < self.names,
            },
            _ => News {
                v4: Part::Whole,
                v6: Part::Whole,
                conditions: true,
                names: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(journal: &mut Journal, blocks: std::ops::Range<u32>) {
        journal.touch(blocks, std::iter::empty(), false);
    }

    #[test]
    fn a_copy_lacks_what_changed_since_and_all_of_another_table() {
        let mut journal = Journal::new();
        let whole = journal.since(None);
        assert_eq!(whole, Journal::new().since(Some(journal.stamp())));
        assert!(whole.names && whole.conditions && whole.v4 == Part::Whole);
        let first = journal.stamp();
        touch(&mut journal, 3..5);
        let second = journal.stamp();
        touch(&mut journal, 1..4);
        assert_eq!(journal.since(Some(first)).v4, Part::Blocks(vec![1, 2, 3, 4]));
        assert_eq!(journal.since(Some(second)).v4, Part::Blocks(vec![1, 2, 3]));
        assert_eq!(journal.since(Some(journal.stamp())).v4, Part::Blocks(Vec::new()));
        assert!(!journal.since(Some(first)).names);
        journal.replace(true, false, true);
        let news = journal.since(Some(second));
        assert_eq!((news.v4, news.v6), (Part::Whole, Part::Blocks(Vec::new())));
        assert!(news.names && news.conditions);
    }

    #[test]
    fn what_is_forgotten_is_written_as_a_whole() {
        let mut journal = Journal::new();
        let first = journal.stamp();
        touch(&mut journal, 0..8192);
        let second = journal.stamp();
        assert!(matches!(journal.since(Some(first)).v4, Part::Blocks(blocks) if blocks.len() == 8192));
        touch(&mut journal, 0..1);
        assert_eq!(journal.since(Some(first)).v4, Part::Whole);
        assert_eq!(journal.since(Some(second)).v4, Part::Blocks(vec![0]));
        touch(&mut journal, 0..8192);
        assert_eq!(journal.since(Some(second)).v4, Part::Whole);
    }
}
