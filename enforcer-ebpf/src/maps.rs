//! The maps and the constants of a load. Their layouts are in `enforcer_common::{abi, table}`.

use core::arch::asm;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, PerCpuArray, RingBuf};
use enforcer_common::abi::{
    Blocks, Chunks, Constant, Counter, Direct, Header, INTERVALS_V4, INTERVALS_V6, KINDS, Names, PORTS_MAX,
    RING_BYTES,
};
use enforcer_common::flow::Flow;
use enforcer_common::table::{CHUNK, IntervalV6};
use enforcer_common::verdict::FilteredPorts;

use crate::pieces::Kept;

/// The daemon writes the tables through its own mapping: no system call for each element, no half of an element. Elements
/// are as large as they may be, since every look-up in a map costs what a few intervals cost; in memory it is the same.
const MAPPED: u32 = BPF_F_MMAPABLE;

#[map]
pub(crate) static HEADER: Array<Header> = Array::with_max_entries(1, MAPPED);
#[map]
pub(crate) static INDEX_V4: Array<Blocks> = Array::with_max_entries(1, MAPPED);
#[map]
pub(crate) static TABLE_V4: Array<Chunks> = Array::with_max_entries(INTERVALS_V4 / CHUNK, MAPPED);
#[map]
pub(crate) static INDEX_V6: Array<Blocks> = Array::with_max_entries(1, MAPPED);
#[map]
pub(crate) static TABLE_V6: Array<IntervalV6> = Array::with_max_entries(2 * INTERVALS_V6, MAPPED);

#[map]
pub(crate) static NAMES: Array<Names> = Array::with_max_entries(1, MAPPED);

/// What [`crate::hello`] works with.
#[map]
pub(crate) static BY_HAND: Array<Flow> = Array::with_max_entries(1, MAPPED);

#[map]
pub(crate) static COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(KINDS, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

#[btf_map]
pub(crate) static FLOWS: SkStorage<Flow> = SkStorage::new();
/// The pieces of a record, a part in each: from Linux 7 on a storage of sockets holds no more than 8 KiB for one.
#[btf_map]
pub(crate) static PIECES_0: SkStorage<Kept> = SkStorage::new();
#[btf_map]
pub(crate) static PIECES_1: SkStorage<Kept> = SkStorage::new();
#[btf_map]
pub(crate) static PIECES_2: SkStorage<Kept> = SkStorage::new();
#[btf_map]
pub(crate) static PIECES_3: SkStorage<Kept> = SkStorage::new();

/// Where the one element of a map is. It costs one instruction, where a look-up costs a dozen and all registers that a call
/// does not keep. Asked for anew where it is needed, for the same reason: it is not worth a register.
#[inline(always)]
fn direct<const MARK: u64>() -> *const u8 {
    let address: *const u8;
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} = {1} ll", out(reg) address, const MARK, options(nomem, nostack)) }
    address
}

/// The [`HEADER`].
#[inline(always)]
pub(crate) fn header() -> *const Header {
    direct::<{ Direct::Header.mark() }>().cast()
}

/// [`INDEX_V4`].
#[inline(always)]
pub(crate) fn index_v4() -> *const Blocks {
    direct::<{ Direct::IndexV4.mark() }>().cast()
}

/// [`INDEX_V6`].
#[inline(always)]
pub(crate) fn index_v6() -> *const Blocks {
    direct::<{ Direct::IndexV6.mark() }>().cast()
}

/// Whether [`TABLE_V4`] has one element: where nobody configured more.
#[inline(always)]
pub(crate) fn has_one_table_v4() -> bool {
    capacity_v4() == CHUNK
}

/// [`TABLE_V4`], for what is reached only where it has one element.
#[inline(always)]
pub(crate) fn table_v4() -> *const Chunks {
    direct::<{ Direct::TableV4.mark() }>().cast()
}

/// [`NAMES`].
#[inline(always)]
pub(crate) fn names() -> *const Names {
    direct::<{ Direct::Names.mark() }>().cast()
}

/// A number that the loader fixes: one instruction, and of no memory.
#[inline(always)]
fn constant<const MARK: u64>() -> u64 {
    let number;
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} = {1} ll", out(reg) number, const MARK, options(pure, nomem, nostack)) }
    number
}

/// Intervals of IPv4 in a half. The loader makes the map as large.
#[inline(always)]
pub(crate) fn capacity_v4() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "it was one of 32 bits")]
    {
        constant::<{ Constant::CAPACITY_V4.mark() }>() as u32
    }
}

/// Intervals of IPv6 in a half, as above.
#[inline(always)]
pub(crate) fn capacity_v6() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "it was one of 32 bits")]
    {
        constant::<{ Constant::CAPACITY_V6.mark() }>() as u32
    }
}

/// Whether there is one filtered port: most have one.
#[inline(always)]
pub(crate) fn has_one_port() -> bool {
    constant::<{ Constant::port(1).mark() }>() == 0
}

/// The first filtered port alone.
pub struct FirstPort;

impl FilteredPorts for FirstPort {
    #[inline(always)]
    fn contains(&self, port: u16) -> bool {
        // As below; there is one at least.
        constant::<{ Constant::port(0).mark() }>() == u64::from(port.to_be())
    }
}

/// The filtered ports as the verdict asks for them.
pub struct Ports;

impl FilteredPorts for Ports {
    #[inline(always)]
    fn contains(&self, port: u16) -> bool {
        // As packets have them, and as they are fixed.
        let port = u64::from(port.to_be());
        macro_rules! of_these {
            ($($at:literal)*) => {{
                const { assert!([$($at),*].len() == PORTS_MAX) };
                $(
                    let filtered = constant::<{ Constant::port($at).mark() }>();
                    if filtered == 0 {
                        return false;
                    }
                    if filtered == port {
                        return true;
                    }
                )*
            }};
        }
        of_these!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        false
    }
}
