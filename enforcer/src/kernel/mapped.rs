//! A BPF array mapped into the daemon: written and read without a system call for each element.
//!
//! [`Mapped`] is a part of an array, or all of it, for as long as it lives. [`Windows`] maps what is written, and only for
//! as long as changes come.

mod windows;

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use enforcer_common::abi::Header;
use enforcer_common::flow::Flow;
use enforcer_common::table::{Index, IntervalV4, IntervalV6, PolicyWord};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::error::KernelError;

pub(super) use windows::Windows;

/// Types that lie in mapped arrays: plain numbers without padding, for which every bit pattern is a value.
///
/// # Safety
/// The implementor has that property, and a size that is a multiple of 8, the stride of BPF arrays.
pub(super) unsafe trait Element: Copy {}

// SAFETY: two numbers of 4 bytes.
unsafe impl Element for Index {}
// SAFETY: numbers of 2, 2 and 4 bytes.
unsafe impl Element for IntervalV4 {}
// SAFETY: four numbers of 8 and two of 4 bytes.
unsafe impl Element for IntervalV6 {}
// SAFETY: two numbers of 8 and two of 4 bytes.
unsafe impl Element for Header {}
// SAFETY: numbers of 8, 4, 2 and 1 bytes; `abi` checks that its size leaves no room for padding.
unsafe impl Element for Flow {}
// SAFETY: a number of 8 bytes.
unsafe impl Element for u64 {}

/// The elements of one BPF array, shared with the kernel programs.
#[derive(Debug)]
pub(super) struct Mapped<T: Element> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: the mapping belongs to the process; writes go through `&mut self`, and other processes and the kernel
// programs are expected to race with reads, which are done by volatile or atomic access.
unsafe impl<T: Element> Send for Mapped<T> {}

impl<T: Element> Mapped<T> {
    /// Maps the array behind `fd`, which has `count` elements of `T`.
    pub(super) fn new(
        map: &'static str,
        fd: BorrowedFd<'_>,
        count: usize,
        writable: bool,
    ) -> Result<Self, KernelError> {
        Self::part(map, fd, 0, count, writable)
    }

    /// Maps `count` elements from position `first` of the array behind `fd`. The bytes before must be whole pages.
    fn part(
        map: &'static str,
        fd: BorrowedFd<'_>,
        first: usize,
        count: usize,
        writable: bool,
    ) -> Result<Self, KernelError> {
        const { assert!(size_of::<T>().is_multiple_of(8), "the stride of a BPF array") };
        let protection = if writable {
            ProtFlags::READ | ProtFlags::WRITE
        } else {
            ProtFlags::READ
        };
        // SAFETY: a fresh mapping of a map that this process holds; nobody else in it knows the address.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                Self::length(count),
                protection,
                MapFlags::SHARED,
                fd,
                Self::length(first) as u64,
            )
        }
        .map_err(|error| KernelError::Map {
            map,
            action: "mapped",
            source: error.into(),
        })?;
        let start = NonNull::new(address.cast()).ok_or(KernelError::Map {
            map,
            action: "mapped",
            source: std::io::ErrorKind::Unsupported.into(),
        })?;
        Ok(Self { start, count })
    }

    const fn length(count: usize) -> usize {
        count * size_of::<T>()
    }

    /// Copies `elements` to position `at`. Whoever reads meanwhile sees old and new elements mixed.
    ///
    /// # Panics
    /// When they do not fit: the caller has checked the sizes of a table before.
    pub(super) fn write(&mut self, at: usize, elements: &[T]) {
        assert!(
            at <= self.count && elements.len() <= self.count - at,
            "a table larger than its map"
        );
        // SAFETY: within the mapping, as just checked.
        let target = unsafe { self.start.add(at) };
        // SAFETY: source and target do not overlap, one is ours and the other the mapping.
        unsafe {
            target
                .as_ptr()
                .copy_from_nonoverlapping(elements.as_ptr(), elements.len())
        };
    }

    /// Copies `count` elements from position `at` out; fewer when the array ends before.
    pub(super) fn read(&self, at: usize, count: usize) -> Vec<T> {
        let at = at.min(self.count);
        (at..self.count.min(at.saturating_add(count)))
            .map(|position| {
                // SAFETY: within the mapping.
                let element = unsafe { self.start.add(position) };
                // SAFETY: aligned, and every bit pattern is a value. Volatile, since a writer may be at it.
                unsafe { element.as_ptr().read_volatile() }
            })
            .collect()
    }
}

impl Mapped<Header> {
    fn atomic(&self) -> &AtomicU64 {
        // SAFETY: within the element.
        let word = unsafe { &raw mut (*self.start.as_ptr()).word };
        // SAFETY: aligned, alive as long as the mapping, and only ever accessed as a whole.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// The policy that is in force.
    pub(super) fn word(&self) -> PolicyWord {
        PolicyWord(self.atomic().load(Ordering::Acquire))
    }

    /// Sets the version of the layout.
    pub(super) fn set_version(&mut self, version: u32) {
        // SAFETY: within the element; nobody else writes it.
        unsafe { (&raw mut (*self.start.as_ptr()).version).write_volatile(version) };
    }

    /// Sets when enforcement ends by itself.
    pub(super) fn set_revert_ns(&mut self, revert_ns: u64) {
        // SAFETY: within the element.
        let place = unsafe { &raw mut (*self.start.as_ptr()).revert_ns };
        // SAFETY: aligned, alive as long as the mapping, and only ever accessed as a whole.
        unsafe { AtomicU64::from_ptr(place) }.store(revert_ns, Ordering::Release);
    }

    /// Puts a policy into force: everything that was written before is visible to whoever sees the word, and nothing
    /// that is written afterwards is visible to whoever still sees the one before without a chance to notice.
    pub(super) fn publish(&mut self, word: PolicyWord) {
        self.atomic().store(word.0, Ordering::Release);
        // The next write goes to the half that has just been retired.
        fence(Ordering::SeqCst);
    }
}

impl<T: Element> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nobody can reach any more.
        let outcome = unsafe { munmap(self.start.as_ptr().cast(), Self::length(self.count)) };
        debug_assert!(outcome.is_ok(), "unmapping what was mapped");
    }
}
