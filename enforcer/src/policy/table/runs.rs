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
        Self(vec![Index::default(); BLOCKS as usize])
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
    /// Runs that lie behind each other in `items` already, as [`Self::is_at`] tells of each.
    pub(super) fn of(items: Vec<T>) -> Self {
        Self {
            entries: Entries::new(),
            items,
            chunk: u32::MAX as usize,
            border: u32::MAX as usize,
            gaps: Vec::new(),
        }
    }

    /// The run of a block is there.
    #[inline]
    pub(super) fn is_at(&mut self, block: u32, first: usize, count: usize) {
        self.entries.put(block, narrow(first), narrow(count));
    }

    /// All items of runs.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// The same, and where it is noted which blocks they are of.
    pub(super) fn parts(&mut self) -> (&[T], &mut Entries) {
        (&self.items, &mut self.entries)
    }

    /// Runs that do not cross a multiple of `chunk`; about `count` elements.
    pub(super) fn new(chunk: u32, count: usize) -> Self {
        Self {
            entries: Entries::new(),
            items: Vec::with_capacity(count),
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

    /// Begins a run of which it is not known yet how long it is.
    pub(super) fn begin(&self) -> Open {
        let first = narrow(self.items.len());
        Open { first, next: first }
    }

    /// Puts one more item behind the run `open`, or where that does not `go_on`, begins another one with it. It is the run
    /// of `block`, which holds it at once.
    #[inline]
    pub(super) fn push(&mut self, open: Open, goes_on: bool, block: u32, item: T) -> Open {
        let mut open = Open {
            first: if goes_on { open.first } else { open.next },
            ..open
        };
        if open.next as usize == self.border {
            open = self.cross(open);
        }
        self.items.push(item);
        open.next += 1;
        self.entries.put(block, open.first, open.next - open.first);
        open
    }

    /// Goes on in the next chunk with a run that has come to the end of its own.
    #[cold]
    fn cross(&mut self, open: Open) -> Open {
        let (first, border) = (open.first as usize, self.border);
        self.border = border.saturating_add(self.chunk);
        if first < border {
            self.gaps.push((first, border - first));
            self.items.extend_from_within(first..border);
        }
        Open {
            first: narrow(border),
            next: narrow(self.items.len()),
        }
    }

    /// Puts another item in the place of the last one of the run that is open.
    #[inline]
    pub(super) fn replace_last(&mut self, item: T) {
        if let Some(last) = self.items.last_mut() {
            *last = item;
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
