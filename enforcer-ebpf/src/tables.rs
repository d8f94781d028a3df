//! The address table in its maps.

use core::arch::asm;
use core::mem::transmute;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use enforcer_common::abi::{Blocks, Header};
use enforcer_common::names::{
    ENTRIES_AT, ENTRY_WORDS, NAMES_HALF, NameEntry, NameHead, NameTables, SCOPES_AT, search,
};
use enforcer_common::packet::Address;
use enforcer_common::table::{
    BLOCKS, CHUNK, GrantWord, Half, Index, IntervalV4, IntervalV6, Lookup, PolicyWord, Seen, Tables, find,
    find_v4_in,
};

use crate::maps::{
    HEADER, TABLE_V4, TABLE_V6, capacity_v4, capacity_v6, has_one_table_v4, header, index_v4, index_v6,
    names, table_v4,
};

/// The word of the policy in force, for what needs nothing of its tables.
#[inline(always)]
pub(crate) fn word() -> PolicyWord {
    PolicyWord(enforcer_word())
}

/// A function of its own, global, as [`enforcer_find_v4`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_word() -> u64 {
    let word = Maps.header().map(|header| Maps.word(header, 0));
    word.unwrap_or_default().0
}

#[inline(always)]
fn is_past(time_ns: u64) -> bool {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() >= time_ns }
}

/// The tables as the programs reach them.
pub(crate) struct Maps;

impl Tables for Maps {
    type Header = *const Header;
    /// `None` for the one that is reached directly.
    type Chunk = Option<*const IntervalV4>;
    #[expect(clippy::cast_possible_truncation, reason = "8")]
    const STRIDE: u32 = size_of::<IntervalV4>() as u32;

    #[inline(always)]
    fn header(&self) -> Option<Self::Header> {
        HEADER.get_ptr(0)
    }

    #[inline(always)]
    fn word(&self, header: Self::Header, after: u64) -> PolicyWord {
        let word = word_in(header, after);
        // SAFETY: the map's element is alive for as long as the program runs. Volatile, since it changes under the program.
        let revert_ns = unsafe { read_volatile(&raw const (*header).revert_ns) };
        // Almost always zero: the clock is asked only while somebody may have locked himself out.
        if revert_ns != 0 && is_past(revert_ns) {
            word.audited()
        } else {
            word
        }
    }

    #[inline(always)]
    fn word_as_written(&self, after: u64) -> PolicyWord {
        word_in(header(), after)
    }

    #[inline(always)]
    fn spread(&self, value: u64) -> u64 {
        let mut spread = value;
        // SAFETY: touches one register that it owns.
        unsafe { asm!("{0} s>>= 63", inout(reg) spread) };
        spread
    }

    #[inline(always)]
    fn either(&self, a: u32, b: u32) -> u32 {
        let mut either = u64::from(a);
        // SAFETY: touches one register that it owns.
        unsafe { asm!("{0} |= {1}", inout(reg) either, in(reg) u64::from(b), options(nomem, nostack)) };
        #[expect(clippy::cast_possible_truncation, reason = "of two numbers that fit")]
        {
            either as u32
        }
    }

    #[inline(always)]
    fn find(&self, half: Half, address: Address, seen: &mut Seen) -> Lookup {
        let lookup = Lookup(match address {
            Address::V4(address) => enforcer_find_v4(half.index(), address),
            Address::V6(high, low) => enforcer_find_v6(half.index(), high, low),
        });
        seen.note(lookup.0);
        lookup
    }

    #[inline(always)]
    fn find_fast(&self, half: Half, address: Address, seen: &mut Seen) -> Lookup {
        let Address::V4(v4) = address else {
            // There a search takes so much longer that a call does not matter, and IPv4 has the registers for itself.
            return self.find(half, address, seen);
        };
        // As above; the same for a larger table.
        if !has_one_table_v4() {
            return self.find(half, address, seen);
        }
        find_v4_in(self, half, v4, seen, |at| {
            Some((None, half.index().wrapping_mul(CHUNK).wrapping_add(at)))
        })
    }

    #[inline(always)]
    fn index_v4(&self, half: Half, block: u32) -> Option<Index> {
        Some(block_at(index_v4(), half, block))
    }

