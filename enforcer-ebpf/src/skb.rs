//! The byte access over a packet in the kernel.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use enforcer_common::bytes::{Bytes, NEAR};

/// A packet, from its IP header on.
pub(crate) struct Skb {
    pub(crate) context: *mut __sk_buff,
}

impl Bytes for Skb {
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

    /// Headers lie in the linear part of a packet that the kernel built, and are read in place; what a raw socket made
    /// goes through the helper.
    #[inline(always)]
    fn read_near<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        if offset > NEAR {
            return None;
        }
        // SAFETY: the verifier allows these two fields in cgroup_skb programs.
        let (data, end) = unsafe { ((*self.context).data as usize, (*self.context).data_end as usize) };
        let start = data + offset as usize;
        if start + N <= end {
            // SAFETY: just checked against the end of the linear part.
            return Some(unsafe { core::ptr::read_unaligned(start as *const [u8; N]) });
        }
        self.read(offset)
    }
}
