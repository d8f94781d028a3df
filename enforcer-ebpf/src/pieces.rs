//! The pieces of a record, kept with the socket until it is whole.
//!
//! What works with offsets that are not known beforehand is in global functions here, with numbers in and out: the verifier
//! walks through each once by itself, and not once for every length that its callers may know.

use core::arch::asm;
use core::ptr::read_volatile;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use enforcer_common::bytes::Bytes;
use enforcer_common::client_hello::HELLO_MAX;
use enforcer_common::names::Name;
use enforcer_common::session::Pieces;

use crate::maps::HEADER;
use crate::skb::one_to_256;
use crate::socket::Socket;

/// Bytes that are copied at once.
const STEP: u32 = 256;
/// Steps that copy the longest hello.
const STEPS: u32 = HELLO_MAX.div_ceil(STEP);
/// The last step may start at the end of the longest hello, as far as the verifier knows.
const SIZE: usize = (HELLO_MAX + STEP) as usize;
/// Bytes that a name is copied from, whatever its length.
const NAME_BYTES: u32 = 256;

const _: () = {
    assert!(HELLO_MAX == 0x4000, "the mask in `within`");
    assert!(
        STEP >= NAME_BYTES,
        "a name is read from what is left behind HELLO_MAX"
    );
};

/// What is kept with a socket.
#[repr(C)]
pub(crate) struct Kept {
    bytes: [u8; SIZE],
}

/// What is kept with the socket of a packet, and the packet, from which more comes.
pub(crate) struct KeptPieces {
    pub(crate) context: *mut __sk_buff,
    pub(crate) length: u32,
}

/// What [`enforcer_piece`] gives where there is nothing.
const NO_PIECE: u64 = 1 << 63;

/// `count` bytes, at most 6, of the first `length` that are kept, the one at `offset` first from the right.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_piece(
    context: *mut __sk_buff,
    offset: u32,
    count: u32,
    length: u32,
) -> u64 {
    let kept = Socket::of(context).pieces();
    if kept.is_null() || offset >= HELLO_MAX || offset.wrapping_add(count) > length {
        return NO_PIECE;
    }
    let start = within(offset);
    let mut bytes = 0;
    for at in 0..6 {
        // SAFETY: below HELLO_MAX + 6, and the array goes on for a step behind HELLO_MAX.
        let byte = unsafe { *(&raw const (*kept).bytes).cast::<u8>().add(start + at) };
        bytes |= u64::from(byte) << (at * 8);
    }
    bytes
}

/// Copies `length` bytes from `offset` of the packet behind the first `have`; 1 when all could be copied.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_append(
    context: *mut __sk_buff,
    have: u32,
    offset: u32,
    length: u32,
) -> u32 {
    for number in 0..STEPS {
        let done = number * STEP;
        if done >= length {
            break;
        }
        let (to, from) = (have.wrapping_add(done), offset.wrapping_add(done));
        if enforcer_step(context, to, from, length.wrapping_sub(done)) == 0 {
            return 0;
        }
    }
    1
}

/// Copies `rest` bytes, or a whole step if that is less, from `offset` of the packet to position `to`; 1 when they could be
/// copied.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_step(context: *mut __sk_buff, to: u32, offset: u32, rest: u32) -> u32 {
    let kept = Socket::of(context).pieces();
    if kept.is_null() || to >= HELLO_MAX || rest == 0 {
        return 0;
    }
    let length = if rest < STEP { rest } else { STEP };
    // SAFETY: within the array, as just compared; the helper writes so many bytes or fails.
    let status = unsafe {
        let target = (&raw mut (*kept).bytes).cast::<u8>().add(within(to));
        bpf_skb_load_bytes(context.cast(), offset, target.cast(), one_to_256(length))
    };
    u32::from(status == 0)
}

/// An offset below [`HELLO_MAX`] as it is, in a way that the verifier sees where it is used: the compiler may compare
/// before or after it adds.
#[inline(always)]
fn within(offset: u32) -> usize {
    let mut offset = u64::from(offset);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= 0x3fff", inout(reg) offset) };
    #[expect(clippy::cast_possible_truncation, reason = "14 bits")]
    {
        offset as usize
    }
}

impl Bytes for KeptPieces {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        const { assert!(N <= 6, "more than fits") };
        #[expect(clippy::cast_possible_truncation, reason = "at most 6")]
        let bytes = enforcer_piece(self.context, offset, N as u32, self.length);
        if bytes == NO_PIECE {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "one byte is meant")]
        Some(core::array::from_fn(|at| (bytes >> (at * 8)) as u8))
    }

    /// Copies more than the name, all that may belong to one, so that the length does not matter to the verifier. What is
    /// behind the name is cut off by whoever folds it.
    #[inline(always)]
    fn copy_name(&self, offset: u32, length: u32, name: &mut Name) -> bool {
        let kept = Socket::of(self.context).pieces();
        if kept.is_null() || offset >= HELLO_MAX || offset.wrapping_add(length) > self.length {
            return false;
        }
        let start = within(offset);
        for (index, word) in name.words.iter_mut().enumerate() {
            // SAFETY: below HELLO_MAX + NAME_BYTES, where the array ends.
            *word = unsafe {
                let bytes = (&raw const (*kept).bytes).cast::<u8>().add(start + index * 8);
                u64::from_le_bytes(bytes.cast::<[u8; 8]>().read())
            };
        }
        true
    }
}

impl Pieces for KeptPieces {
    #[inline(always)]
    fn append(&mut self, have: u32, offset: u32, length: u32) -> bool {
        if enforcer_append(self.context, have, offset, length) == 0 {
            return false;
        }
        self.length = have + length;
        true
    }

    #[inline(always)]
    fn start(&self) -> u32 {
        match HEADER.get_ptr(0) {
            // SAFETY: the element is alive, and the field in it. It is always zero. Volatile, so that it is read.
            Some(header) => unsafe { read_volatile(&raw const (*header).padding) },
            None => 0,
        }
    }
}