    #[inline(always)]
    fn chunk_v4(&self, half: Half, at: u32) -> Option<(Self::Chunk, u32)> {
        let at = half.index().wrapping_mul(capacity_v4()).wrapping_add(at);
        TABLE_V4
            .get_ptr(at / (2 * CHUNK))
            .map(|chunks| (Some(chunks.cast()), at))
    }

    #[inline(always)]
    fn interval_v4(&self, chunk: Self::Chunk, offset: u32) -> Option<IntervalV4> {
        let interval = interval(chunk, offset);
        // SAFETY: within the map's element, which is alive and aligned to 8 bytes. One load, so that the parts belong
        // together.
        let word = unsafe { read_volatile(interval.cast::<u64>()) };
        // SAFETY: the same size, and every bit pattern is an interval.
        Some(unsafe { transmute::<u64, IntervalV4>(word) })
    }

    #[inline(always)]
    fn first_v4(&self, chunk: Self::Chunk, offset: u32) -> Option<u16> {
        // SAFETY: as above.
        Some(unsafe { read_volatile(&raw const (*interval(chunk, offset)).first) })
    }

    #[inline(always)]
    fn index_v6(&self, half: Half, block: u32) -> Option<Index> {
        Some(block_at(index_v6(), half, block))
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

impl NameTables for Maps {
    #[inline(always)]
    fn condition(&self, half: Half, at: u32) -> Option<u64> {
        name_word(half, SCOPES_AT.wrapping_add(at))
    }

    #[inline(always)]
    fn name_head(&self, half: Half) -> Option<NameHead> {
        Some(NameHead::from_words([name_word(half, 0)?, name_word(half, 1)?]))
    }

    #[inline(always)]
    fn name_entry(&self, half: Half, at: u32) -> Option<NameEntry> {
        let first = ENTRIES_AT.wrapping_add(at.wrapping_mul(ENTRY_WORDS));
        Some(NameEntry::from_words([
            name_word(half, first)?,
            name_word(half, first.wrapping_add(1))?,
            name_word(half, first.wrapping_add(2))?,
        ]))
    }

    #[inline(always)]
    fn name_hash(&self, half: Half, at: u32) -> Option<u64> {
        name_word(half, ENTRIES_AT.wrapping_add(at.wrapping_mul(ENTRY_WORDS)))
    }

    #[inline(always)]
    fn search(&self, half: Half, count: u32, hash: u64, seen: &mut Seen) -> Option<u32> {
        let found = enforcer_search(half.index(), count, hash);
        seen.note(found);
        if found & NO_ENTRY != 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is the position")]
        Some(found as u32)
    }

    #[inline(always)]
    fn text(&self, half: Half, at: u32) -> Option<u64> {
        name_word(half, ENTRIES_AT.wrapping_add(at))
    }
}

/// What grants an IPv4 address, with nothing that makes it a verdict: of this the benchmark's floors are made.
#[inline(always)]
#[must_use]
pub fn find_address(address: u32) -> Lookup {
    let half = Maps.word_as_written(0).generation().half();
    Maps.find_fast(half, Address::V4(address), &mut Seen::default())
}

/// Finds an IPv4 address in half 0 or 1 of the table.
///
/// A function of its own, global, with numbers in and out: the verifier walks through it once by itself (Linux 5.6) and
/// not once for every path that leads to a lookup, which exceeds what kernels before 6.12 are ready to walk.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_find_v4(half: u32, address: u32) -> u64 {
    found(half, Address::V4(address))
}

/// As [`enforcer_find_v4`], for the two halves of an IPv6 address.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_find_v6(half: u32, high: u64, low: u64) -> u64 {
    found(half, Address::V6(high, low))
}

/// What [`enforcer_search`] gives for a table that contradicts itself.
const NO_ENTRY: u64 = 1 << 32;

/// As [`enforcer_find_v4`], for the position of an entry in the name table.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_search(half: u32, count: u32, hash: u64) -> u64 {
    let mut seen = Seen::default();
    let found = match search(&Maps, Half::of(half), count, hash, &mut seen) {
        Some(at) => u64::from(at),
        None => NO_ENTRY,
    };
    found + zero(seen.0)
}

