//! The protocol by which a policy comes into force: who writes what when, and what a program may see of it.
//!
//! **What there is.** Everything that a policy consists of exists twice, in two *halves* of the same arrays: for each
//! family an index, one entry for each block of addresses, and the intervals, of which an entry names a run; the
//! conditions; the server names. Beside them is one word of 64 bits: the *generation*, whose lowest bit says which half
//! counts, and the settings. One process writes, the one that holds the lock on the instance. Programs on any CPU read,
//! at any moment, between any two of its stores, and are never waited for.
//!
//! **What the writer does**, for each publication, in this order:
//! 1. It brings the half that the word does *not* select up to date.
//! 2. It stores the word, which selects that half, with release: whoever sees the word sees all of 1 and of every
//!    publication before it.
//! 3. It passes a full fence: no store of the next publication, which goes to the half that has just been retired, can
//!    become visible before the word has.
//!
//! **What a reader does** (`look_up` in `enforcer_common::table`): it loads the word, looks up in the half that it
//! selects, and loads the word again, by an address that is computed from everything it has read, so that a weakly
//! ordered machine can not do it earlier. When the word is the same, it has read one whole policy. When it is not, the
//! half may have been in the writer's hands, and the reader starts over; after three times it denies. Generations
//! never come again: there is no other policy behind the same word.
//!
//! **Why the retired half may be overwritten at once.** A reader that still is in it has loaded a word from before, and
//! every store into this half is behind the store of the next word. Seeing one of the former, it sees the latter when it
//! loads the word again. It may read anything meanwhile (an old index and new intervals, half an interval of IPv6):
//! positions are held against the bounds of the arrays, a search takes a bounded number of steps, and the outcome is
//! thrown away.
//!
//! **Which part of a half is written.** A half holds what the [`Table`] was two publications ago. The table tells which
//! blocks have changed since then ([`Table::since`]); these are written, each its run and then its entry, and nothing
//! else is touched. That makes the half the same as the table, because
//! - the table keeps every run in the place that it has in the halves, and never moves the run of a block that does not
//!   change. An unchanged block thus has its entry, and its run, in this half already;
//! - the runs of the table do not overlap. So no run that is written now lies on the run of an unchanged block. It may
//!   well lie on what an old entry of a changed block names, in this half: nobody looks there before step 2, and by
//!   then that entry has been written as well;
//! - in the half that counts nothing is written at all. That the same place means something else there does not matter:
//!   the two halves have no position in common.
//!
//! Two publications ago, not one: the blocks of the publication before are missing in this half, since they went to the
//! other one. Where the table has more changes behind it than it remembers, has been laid out anew, or is not the one
//! that this half was written from, all of it is written. So is the first publication of a process into maps that
//! another one has left: what its half that does not count holds, nobody knows; it may have been in the middle of step 1.
//!
//! **Through what it is written.** The arrays are mapped a window at a time, when step 1 first writes there, and unmapped
//! once nothing has changed for a while ([`Tables::rest`]). A mapping is a way to the array's own pages, not a copy:
//! nothing is written back when it ends, and two mappings of a page, one after the other, are the same memory. What orders
//! the stores of the protocol is order between stores of one processor, whatever addresses they went through. The header
//! stays mapped, so that step 2 can not fail. Step 1 can, where the kernel refuses a mapping: then there is no step 2, the
//! policy from before counts, and what this half holds is unknown, as above.

use enforcer_common::names::{ENTRIES_AT, NAMES_HALF, SCOPES_AT};
use enforcer_common::table::{BLOCKS, Half, Index, PolicyWord, WHOLE};

use super::super::enforcement::Settings;
use super::super::error::KernelError;
use super::super::mapped::{Element, Windows};
use super::{Generation, Tables};
use crate::policy::table::{Part, Stamp, Table};

/// What each half was written from; `None` while it is unknown.
#[derive(Debug, Default)]
pub(super) struct Halves([Option<Stamp>; 2]);

impl Tables {
    /// Puts a policy into force at one store. See the head of this file.
    ///
    /// # Errors
    /// [`KernelError::Map`] when a part of a table can not be mapped; the policy from before is in force then.
    ///
    /// # Panics
    /// When the table is for maps of another capacity.
    pub(in super::super) fn publish(
        &mut self,
        table: &Table,
        settings: Settings,
    ) -> Result<Generation, KernelError> {
        assert_eq!(
            table.capacity(),
            self.capacity,
            "a table for maps of another capacity"
        );
        let next = self.header.word().generation().max(self.floor).next();
        self.bring_up_to_date(next.half(), table)?;
        self.header.publish(PolicyWord::new(next, settings.bits()));
        Ok(next)
    }

    /// Makes a half, which must not be the one that counts, the same as `table`.
    fn bring_up_to_date(&mut self, half: Half, table: &Table) -> Result<(), KernelError> {
        let at = half.index() as usize;
        let news = table.since(self.halves.0[at].take());
        Family {
            index: &mut self.index_v4,
            intervals: &mut self.table_v4,
            start: at * self.capacity.ipv4() as usize,
            half: at,
        }
        .write(&news.v4, table.index_v4(), table.intervals_v4())?;
        Family {
            index: &mut self.index_v6,
            intervals: &mut self.table_v6,
            start: at * self.capacity.ipv6() as usize,
            half: at,
        }
        .write(&news.v6, table.index_v6(), table.intervals_v6())?;
        let first = at * NAMES_HALF as usize;
        if news.conditions {
            self.names.write(first + SCOPES_AT as usize, table.conditions())?;
        }
        if news.names {
            let names = table.names();
            self.names.write(first, &names.head.to_words())?;
            self.names.write(first + ENTRIES_AT as usize, &names.words)?;
        }
        self.halves.0[at] = Some(table.stamp());
        Ok(())
    }
}

/// The arrays of one family, and where the half begins.
struct Family<'a, T: Element> {
    index: &'a mut Windows<Index>,
    intervals: &'a mut Windows<T>,
    start: usize,
    half: usize,
}

impl<T: Element> Family<'_, T> {
    fn write(&mut self, part: &Part, index: &[Index], intervals: &[T]) -> Result<(), KernelError> {
        let first = self.half * BLOCKS as usize;
        match part {
            Part::Whole => {
                self.intervals.write(self.start, intervals)?;
                self.index.write(first, index)?;
            }
            Part::Blocks(blocks) => {
                for block in blocks {
                    let block = *block as usize;
                    let entry = index[block];
                    if entry.count != WHOLE {
                        let run = entry.first as usize..(entry.first + entry.count) as usize;
                        self.intervals.write(self.start + run.start, &intervals[run])?;
                    }
                    self.index.write(first + block, &[entry])?;
                }
            }
        }
        Ok(())
    }
}
