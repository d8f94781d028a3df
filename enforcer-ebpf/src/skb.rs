//! The byte access over a packet in the kernel.

use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use enforcer_common::bytes::{Bytes, NEAR, Window};
use enforcer_common::packet::{self, PacketError};

/// A packet, from its IP header on.
pub struct Skb {
    /// The context of the program that judges it.
    pub context: *mut __sk_buff,
}

impl Bytes for Skb {
    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the context is valid for the program's run, and the verifier allows this field.
        unsafe { (*self.context).len }
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes N bytes or fails.
        let status = unsafe {
            #[expect(clippy::cast_possible_truncation, reason = "headers are short")]
            bpf_skb_load_bytes(self.context.cast(), offset, bytes.as_mut_ptr().cast(), N as u32)
        };
        if status != 0 {
            return None;
        }
        // SAFETY: the helper has filled it.
        Some(unsafe { bytes.assume_init() })
    }

    /// Headers lie in the linear part of a packet that the kernel built, and are read in place, word by word: the
    /// verifier knows on which machines a word may lie anywhere. What a raw socket made goes through the helper.
    #[inline(always)]
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        if offset > NEAR {
            return None;
        }
        // SAFETY: the verifier allows these two fields in cgroup_skb programs.
        let (data, end) = unsafe { ((*self.context).data as usize, (*self.context).data_end as usize) };
        let start = data + offset as usize;
        if start + N * 4 <= end {
            return Some(core::array::from_fn(|at| {
                // SAFETY: just checked against the end of the linear part.
                u32::from_be(unsafe { *((start + at * 4) as *const u32) })
            }));
        }
        let mut words = MaybeUninit::<[u32; N]>::uninit();
        // SAFETY: the helper writes N words or fails.
        let status = unsafe {
            #[expect(clippy::cast_possible_truncation, reason = "headers are short")]
            bpf_skb_load_bytes(
                self.context.cast(),
                offset,
                words.as_mut_ptr().cast(),
                N as u32 * 4,
            )
        };
        if status != 0 {
            return None;
        }
        // SAFETY: the helper has filled it.
        Some(unsafe { words.assume_init() }.map(u32::from_be))
    }

    #[inline(always)]
    fn near_as_sent<const N: usize>(&self) -> Option<[u32; N]> {
        // SAFETY: the verifier allows these two fields in cgroup_skb programs.
        let (data, end) = unsafe { ((*self.context).data as usize, (*self.context).data_end as usize) };
        if data + N * 4 > end {
            return None;
        }
        Some(core::array::from_fn(|at| {
            // SAFETY: just checked against the end of the linear part.
            unsafe { *((data + at * 4) as *const u32) }
        }))
    }

    #[inline(always)]
    fn check_options(&self, length: u32) -> Result<(), PacketError> {
        match enforcer_options(self.context, length) {
            options::FINE => Ok(()),
            options::SOURCE_ROUTE => Err(PacketError::SourceRoute),
            options::UNREADABLE => Err(PacketError::Options),
            _ => Err(PacketError::Truncated),
        }
    }

    #[inline(always)]
    fn fetch(&self, offset: u32, count: u32, window: &mut Window) -> bool {
        // SAFETY: at most 256 bytes, the size of the window; the helper writes so many or fails.
        let status = unsafe {
            bpf_skb_load_bytes(
                self.context.cast(),
                offset,
                (&raw mut window.words).cast(),
                one_to_256(count),
            )
        };
        status == 0
    }

    #[inline(always)]
    fn eight(window: &Window, position: u32) -> u64 {
        eight(window, position)
    }

    #[inline(always)]
    fn forgotten(window: &mut Window, number: u32) -> u32 {
        forgotten(window, number)
    }
}

/// What [`enforcer_options`] gives.
mod options {
    pub(super) const FINE: u32 = 0;
    pub(super) const SOURCE_ROUTE: u32 = 1;
    pub(super) const UNREADABLE: u32 = 2;
    pub(super) const TRUNCATED: u32 = 3;
}

/// Looks into the IPv4 options of a packet. A function of its own, global: the verifier walks through it once by itself, and
/// not once for every verdict that it comes after.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_options(context: *mut __sk_buff, length: u32) -> u32 {
    match packet::check_options(&Skb { context }, length) {
        Ok(()) => options::FINE,
        Err(PacketError::SourceRoute) => options::SOURCE_ROUTE,
        Err(PacketError::Truncated) => options::TRUNCATED,
        Err(_) => options::UNREADABLE,
    }
}

/// Eight bytes of a window at once, wherever they begin: the verifier knows on which machines a word may lie anywhere.
#[inline(always)]
pub(crate) fn eight(window: &Window, position: u32) -> u64 {
    let mut word = u64::from(position);
    // SAFETY: reads within the window, behind whose words there are eight bytes more, and touches one register that it owns.
    unsafe {
        asm!(
            "{0} &= 0xff",
            "{0} += {1}",
            "{0} = *(u64 *)({0} + 0)",
            inout(reg) word,
            in(reg) &raw const window.words,
            options(readonly, nostack),
        );
    }
    u64::from_le(word)
}

/// The same number, of which the verifier knows nothing: it does not follow what lies in a map.
#[inline(always)]
pub(crate) fn forgotten(window: &mut Window, number: u32) -> u32 {
    let aside = &raw mut window.aside;
    // SAFETY: the field is alive and aligned. Volatile, since the compiler knows better.
    unsafe {
        write_volatile(aside, number);
        read_volatile(aside)
    }
}

/// A length of 1 to 256 as it is, in a way that the verifier sees where a helper is called: for it a length must be neither
/// zero nor beyond its memory, and the compiler would compute with what it knows itself.
#[inline(always)]
pub(crate) fn one_to_256(length: u32) -> u32 {
    let mut length = u64::from(length);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} += -1", "{0} &= 0xff", "{0} += 1", inout(reg) length) };
    #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
    {
        length as u32
    }
}