#[inline(always)]
fn found(half: u32, address: Address) -> u64 {
    let mut seen = Seen::default();
    let lookup = find(&Maps, Half::of(half), address, &mut seen);
    // The caller's last read depends on the result, and so on all that was read here.
    lookup.0 + zero(seen.0)
}

/// Zero, computed from `value`: neither the compiler nor a weakly ordered processor knows it before it knows `value`.
///
/// Processors of x86-64 read in the order of the program (Intel's manual, volume 3, section 9.2.2; AMD's, volume 2, section
/// 7.2), and the compiler leaves volatile reads in theirs: for them nothing is computed.
#[inline(always)]
pub(crate) fn zero(value: u64) -> u64 {
    if cfg!(bpf_target_arch = "x86_64") {
        return 0;
    }
    let mut zero = value;
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= 0", inout(reg) zero) };
    zero
}

/// The policy word, read behind all that `after` is computed from.
#[inline(always)]
fn word_in(header: *const Header, after: u64) -> PolicyWord {
    // These processors read in the order of the program (Intel's manual, volume 3, section 9.2.2; AMD's, volume 2,
    // section 7.2), so there is nothing to compute.
    let after = if cfg!(bpf_target_arch = "x86_64") {
        0
    } else {
        after
    };
    // The address is computed from everything that was read before, so that the read can not be done before that.
    #[expect(clippy::cast_possible_truncation, reason = "zero")]
    let header = header.wrapping_byte_add(zero(after) as usize);
    // SAFETY: the map's element is alive for as long as the program runs; the word is aligned, and the daemon
    // writes it whole. Volatile, since it changes under the program.
    PolicyWord(unsafe { read_volatile(&raw const (*header).word) })
}

#[inline(always)]
fn interval(chunk: Option<*const IntervalV4>, offset: u32) -> *const IntervalV4 {
    let start = match chunk {
        Some(start) => start,
        None => table_v4().cast(),
    };
    start.wrapping_byte_add(masked::<{ (2 * CHUNK - 1) * Maps::STRIDE }>(offset))
}

/// A word of the name table; what is not there is looked for at another place of it. Only a table that contradicts itself
/// names such a place, and what stands there is hardly the name.
#[inline(always)]
fn name_word(half: Half, at: u32) -> Option<u64> {
    let at = masked::<{ 2 * NAMES_HALF - 1 }>(half.index().wrapping_mul(NAMES_HALF).wrapping_add(at));
    let word = names().cast::<u64>().wrapping_add(at);
    // SAFETY: within the map's element, which is alive and aligned. Volatile: what the daemon may be writing is thrown away when
    // the policy word is read again.
    Some(unsafe { read_volatile(word) })
}

/// Begins to fetch what a look-up of a name reads first, with few names all of it, for who goes on with something else
/// meanwhile: a processor waits for what it reads only where that is used.
#[inline(always)]
pub(crate) fn begin_names(half: Half) {
    // Volatile reads: they stay although nobody wants what they give.
    let _ = name_word(half, 0);
    let _ = name_word(half, ENTRIES_AT);
}

#[inline(always)]
fn interval_v6(half: Half, at: u32) -> Option<*const IntervalV6> {
    TABLE_V6.get_ptr(half.index().wrapping_mul(capacity_v6()).wrapping_add(at))
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
fn block_at(blocks: *const Blocks, half: Half, block: u32) -> Index {
    let at = masked::<{ 2 * BLOCKS - 1 }>(half.index() * BLOCKS + block);
    let index = blocks.cast::<Index>().wrapping_add(at);
    // SAFETY: within the map's element, which is alive and aligned to 8 bytes. One load, so that the parts belong together.
    let word = unsafe { read_volatile(index.cast::<u64>()) };
    // SAFETY: the same size, and every bit pattern is an index.
    unsafe { transmute::<u64, Index>(word) }
}

/// A position with its upper bits off, in a way that the verifier sees where it is used: the compiler would leave a mask away
/// of which it knows that it changes nothing.
#[inline(always)]
fn masked<const MASK: u32>(at: u32) -> usize {
    let mut at = u64::from(at);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= {1}", inout(reg) at, const MASK) };
    #[expect(clippy::cast_possible_truncation, reason = "the target has 64 bits")]
    {
        at as usize
    }
}
