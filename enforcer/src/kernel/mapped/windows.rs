//! A BPF array of which only what is written is mapped, a window at a time, until it is left alone.
//!
//! The kernel makes every page of a mapped array present at once, and counts all of them as memory of the process
//! (`array_map_mmap` in `kernel/bpf/arraymap.c`, which maps from an offset since Linux 5.7). A change touches a few pages
//! of megabytes, and mostly there is none.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};

use super::super::error::KernelError;
use super::{Element, Mapped};

/// Elements of a window. They take whole pages wherever pages have at most 128 KiB, since the size of an element is a
/// multiple of 8, and no element lies in two windows.
const WINDOW: usize = 1 << 14;

/// The elements of one BPF array, shared with the kernel programs.
#[derive(Debug)]
pub(in super::super) struct Windows<T: Element> {
    map: &'static str,
    fd: OwnedFd,
    count: usize,
    /// The windows that are mapped, by their number.
    open: BTreeMap<usize, Mapped<T>>,
}

impl<T: Element> Windows<T> {
    /// Of the array behind `fd`, which has `count` elements of `T`. Nothing is mapped yet.
    pub(in super::super) fn new(map: &'static str, fd: OwnedFd, count: usize) -> Self {
        Self {
            map,
            fd,
            count,
            open: BTreeMap::new(),
        }
    }

    /// The same array as words, whatever its elements are made of.
    ///
    /// # Errors
    /// [`KernelError::Map`] when there are no descriptors left.
    pub(in super::super) fn words(&self) -> Result<Windows<u64>, KernelError> {
        let fd = self.fd.try_clone().map_err(|source| KernelError::Map {
            map: self.map,
            action: "opened once more",
            source,
        })?;
        Ok(Windows::new(self.map, fd, self.count * (size_of::<T>() / 8)))
    }

    /// Elements.
    pub(in super::super) const fn count(&self) -> usize {
        self.count
    }

    /// Copies `elements` to position `at`, and keeps the windows for what comes next. Whoever reads meanwhile sees old and
    /// new elements mixed; after an error as well.
    ///
    /// # Errors
    /// [`KernelError::Map`] when a window can not be mapped.
    ///
    /// # Panics
    /// When they do not fit: the caller has checked the sizes of a table before.
    pub(in super::super) fn write(&mut self, mut at: usize, mut elements: &[T]) -> Result<(), KernelError> {
        assert!(
            at <= self.count && elements.len() <= self.count - at,
            "a table larger than its map"
        );
        while !elements.is_empty() {
            let within = at % WINDOW;
            let (now, later) = elements.split_at(elements.len().min(WINDOW - within));
            self.window(at / WINDOW)?.write(within, now);
            at += now.len();
            elements = later;
        }
        Ok(())
    }

    fn window(&mut self, number: usize) -> Result<&mut Mapped<T>, KernelError> {
        use std::collections::btree_map::Entry;
        let first = number * WINDOW;
        let count = WINDOW.min(self.count - first);
        match self.open.entry(number) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => {
                let mapped = Mapped::part(self.map, self.fd.as_fd(), first, count, true)?;
                Ok(place.insert(mapped))
            }
        }
    }

    /// Copies `count` elements from position `at` out; fewer when the array ends before.
    ///
    /// # Errors
    /// [`KernelError::Map`] when they can not be mapped for that long.
    pub(in super::super) fn read(&self, at: usize, count: usize) -> Result<Vec<T>, KernelError> {
        let at = at.min(self.count);
        let count = count.min(self.count - at);
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = at - at % WINDOW;
        let part = Mapped::part(self.map, self.fd.as_fd(), first, at - first + count, false)?;
        Ok(part.read(at - first, count))
    }

    /// Unmaps everything. What was written stays in the array.
    pub(in super::super) fn close(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    /// Memory that is no kernel's, in the place of an array of `count` elements.
    fn array(count: usize) -> Windows<u64> {
        let fd = memfd_create("array", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, (count * 8) as u64).unwrap();
        Windows::new("array", fd, count)
    }

    #[test]
    fn what_is_written_across_windows_is_read_again_after_they_are_closed() {
        let count = 3 * WINDOW + 5;
        let mut array = array(count);
        let all: Vec<u64> = (1..=count as u64).collect();
        array.write(0, &all).unwrap();
        assert_eq!(array.open.len(), 4);
        array.close();
        assert_eq!(array.read(0, count).unwrap(), all);
        for (at, length) in [(WINDOW - 1, 2), (2 * WINDOW, 1), (count - 3, 3), (7, WINDOW)] {
            let new: Vec<u64> = (0..length as u64).map(|more| more + 1_000_000).collect();
            array.write(at, &new).unwrap();
            assert_eq!(array.read(at, length).unwrap(), new);
            array.close();
            array.write(at, &all[at..at + length]).unwrap();
        }
        array.close();
        assert_eq!(array.read(0, usize::MAX).unwrap(), all);
        assert!(array.read(count, 1).unwrap().is_empty());
    }

    #[test]
    fn a_change_maps_only_where_it_is() {
        let mut array = array(100 * WINDOW);
        assert!(array.open.is_empty());
        array.write(50 * WINDOW, &[1]).unwrap();
        array.write(50 * WINDOW + 9, &[2]).unwrap();
        array.write(9, &[]).unwrap();
        assert_eq!(array.open.keys().collect::<Vec<_>>(), [&50]);
    }

    #[test]
    fn what_can_not_be_mapped_is_an_error() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let mut array: Windows<u64> = Windows::new("array", file.into(), 8);
        assert!(matches!(
            array.write(0, &[1]),
            Err(KernelError::Map { map: "array", .. })
        ));
        assert!(array.read(0, 1).is_err());
    }
}
