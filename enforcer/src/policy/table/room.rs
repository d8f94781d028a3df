//! Which positions of an array are free: where a run of so many finds its place.

use std::collections::{BTreeMap, BTreeSet};

/// Free positions. A run that is given out never crosses a multiple of the chunk.
#[derive(Debug)]
pub(super) struct Room {
    chunk: u32,
    /// Every free range, of at least one position: its first and how many. No two of the same chunk touch.
    free: BTreeMap<u32, u32>,
    /// The same, smallest first.
    by_size: BTreeSet<(u32, u32)>,
}

impl Room {
    /// Of `capacity` positions those from `used` on are free.
    pub(super) fn behind(used: u32, capacity: u32, chunk: u32) -> Self {
        let mut room = Self {
            chunk,
            free: BTreeMap::new(),
            by_size: BTreeSet::new(),
        };
        room.give(used, capacity.saturating_sub(used));
        room
    }

    /// The first of `count` positions, which are free no longer: from the smallest range that has as many.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let (size, first) = *self.by_size.range((count, 0)..).next()?;
        self.remove(first, size);
        if size > count {
            self.insert(first + count, size - count);
        }
        Some(first)
    }

    /// Makes `count` positions free, none of which is.
    pub(super) fn give(&mut self, first: u32, count: u32) {
        let (mut first, end) = (first, first + count);
        while first < end {
            let border = (first / self.chunk + 1).saturating_mul(self.chunk);
            let here = end.min(border) - first;
            self.give_within(first, here);
            first += here;
        }
    }

    /// As [`Self::give`] within one chunk.
    fn give_within(&mut self, mut first: u32, mut count: u32) {
        let before = self
            .free
            .range(..first)
            .next_back()
            .map(|(at, size)| (*at, *size));
        if let Some((at, size)) = before
            && at + size == first
            && !first.is_multiple_of(self.chunk)
        {
            self.remove(at, size);
            first = at;
            count += size;
        }
        let end = first + count;
        if let Some(size) = self.free.get(&end).copied()
            && !end.is_multiple_of(self.chunk)
        {
            self.remove(end, size);
            count += size;
        }
        self.insert(first, count);
    }

    fn insert(&mut self, first: u32, count: u32) {
        self.free.insert(first, count);
        self.by_size.insert((count, first));
    }

    fn remove(&mut self, first: u32, count: u32) {
        self.free.remove(&first);
        self.by_size.remove(&(count, first));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: u32 = 100;
    const CHUNK: u32 = 40;

    fn free(room: &Room) -> Vec<bool> {
        let mut free = vec![false; CAPACITY as usize];
        for (first, count) in &room.free {
            for at in *first..first + count {
                assert!(!free[at as usize], "twice free");
                free[at as usize] = true;
            }
        }
        free
    }

    proptest! {
        /// Against an array of flags: what is given out was free, lies in one chunk, and is refused only where no range
        /// of a chunk is large enough.
        #[test]
        fn it_is_an_array_of_flags(used in 0..CAPACITY, steps in prop::collection::vec((any::<bool>(), 1..30_u32, any::<prop::sample::Index>()), 0..200)) {
            let mut room = Room::behind(used, CAPACITY, CHUNK);
            let mut flags: Vec<bool> = (0..CAPACITY).map(|at| at >= used).collect();
            let mut runs = Vec::new();
            for (take, count, which) in steps {
                if take || runs.is_empty() {
                    let fits = |first: u32| {
                        first + count <= CAPACITY
                            && first / CHUNK == (first + count - 1) / CHUNK
                            && (first..first + count).all(|at| flags[at as usize])
                    };
                    let expected = (0..CAPACITY).any(fits);
                    let found = room.take(count);
                    prop_assert_eq!(found.is_some(), expected);
                    if let Some(first) = found {
                        prop_assert!(fits(first));
                        flags[first as usize..(first + count) as usize].fill(false);
                        runs.push((first, count));
                    }
                } else {
                    let (first, count) = runs.swap_remove(which.index(runs.len()));
                    room.give(first, count);
                    flags[first as usize..(first + count) as usize].fill(true);
                }
                prop_assert_eq!(&free(&room), &flags);
                prop_assert_eq!(room.free.len(), room.by_size.len());
            }
        }
    }
}
