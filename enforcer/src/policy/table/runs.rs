//! Runs of elements, one for each block of addresses at most, in one array with an index: the kernel's layout.

use enforcer_common::table::{BLOCKS, GrantWord, Index, WHOLE};

use super::room::Room;

/// An array of runs.
#[derive(Debug)]
pub(super) struct Runs<T> {
    /// One for each block.
    index: Vec<Index>,
    /// What lies between runs is of no meaning.
    items: Vec<T>,
    room: Room,
    capacity: u32,
    chunk: u32,
}

/// What a block is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a, T> {
    /// A run; an empty one for nothing.
    Run(&'a [T]),
    /// One grant over all of it.
    Whole(GrantWord),
}

/// There is no place for a run as the others lie.
#[derive(Debug)]
pub(super) struct NoRoom;

/// Where runs are, by their blocks.
#[derive(Debug)]
pub(super) struct Entries(Vec<Index>);

impl Entries {
    fn new() -> Self {
        Self::within(Vec::new())
    }

    fn within(mut memory: Vec<Index>) -> Self {
        if memory.len() != BLOCKS as usize {
            // Zeros that the system gives need not be written.
            return Self(vec![Index::default(); BLOCKS as usize]);
        }
        memory.fill(Index::default());
        Self(memory)
    }

    fn whole(&mut self) -> &mut [Index; BLOCKS as usize] {
        self.0.first_chunk_mut().expect("there is one for each block")
    }

    /// The run of a block is there.
    #[inline]
    pub(super) fn put(&mut self, block: u32, first: u32, count: u32) {
        self.0[block as usize] = Index { first, count };
    }
}

/// A run that is put behind the others item by item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    first: u32,
    /// Behind its last item, and behind all items.
    next: u32,
}

/// Room behind a run that is open, within one chunk.
#[derive(Debug)]
pub(super) struct Stretch<'a, T> {
    index: &'a mut [Index; BLOCKS as usize],
    /// The last item of the run, and the room.
    items: &'a mut [T],
    /// Where these begin among all.
    start: u32,
    /// Where the run begins.
    first: u32,
    /// Behind its last item.
    next: u32,
}

impl<T> Stretch<'_, T> {
    /// For how many items it is.
    pub(super) fn room(&self) -> usize {
        self.items.len() - 1
    }

    /// Puts one more item behind the run, or where that does not `go_on`, begins another one with it. It is the run of
    /// `block`, which holds it at once.
    #[inline]
    pub(super) fn push(&mut self, goes_on: bool, block: u32, item: T) {
        self.first = if goes_on { self.first } else { self.next };
        self.items[(self.next - self.start) as usize] = item;
        self.next += 1;
        self.index[block as usize] = Index {
            first: self.first,
            count: self.next - self.first,
        };
    }

    /// Puts another item in the place of the last one.
    #[inline]
    pub(super) fn replace_last(&mut self, item: T) {
        self.items[(self.next - self.start) as usize - 1] = item;
    }

    /// The run as it is now.
    pub(super) fn end(self) -> Open {
        Open {
            first: self.first,
            next: self.next,
        }
    }
}

/// Runs that are put behind each other, ascending by their blocks.
#[derive(Debug)]
pub(super) struct Appending<T> {
    entries: Entries,
    items: Vec<T>,
    chunk: usize,
    /// Where the chunk ends in which the last run ends.
    border: usize,
    /// Positions that stay free before the border of a chunk.
    gaps: Vec<(usize, usize)>,
}

impl<T: Copy + Default> Appending<T> {
    /// Runs that do not cross a multiple of `chunk`, in memory that is free to be used.
    pub(super) fn within(index: Vec<Index>, items: Vec<T>, chunk: u32) -> Self {
        Self {
            entries: Entries::within(index),
            items,
            chunk: chunk as usize,
            border: chunk as usize,
            gaps: Vec::new(),
        }
    }

    /// Makes a block hold one grant.
    pub(super) fn whole(&mut self, block: u32, grant: GrantWord) {
        self.entries.0[block as usize] = Index {
            first: grant.0,
            count: WHOLE,
        };
    }

