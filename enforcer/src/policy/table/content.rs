//! The table as the daemon keeps it: replaced as a whole, or changed where a few grants come and go.

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem::{replace, take};
use std::net::{IpAddr, Ipv4Addr};

use enforcer_common::table::CHUNK;
use enforcer_common::table::{BLOCKS, Index, IntervalV4, IntervalV6};
use ipnet::IpNet;

use super::Grant;
use super::blocks::{Blocks, Pending, Pieces, Spare, roomy};
use super::error::TableError;
use super::family::{BLOCK_BITS, Family, Number, V4, V6};
use super::holdings::{Holdings, held};
use super::journal::{Journal, News, Stamp};
use super::names::NamesImage;
use super::ranges::{Range, RangesBuilder};
use crate::config::Capacity;
use crate::endpoints::GrantedName;

/// Everything that a policy grants, in the layout that the kernel programs read.
///
/// What a block of addresses holds is worked out from the grants in it alone, so an exchange of a few grants costs the
/// blocks that they lie in and nothing else. A block stays where it is in the arrays as long as it does not change:
/// a copy of the table that knows which blocks it lacks is brought up to date by copying these.
pub struct Table {
    v4: Blocks<V4>,
    v6: Blocks<V6>,
    holdings: Holdings,
    names: NamesImage,
    capacity: Capacity,
    journal: Journal,
    spare: Spares,
}

/// Memory for the next replacement.
#[derive(Default)]
struct Spares {
    v4: Spare<V4>,
    v6: Spare<V6>,
}

/// What a change has done: ranges that are not granted as before, and as what. Ascending; of neighbours of the same grant
/// some may be one range.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changed {
    /// Ranges that were there before and are not now.
    pub removed: Vec<Range>,
    /// Ranges that are there now and were not before.
    pub added: Vec<Range>,
}

impl Changed {
    fn between(mut before: Vec<Range>, mut after: Vec<Range>) -> Self {
        let mut kept = Vec::new();
        let mut at = 0;
        after.retain(|new| {
            while before.get(at).is_some_and(|old| old.first < new.first) {
                at += 1;
            }
            let is_kept = before.get(at) == Some(new);
            if is_kept {
                kept.push(at);
            }
            !is_kept
        });
        let mut kept = kept.into_iter().peekable();
        let mut at = 0;
        before.retain(|_| {
            let is_kept = kept.next_if_eq(&at).is_some();
            at += 1;
            !is_kept
        });
        Self {
            removed: before,
            added: after,
        }
    }

