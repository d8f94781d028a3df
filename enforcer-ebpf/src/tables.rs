//! The address table in its maps.

use core::arch::asm;
use core::mem::transmute;
use core::ptr::read_volatile;

use enforcer_common::abi::{Header, INTERVALS_V4, INTERVALS_V6};
use enforcer_common::table::{BLOCKS, GrantWord, Half, Index, IntervalV4, Place, PolicyWord, Tables};

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
    fn interval_v6(&self, half: Half, at: u32, address: [u64; 2]) -> Option<Place> {
        let interval = TABLE_V6.get_ptr(half.index().wrapping_mul(INTERVALS_V6).wrapping_add(at))?;
        // SAFETY: the map's element is alive, and its fields are within it. The daemon may be writing it: what is
        // read then is thrown away when the generation is read again.
        let (first, last, grant) = unsafe {
            (
                [
                    read_volatile(&raw const (*interval).first[0]),
                    read_volatile(&raw const (*interval).first[1]),
                ],
                [
                    read_volatile(&raw const (*interval).last[0]),
                    read_volatile(&raw const (*interval).last[1]),
                ],
                GrantWord(read_volatile((&raw const (*interval).grant).cast::<u32>())),
            )
        };
        Some(
            enforcer_common::table::IntervalV6 {
                first,
                last,
                grant,
                padding: 0,
            }
            .place(address),
        )
    }
}

#[inline(always)]
fn block_at(index: *const Index) -> Option<Index> {
    // SAFETY: the map's element is alive and aligned to 8 bytes. One load, so that the parts belong together.
    let word = unsafe { read_volatile(index.cast::<u64>()) };
    // SAFETY: the same size, and every bit pattern is an index.
    Some(unsafe { transmute::<u64, Index>(word) })
}