    /// Begins the run of a block with an item, of which it is not known yet how long it is.
    pub(super) fn begin(&mut self, block: u32, item: T) -> Open {
        self.run(block, std::iter::once(item));
        let next = self.items.len();
        Open {
            first: narrow(next - 1),
            next: narrow(next),
        }
    }

    /// Room for more items behind the run `open` of `block`: at most `most`, at least one. Where it is at the border of its
    /// chunk and `goes_on`, it goes over to the next one as a whole.
    pub(super) fn stretch(&mut self, open: Open, block: u32, goes_on: bool, most: usize) -> Stretch<'_, T> {
        let mut open = open;
        if open.next as usize == self.border {
            open = self.cross(open, block, goes_on);
        }
        let next = open.next as usize;
        let end = next + most.min(self.border - next);
        self.items.resize(end, T::default());
        Stretch {
            index: self.entries.whole(),
            // The last item of the run is there as well: it may become longer.
            items: &mut self.items[next - 1..],
            start: open.next - 1,
            first: open.first,
            next: open.next,
        }
    }

    /// Leaves the rest of a stretch that has ended.
    pub(super) fn truncate(&mut self, open: Open) {
        self.items.truncate(open.next as usize);
    }

    /// Goes on in the next chunk, with the run that has come to the end of its own, or behind it.
    #[cold]
    fn cross(&mut self, open: Open, block: u32, goes_on: bool) -> Open {
        let (first, border) = (open.first as usize, self.border);
        self.border = border.saturating_add(self.chunk);
        if goes_on {
            self.gaps.push((first, border - first));
            self.items.extend_from_within(first..border);
            self.entries.put(block, open.next, open.next - open.first);
        }
        Open {
            first: if goes_on { open.next } else { open.first },
            next: narrow(self.items.len()),
        }
    }

    /// Takes the run `open` back. Its block has to be told anew what it holds.
    pub(super) fn give_up(&mut self, open: Open) {
        self.items.truncate(open.first as usize);
    }

    /// Makes a block hold `items`, of which there is at least one.
    #[inline]
    pub(super) fn run(&mut self, block: u32, items: impl ExactSizeIterator<Item = T>) {
        let count = items.len();
        let mut first = self.items.len();
        if first + count > self.border {
            let border = self.border;
            self.border = border.saturating_add(self.chunk);
            self.gaps.push((first, border - first));
            self.items.resize(border, T::default());
            first = border;
        }
        self.items.extend(items);
        self.entries.put(block, narrow(first), narrow(count));
    }

    /// The runs in `capacity` positions; otherwise how many they would need.
    pub(super) fn finish(self, capacity: u32) -> Result<Runs<T>, usize> {
        let chunk = narrow(self.chunk);
        let needed = self.items.len();
        if needed > capacity as usize {
            return if self.gaps.is_empty() {
                Err(needed)
            } else {
                self.packed(capacity).ok_or(needed)
            };
        }
        let mut room = Room::behind(narrow(needed), capacity, chunk);
        for (first, count) in self.gaps {
            room.give(narrow(first), narrow(count));
        }
        Ok(Runs {
            index: self.entries.0,
            items: self.items,
            room,
            capacity,
            chunk,
        })
    }

    /// The longest first, which leaves fewer gaps.
    fn packed(self, capacity: u32) -> Option<Runs<T>> {
        let mut runs = Runs {
            index: self.entries.0,
            items: vec![T::default(); capacity as usize],
            room: Room::behind(0, capacity, narrow(self.chunk)),
            capacity,
            chunk: narrow(self.chunk),
        };
        let mut longest: Vec<&mut Index> = runs.index.iter_mut().filter(|entry| is_run(**entry)).collect();
        longest.sort_by_key(|entry| std::cmp::Reverse(entry.count));
        for entry in longest {
            let run = &self.items[entry.first as usize..][..entry.count as usize];
            entry.first = runs.room.take(entry.count)?;
            runs.items[entry.first as usize..][..run.len()].copy_from_slice(run);
        }
        Some(runs)
    }
}