    /// Whether nothing is granted otherwise than before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// Grants of both families.
struct Sorted {
    v4: Pieces<V4>,
    v6: Pieces<V6>,
}

impl Sorted {
    /// In memory that is `spare`, as far as it goes.
    fn of(grants: &[Grant], spare: &mut Spares, holdings: &mut Holdings) -> Result<Self, TableError> {
        let mut sorted = Self {
            v4: Pieces::within(roomy(take(&mut spare.v4.pieces), grants.len())),
            v6: Pieces::within(roomy(take(&mut spare.v6.pieces), 0)),
        };
        // Grants of one rule stand in a row as a rule.
        let mut last = None;
        for grant in grants {
            let held = match last {
                Some((rule, condition, held)) if rule == grant.rule && condition == grant.condition => held,
                _ => holdings.number(grant.rule, grant.condition)?,
            };
            last = Some((grant.rule, grant.condition, held));
            match grant.net {
                IpNet::V4(net) => sorted.v4.push(net.network().to_bits(), net.prefix_len(), held),
                IpNet::V6(net) => sorted.v6.push(net.network().to_bits(), net.prefix_len(), held),
            }
        }
        Ok(sorted)
    }
}

/// What [`Table::exchange`] brings, worked out.
struct Prepared {
    v4: Pending<V4>,
    v6: Pending<V6>,
}

impl Table {
    /// One that grants nothing, for kernel tables of this capacity.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            v4: Blocks::empty(capacity.ipv4(), CHUNK),
            v6: Blocks::empty(capacity.ipv6(), u32::MAX),
            holdings: Holdings::new(),
            names: NamesImage::default(),
            capacity,
            journal: Journal::new(),
            spare: Spares::default(),
        }
    }

    /// One that grants this, for kernel tables of the default capacity.
    ///
    /// # Errors
    /// As for [`Table::replace`].
    pub fn of(grants: &[Grant], names: &[GrantedName]) -> Result<Self, TableError> {
        let mut table = Self::new(Capacity::default());
        table.fill(grants, names)?;
        Ok(table)
    }

    /// Makes it hold exactly this, and tells what is different.
    ///
    /// # Errors
    /// [`TableError`] when it does not fit; what was there stays.
    pub fn replace(&mut self, grants: &[Grant], names: &[GrantedName]) -> Result<Changed, TableError> {
        let before = self.ranges();
        self.fill(grants, names)?;
        Ok(Changed::between(before, self.ranges()))
    }

    /// As [`Table::replace`], for who does not ask what is different.
    ///
    /// # Errors
    /// As for [`Table::replace`].
    pub fn fill(&mut self, grants: &[Grant], names: &[GrantedName]) -> Result<(), TableError> {
        let names = NamesImage::build(names)?;
        let mut holdings = Holdings::new();
        let mut spare = take(&mut self.spare);
        let Sorted { v4, v6 } = Sorted::of(grants, &mut spare, &mut holdings)?;
        let v4 = refilled(&self.v4, v4, spare.v4, &mut holdings)?;
        let v6 = refilled(&self.v6, v6, spare.v6, &mut holdings)?;
        holdings.check()?;
        self.journal
            .replace(v4.is_some(), v6.is_some(), names != self.names);
        self.holdings = holdings;
        self.names = names;
        if let Some(v4) = v4 {
            self.spare.v4 = replace(&mut self.v4, v4).into_spare();
        }
        if let Some(v6) = v6 {
            self.spare.v6 = replace(&mut self.v6, v6).into_spare();
        }
        Ok(())
    }

    /// Gives back the memory that only replacements need. The next one takes as much again.
    pub fn rest(&mut self) {
        self.spare = Spares::default();
    }

    /// Takes `removed` out and puts `added` in. Grants are counted: one that was put in twice is there until it has been
    /// taken out twice. Costs the blocks that these grants lie in, whatever the size of the table; except that now and
    /// then, when what has come and gone has left no room as it is, everything is laid out anew.
    ///
    /// # Errors
    /// [`TableError::NotThere`] for one of `removed` that the table does not hold; otherwise as for [`Table::replace`].
    /// What was there stays.
    pub fn exchange(&mut self, removed: &[Grant], added: &[Grant]) -> Result<Changed, TableError> {
        let mut out = Sorted::of(removed, &mut Spares::default(), &mut self.holdings)?;
        let mut new = Sorted::of(added, &mut Spares::default(), &mut self.holdings)?;
        self.v4.exchange_wide(&out.v4, &new.v4, &self.holdings)?;
        let outcome = self
            .v6
            .exchange_wide(&out.v6, &new.v6, &self.holdings)
            .and_then(|()| {
                let outcome = self.exchange_around(&mut out, &mut new);
                if outcome.is_err() {
                    self.v6.undo_wide(&out.v6, &new.v6);
                }
                outcome
            });
        if outcome.is_err() {
            self.v4.undo_wide(&out.v4, &new.v4);
        }
        outcome
    }

    /// As [`Self::exchange`] with the prefixes that cover whole blocks exchanged already.
    fn exchange_around(&mut self, out: &mut Sorted, new: &mut Sorted) -> Result<Changed, TableError> {
        let conditions = self.holdings.conditions().len();
        let outcome = self.prepare(out, new).and_then(|prepared| {
            if self.holdings.check().is_ok() {
                let changed = self.difference(&prepared);
                self.commit(&prepared, conditions)?;
                return Ok(changed);
            }
            // Words do not tell so many conditions apart, until they are numbered anew.
            let before = self.ranges_of(&prepared);
            self.commit(&prepared, conditions)?;
            Ok(Changed::between(before, self.ranges_of(&prepared)))
        });
        if outcome.is_err() {
            self.holdings.truncate(conditions);
        }
        outcome
    }

    /// What is different once `prepared` is in its place.
    fn difference(&self, prepared: &Prepared) -> Changed {
        let (mut removed, mut added) = (RangesBuilder::default(), RangesBuilder::default());
        self.put_difference(&self.v4, &prepared.v4, &mut removed, &mut added);
        self.put_difference(&self.v6, &prepared.v6, &mut removed, &mut added);
        Changed {
            removed: removed.finish(),
            added: added.finish(),
        }
    }

    fn put_difference<F: Family>(
        &self,
        family: &Blocks<F>,
        pending: &Pending<F>,
        removed: &mut RangesBuilder,
        added: &mut RangesBuilder,
    ) {
        let conditions = self.holdings.conditions();
        family.difference(
            pending,
            |first, last, grant| removed.put::<F>(first, last, held(grant, conditions)),
            |first, last, grant| added.put::<F>(first, last, held(grant, conditions)),
        );
    }

    fn prepare(&mut self, out: &mut Sorted, new: &mut Sorted) -> Result<Prepared, TableError> {
        Ok(Prepared {
            v4: self.v4.prepare(&mut out.v4, &mut new.v4, &mut self.holdings)?,
            v6: self.v6.prepare(&mut out.v6, &mut new.v6, &mut self.holdings)?,
        })
    }

    /// Puts the new content of blocks in its place; `conditions` were there before.
    fn commit(&mut self, prepared: &Prepared, conditions: usize) -> Result<(), TableError> {
        if self.holdings.check().is_ok() {
            match (self.v4.place(&prepared.v4), self.v6.place(&prepared.v6)) {
                (Ok(v4), Ok(v6)) => {
                    self.v4.put(&prepared.v4, &v4);
                    self.v6.put(&prepared.v6, &v6);
                    let is_more = self.holdings.conditions().len() > conditions;
                    self.journal
                        .touch(prepared.v4.blocks(), prepared.v6.blocks(), is_more);
                    return Ok(());
                }
                _ => {
                    self.v4.forget_places();
                    self.v6.forget_places();
                }
            }
        }
        self.compact(prepared)
    }

    /// Lays everything out anew: conditions that are in use no more are forgotten, and free positions come together.
    fn compact(&mut self, prepared: &Prepared) -> Result<(), TableError> {
        let before = self.holdings.renumber();
        let laid_out = self
            .v4
            .compacted(&prepared.v4, &mut self.holdings)
            .and_then(|v4| Ok((v4, self.v6.compacted(&prepared.v6, &mut self.holdings)?)))
            .and_then(|laid_out| self.holdings.check().map(|()| laid_out));
        match laid_out {
            Ok((v4, v6)) => {
                self.v4 = v4;
                self.v6 = v6;
                self.journal.replace(true, true, false);
                Ok(())
            }
            Err(error) => {
                self.holdings.restore(before);
                Err(error)
            }
        }
    }

    /// The granted ranges, ascending, IPv4 first; neighbours under the same rule and condition are one range. Costs the
    /// whole table.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range> {
        let mut ranges = RangesBuilder::default();
        self.put_ranges(&self.v4, 0..BLOCKS, &mut ranges);
        self.put_ranges(&self.v6, 0..BLOCKS, &mut ranges);
        ranges.finish()
    }

    /// How many [`Self::ranges`] there are. Costs a look at the index alone.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.v4.range_count() + self.range_count_v6()
    }

    /// How many of them are of IPv6.
    #[must_use]
    pub fn range_count_v6(&self) -> usize {
        self.v6.range_count()
    }

    /// The first address that is granted, IPv4 first.
    #[must_use]
    pub fn first(&self) -> Option<IpAddr> {
        let v4 = self.v4.first().map(Number::address);
        v4.or_else(|| self.v6.first().map(Number::address))
    }

    /// Whether `address` is granted, under whatever condition.
    #[must_use]
    pub fn grants(&self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.v4.grants(bits >> (u32::BITS - u32::from(BLOCK_BITS)), bits)
    }

    /// The granted names, ascending.
    #[must_use]
    pub fn granted_names(&self) -> Vec<GrantedName> {
        self.names.decode()
    }

    /// What the kernel tables it is made for hold.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn ranges_of(&self, prepared: &Prepared) -> Vec<Range> {
        let mut ranges = RangesBuilder::default();
        self.put_ranges(&self.v4, prepared.v4.blocks(), &mut ranges);
        self.put_ranges(&self.v6, prepared.v6.blocks(), &mut ranges);
        ranges.finish()
    }

    fn put_ranges<F: Family>(
        &self,
        family: &Blocks<F>,
        blocks: impl Iterator<Item = u32>,
        ranges: &mut RangesBuilder,
    ) {
        let conditions = self.holdings.conditions();
        for block in blocks {
            family.segments(block, |first, last, grant| {
                ranges.put::<F>(first, last, held(grant, conditions));
            });
        }
    }

    pub(crate) fn index_v4(&self) -> &[Index] {
        self.v4.index()
    }

    pub(crate) fn intervals_v4(&self) -> &[IntervalV4] {
        self.v4.intervals()
    }

    pub(crate) fn index_v6(&self) -> &[Index] {
        self.v6.index()
    }

    pub(crate) fn intervals_v6(&self) -> &[IntervalV6] {
        self.v6.intervals()
    }

    /// What the conditions of grants stand for, a bit for each scope. The first one is never used.
    pub(crate) fn conditions(&self) -> &[u64] {
        self.holdings.conditions()
    }

    pub(crate) fn names(&self) -> &NamesImage {
        &self.names
    }

    /// Which table this is, and after how many changes.
    pub(crate) fn stamp(&self) -> Stamp {
        self.journal.stamp()
    }

    /// What a copy lacks that was made at this moment; all of it without one.
    pub(crate) fn since(&self, written: Option<Stamp>) -> News {
        self.journal.since(written)
    }
}

/// The family with these grants; `None` when it has none and had none.
fn refilled<F: Family>(
    old: &Blocks<F>,
    pieces: Pieces<F>,
    spare: Spare<F>,
    holdings: &mut Holdings,
) -> Result<Option<Blocks<F>>, TableError> {
    if pieces.is_empty() && old.is_empty() {
        return Ok(None);
    }
    old.filled(pieces, spare, holdings).map(Some)
}

impl fmt::Debug for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Table")
            .field("capacity", &self.capacity)
            .field("stamp", &self.journal.stamp())
            .finish_non_exhaustive()
    }
}

const _: () = assert!(BLOCKS == 1 << BLOCK_BITS);
