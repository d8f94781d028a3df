//! The list of destinations, and which one is next.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;

/// Entries of the list: a power of two, and as many as the largest policy that is measured has prefixes.
const KEYS: u32 = 1 << 17;

/// Destinations as numbers, none of them zero.
#[map]
static KEYS_V4: Array<u32> = Array::with_max_entries(KEYS, 0);
/// As [`KEYS_V4`]: the first and the last 64 bits.
#[map]
static KEYS_V6: Array<[u64; 2]> = Array::with_max_entries(KEYS, 0);
/// The entry that is next.
#[map]
static CURSOR: Array<u32> = Array::with_max_entries(1, 0);

#[inline(always)]
fn step() -> u32 {
    let Some(cursor) = CURSOR.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the element is alive, and one test run at a time works with it. The same for the write.
    let at = unsafe { read_volatile(cursor) };
    // SAFETY: as above.
    unsafe { write_volatile(cursor, at.wrapping_add(1) & (KEYS - 1)) };
    at
}

/// The next IPv4 destination.
#[inline(always)]
pub(crate) fn next() -> u32 {
    // SAFETY: the element is alive and aligned; nobody writes it while programs run.
    KEYS_V4
        .get_ptr(step())
        .map_or(0, |key| unsafe { read_volatile(key) })
}

/// The next IPv6 destination.
#[inline(always)]
pub(crate) fn next_v6() -> [u64; 2] {
    let Some(key) = KEYS_V6.get_ptr(step()) else {
        return [0; 2];
    };
    let first = key.cast::<u64>();
    // SAFETY: as above; two words.
    unsafe { [read_volatile(first), read_volatile(first.add(1))] }
}
