//! A second writer of pinned tables, which keeps to no protocol: to show that whoever reads them would notice.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::AsFd as _;

/// Stores a number of 8 bytes `offset` bytes from the beginning of a mapped array that is pinned.
///
/// # Errors
/// When it can not be mapped, or has no such place.
pub fn store(pin: &Path, offset: usize, value: u64) -> Result<()> {
    let map = MapData::from_pin(pin).with_context(|| format!("{} can not be opened", pin.display()))?;
    let info = map.info()?;
    let bytes = u64::from(info.value_size()) * u64::from(info.max_entries());
    ensure!(
        offset.is_multiple_of(8) && (offset as u64) < bytes,
        "there is no number {offset} bytes from the beginning of {}",
        pin.display()
    );
    let page = rustix::param::page_size();
    let begin = offset - offset % page;
    // SAFETY: a fresh mapping, whose address nobody else knows.
    let start = unsafe {
        mmap(
            std::ptr::null_mut(),
            page,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            map.fd().as_fd(),
            begin as u64,
        )
    }
    .with_context(|| format!("{} can not be mapped", pin.display()))?;
    // SAFETY: within the page; a mapping begins at a page, so that a multiple of 8 is aligned.
    unsafe { start.byte_add(offset - begin).cast::<u64>().write_volatile(value) };
    // SAFETY: the mapping from above, which nobody uses any more.
    unsafe { munmap(start, page) }.context("unmapping what was mapped")
}
