//! The address table in its maps.

use core::arch::asm;
use core::mem::transmute;
use core::ptr::read_volatile;

use enforcer_common::abi::{Header, INTERVALS_V4, INTERVALS_V6};
use enforcer_common::table::{BLOCKS, GrantWord, Half, Index, IntervalV4, IntervalV6, PolicyWord, Tables};

use crate::maps::{HEADER, INDEX_V4, INDEX_V6, TABLE_V4, TABLE_V6};

/// The tables as the programs reach them.
pub(crate) struct Maps;

impl Tables for Maps {
    type Header = *const Header;

    #[inline(always)]
    fn header(&self) -> Option<Self::Header> {
        HEADER.get_ptr(0)
    }

    #[inline(always)]
    fn word(&self, header: Self::Header, after: u64) -> PolicyWord {
        // The address is computed from everything that was read before. What is added is always zero, but neither the
        // compiler nor a weakly ordered processor may do the read before its address is known.
        let mut zero = after;
        // SAFETY: touches one register that it owns.
        unsafe { asm!("{0} &= 0", inout(reg) zero) };
        #[expect(clippy::cast_possible_truncation, reason = "zero")]
        let header = header.wrapping_byte_add(zero as usize);
        // SAFETY: the map's element is alive for as long as the program runs; the word is aligned, and the daemon
        // writes it whole. Volatile, since it changes under the program.
        PolicyWord(unsafe { read_volatile(&raw const (*header).word) })
    }

    #[inline(always)]
    fn index_v4(&self, half: Half, block: u32) -> Option<Index> {
        block_at(INDEX_V4.get_ptr(half.index() * BLOCKS + block)?)
    }

    #[inline(always)]
    fn interval_v4(&self, half: Half, at: u32) -> Option<IntervalV4> {
        let interval = TABLE_V4.get_ptr(half.index().wrapping_mul(INTERVALS_V4).wrapping_add(at))?;
        // SAFETY: the map's element is alive and aligned to 8 bytes. One load, so that the parts belong together.
        let word = unsafe { read_volatile(interval.cast::<u64>()) };
        // SAFETY: the same size, and every bit pattern is an interval.
        Some(unsafe { transmute::<u64, IntervalV4>(word) })
    }

    #[inline(always)]
    fn index_v6(&self, half: Half, block: u32) -> Option<Index> {
        block_at(INDEX_V6.get_ptr(half.index() * BLOCKS + block)?)
    }

    #[inline(always)]
    fn first_v6(&self, half: Half, at: u32) -> Option<[u64; 2]> {
        let interval = interval_v6(half, at)?;
        // SAFETY: the map's element is alive, and the fields are within it. The daemon may be writing it: what is read
        // then is thrown away when the policy word is read again. The same holds below.
        Some(unsafe { words(&raw const (*interval).first) })
    }

    #[inline(always)]
    fn interval_v6(&self, half: Half, at: u32) -> Option<IntervalV6> {
        let interval = interval_v6(half, at)?;
        // SAFETY: as above.
        Some(unsafe {
            IntervalV6 {
                first: words(&raw const (*interval).first),
                last: words(&raw const (*interval).last),
                grant: GrantWord(read_volatile((&raw const (*interval).grant).cast::<u32>())),
                padding: 0,
            }
        })
    }
}

#[inline(always)]
fn interval_v6(half: Half, at: u32) -> Option<*const IntervalV6> {
    TABLE_V6.get_ptr(half.index().wrapping_mul(INTERVALS_V6).wrapping_add(at))
}

/// # Safety
/// `pair` points to two aligned words of a living map element.
#[inline(always)]
unsafe fn words(pair: *const [u64; 2]) -> [u64; 2] {
    let first = pair.cast::<u64>();
    // SAFETY: as the caller promises.
    unsafe { [read_volatile(first), read_volatile(first.add(1))] }
}

#[inline(always)]
fn block_at(index: *const Index) -> Option<Index> {
    // SAFETY: the map's element is alive and aligned to 8 bytes. One load, so that the parts belong together.
    let word = unsafe { read_volatile(index.cast::<u64>()) };
    // SAFETY: the same size, and every bit pattern is an index.
    Some(unsafe { transmute::<u64, Index>(word) })
}
