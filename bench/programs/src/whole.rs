//! The least that a program can do which owes the same as the enforcer: written straight on, for one port and IPv4, with
//! nothing of the parts that the enforcer is made of.
//!
//! It passes nothing that the enforcer does not pass: the shape of the packet is checked, the segment is whole and opens
//! nothing, the policy is read again after the look-up, and a condition is asked for. What it does not know at once it calls a
//! function for, as the enforcer does: that costs registers.

#![expect(clippy::cast_possible_truncation, reason = "parts of words are meant")]

use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::abi::Direct;

use crate::{DROP, PASS};

const IPV4: u32 = (0x0800_u16).to_be() as u32;
const PORT: u16 = 443_u16.to_be();

#[cgroup_skb(egress)]
fn bench_floor_whole(program: SkBuffContext) -> i32 {
    let context = program.skb.skb;
    let mut place = MaybeUninit::<*mut __sk_buff>::uninit();
    // SAFETY: it is alive and aligned. Volatile, so that the context takes no register.
    unsafe { write_volatile(place.as_mut_ptr(), context) };
    if passes(context) {
        return PASS;
    }
    // SAFETY: it was written above.
    let context = unsafe { read_volatile(place.as_ptr()) };
    if bench_further(context) == 0 { DROP } else { PASS }
}

/// What is called for the rest: here there is none.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_further(context: *mut __sk_buff) -> u32 {
    // SAFETY: the context is valid for the program's run.
    unsafe { (*context).len & 0x8000_0000 }
}

#[inline(always)]
fn passes(context: *mut __sk_buff) -> bool {
    // SAFETY: the verifier allows these fields.
    let (protocol, data, end) = unsafe {
        (
            (*context).protocol,
            (*context).data as usize,
            (*context).data_end as usize,
        )
    };
    if protocol != IPV4 || data + 24 > end {
        return false;
    }
    // SAFETY: within the 24 bytes that there are.
    let word = |at: usize| unsafe { *((data + at) as *const u32) };
    // SAFETY: as above.
    let number = unsafe { *((data + 9) as *const u8) };
    if word(0) & 0xff != 0x45 || word(4) & 0xff3f_0000 != 0 || number == 51 {
        return false;
    }
    // SAFETY: as above.
    if unsafe { *((data + 22) as *const u16) } != PORT {
        return true;
    }
    let destination = u32::from_be(word(16));
    if number == 17 {
        return granted(destination).is_some_and(|(word, _)| word & 2 != 0);
    }
    if number != 6 || data + 36 > end {
        return false;
    }
    // SAFETY: within the 36 bytes that there are.
    let control = unsafe { *((data + 32) as *const u32) };
    let payload = 20 + (control >> 2 & 0x3c);
    // SAFETY: the verifier allows this field.
    let length = unsafe { (*context).len };
    if !(0x50..=0xf0).contains(&(control & 0x2f0)) || payload > length {
        return false;
    }
    granted(destination)
        .is_some_and(|(_, grant)| grant >> 24 == 0 || (length - payload) | (control & 0x2000) == 0)
}

/// The word of the policy that grants an address, and what grants it.
#[inline(always)]
fn granted(destination: u32) -> Option<(u64, u32)> {
    let header = || direct::<{ Direct::Header.mark() }>().cast::<u64>();
    // SAFETY: the map's element is alive and aligned. The same below.
    let word = unsafe { read_volatile(header()) };
    if word >> 8 == 0 {
        return None;
    }
    let grant = search(destination, (word >> 8 & 1) as u32)?;
    // SAFETY: as above.
    (unsafe { read_volatile(header()) } == word).then_some((word, grant))
}

#[inline(always)]
fn search(destination: u32, half: u32) -> Option<u32> {
    let index = direct::<{ Direct::IndexV4.mark() }>().cast::<u64>();
    let table = || direct::<{ Direct::TableV4.mark() }>().cast::<u64>();
    // SAFETY: masked, so within the map's element.
    let entry =
        unsafe { read_volatile(index.wrapping_add(masked::<0x1_ffff>(half << 16 | destination >> 16))) };
    let (first, mut count) = (entry as u32, (entry >> 32) as u32);
    let mut base = first.wrapping_add(half << 17);
    let key = destination & 0xffff;
    if count > 1 {
        if count == u32::MAX {
            return Some(first);
        }
        for _ in 0..16 {
            let step = count >> 1;
            let at = table().wrapping_add(masked::<0x3_ffff>(base.wrapping_add(step)));
            // SAFETY: as above.
            let first = unsafe { read_volatile(at.cast::<u16>()) };
            base = base.wrapping_add(step & sign(u64::from(first).wrapping_sub(u64::from(key) + 1)));
            count -= step;
            if count <= 1 {
                break;
            }
        }
    } else if count == 0 {
        return None;
    }
    // SAFETY: as above.
    let interval = unsafe { read_volatile(table().wrapping_add(masked::<0x3_ffff>(base))) };
    let (first, last) = (interval as u32 & 0xffff, interval as u32 >> 16);
    (key.wrapping_sub(first) <= last.wrapping_sub(first)).then_some((interval >> 32) as u32)
}

/// All ones for a negative number, otherwise zero.
#[inline(always)]
fn sign(number: u64) -> u32 {
    let mut sign = number;
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} s>>= 63", inout(reg) sign) };
    sign as u32
}

/// As the enforcer masks a position.
#[inline(always)]
fn masked<const MASK: u32>(at: u32) -> usize {
    let mut at = u64::from(at);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= {1}", inout(reg) at, const MASK) };
    at as usize
}

/// As the enforcer reaches a map.
#[inline(always)]
fn direct<const MARK: u64>() -> *const u8 {
    let address: *const u8;
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} = {1} ll", out(reg) address, const MARK, options(nomem, nostack)) }
    address
}