impl<T: Copy + Default> Runs<T> {
    /// Of `items` that lie behind each other by their blocks, ascending, in an array of any length.
    pub(super) fn of_sorted(items: Vec<T>, block: impl Fn(&T) -> u32) -> Self {
        let mut entries = Entries::new();
        let (mut first, mut before) = (0, None);
        for (at, item) in (0..).zip(&items) {
            let block = block(item);
            // As in `blocks::layout::plain`: no branch, and an entry each time.
            first = if before == Some(block) { first } else { at };
            before = Some(block);
            entries.put(block, first, at + 1 - first);
        }
        Self {
            index: entries.0,
            room: Room::behind(narrow(items.len()), u32::MAX, u32::MAX),
            items,
            capacity: u32::MAX,
            chunk: u32::MAX,
        }
    }

    /// Without any.
    pub(super) fn empty(capacity: u32, chunk: u32) -> Self {
        Self {
            index: vec![Index::default(); BLOCKS as usize],
            items: Vec::new(),
            room: Room::behind(0, capacity, chunk),
            capacity,
            chunk,
        }
    }

    /// The memory of the index and of the items.
    pub(super) fn into_parts(self) -> (Vec<Index>, Vec<T>) {
        (self.index, self.items)
    }

    pub(super) fn index(&self) -> &[Index] {
        &self.index
    }

    /// Positions up to the last one that ever was in a run.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    pub(super) fn entry(&self, block: u32) -> Index {
        self.index[block as usize]
    }

    /// The run of a block; empty when it has none.
    pub(super) fn run(&self, block: u32) -> &[T] {
        let entry = self.entry(block);
        if is_run(entry) {
            &self.items[entry.first as usize..][..entry.count as usize]
        } else {
            &[]
        }
    }

    /// What a block holds.
    pub(super) fn content(&self, block: u32) -> Content<'_, T> {
        let entry = self.entry(block);
        if entry.count == WHOLE {
            Content::Whole(GrantWord(entry.first))
        } else {
            Content::Run(self.run(block))
        }
    }

    /// Finds a place for the new content of blocks, where that of the old is free already; 0 where none is needed.
    pub(super) fn place<'a>(
        &mut self,
        changes: impl Iterator<Item = (u32, Content<'a, T>)> + Clone,
    ) -> Result<Vec<u32>, NoRoom>
    where
        T: 'a,
    {
        for (block, _) in changes.clone() {
            let old = self.entry(block);
            if is_run(old) {
                self.room.give(old.first, old.count);
            }
        }
        let mut places = Vec::new();
        for (_, content) in changes {
            places.push(match content {
                Content::Whole(_) | Content::Run([]) => 0,
                Content::Run(items) => self
                    .room
                    .take(u32::try_from(items.len()).unwrap_or(u32::MAX))
                    .ok_or(NoRoom)?,
            });
        }
        Ok(places)
    }

    /// Puts the new content of blocks at the places that [`Self::place`] gave for it.
    pub(super) fn put<'a>(&mut self, changes: impl Iterator<Item = (u32, Content<'a, T>)>, places: &[u32])
    where
        T: 'a,
    {
        for ((block, content), place) in changes.zip(places) {
            self.index[block as usize] = match content {
                Content::Whole(grant) => Index {
                    first: grant.0,
                    count: WHOLE,
                },
                Content::Run([]) => Index::default(),
                Content::Run(items) => {
                    let first = *place as usize;
                    if self.items.len() < first + items.len() {
                        self.items.resize(first + items.len(), T::default());
                    }
                    self.items[first..][..items.len()].copy_from_slice(items);
                    Index {
                        first: *place,
                        count: narrow(items.len()),
                    }
                }
            };
        }
    }

    /// Takes back what [`Self::place`] has done: what is in no run is free.
    pub(super) fn forget_places(&mut self) {
        let mut runs: Vec<Index> = self
            .index
            .iter()
            .copied()
            .filter(|entry| is_run(*entry))
            .collect();
        runs.sort_unstable_by_key(|entry| entry.first);
        let mut end = 0;
        let mut gaps = Vec::new();
        for run in runs {
            gaps.push((end, run.first - end));
            end = run.first + run.count;
        }
        self.room = Room::behind(end, self.capacity, self.chunk);
        for (first, count) in gaps {
            self.room.give(first, count);
        }
    }
}

fn is_run(entry: Index) -> bool {
    entry.count != 0 && entry.count != WHOLE
}

fn narrow(position: usize) -> u32 {
    u32::try_from(position).expect("a run ends within the 32 bits of a position: memory ends before")
}
