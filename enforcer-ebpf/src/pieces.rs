//! The pieces of a record, kept with the socket until it is whole.
//!
//! What works with offsets that are not known beforehand is in global functions here, with numbers in and out: the verifier
//! walks through each once by itself, and not once for every length that its callers may know.

use core::arch::asm;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use enforcer_common::bytes::{Bytes, WINDOW, Window};
use enforcer_common::client_hello::HELLO_MAX;
use enforcer_common::session::Pieces;
use enforcer_common::verdict::Flows as _;

use crate::skb::{eight, forgotten, one_to_256};
use crate::socket::Socket;

/// Bytes that are copied at once.
const STEP: u32 = 256;
/// Steps that copy the longest hello.
const STEPS: u32 = HELLO_MAX.div_ceil(STEP);
/// Bytes of a record that each part keeps.
const PART: u32 = HELLO_MAX / 4;
/// Behind them stands once more what the next part begins with, so that a name is read from one part wherever it begins;
/// and the last step may start at the end of that, as far as the verifier knows.
const SIZE: usize = (PART + 2 * STEP) as usize;

const _: () = {
    assert!(PART == 0x1000, "the masks in `within` and `part_of`");
    assert!(
        STEP >= WINDOW,
        "a window is filled from what is left behind a part"
    );
};

/// A part of what is kept with a socket.
#[repr(C)]
pub(crate) struct Kept {
    bytes: [u8; SIZE],
}

/// The part in which an offset lies.
#[inline(always)]
const fn part_of(offset: u32) -> u32 {
    (offset >> 12) & 3
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
    let kept = Socket::of(context).pieces(part_of(offset), false);
    if kept.is_null() || offset >= HELLO_MAX || offset.wrapping_add(count) > length {
        return NO_PIECE;
    }
    let start = within(offset);
    let mut bytes = 0;
    for at in 0..6 {
        // SAFETY: below PART + 6, and the array goes on for two steps behind PART.
        let byte = unsafe { *(&raw const (*kept).bytes).cast::<u8>().add(start + at) };
        bytes |= u64::from(byte) << (at * 8);
    }
    bytes
}

/// Moves the window of the flow to what is kept at `offset`; 1 when it is there. It fetches as much as a window holds, also
/// where less is asked for, so that the number does not matter to the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_fetch(context: *mut __sk_buff, offset: u32) -> u32 {
    let mut socket = Socket::of(context);
    let kept = socket.pieces(part_of(offset), false);
    let Some(flow) = socket.kept() else {
        return 0;
    };
    if kept.is_null() || offset >= HELLO_MAX {
        return 0;
    }
    let start = within(offset);
    for (index, word) in flow.window.words.iter_mut().enumerate() {
        // SAFETY: below PART + STEP, within the array, and read as it lies there.
        unsafe {
            let bytes = (&raw const (*kept).bytes).cast::<u8>().add(start + index * 8);
            asm!("{0} = *(u64 *)({1} + 0)", out(reg) *word, in(reg) bytes, options(readonly, nostack));
        }
    }
    1
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
    if to >= HELLO_MAX {
        return 0;
    }
    let length = if rest < STEP { rest } else { STEP };
    let (part, at) = (part_of(to), to & (PART - 1));
    // What goes beyond the part stands behind it for a start.
    if enforcer_copy(context, part, at, offset, length) == 0 {
        return 0;
    }
    let inside = PART - at;
    if length > inside
        && part < 3
        && enforcer_copy(
            context,
            part + 1,
            0,
            offset.wrapping_add(inside),
            length.wrapping_sub(inside),
        ) == 0
    {
        return 0;
    }
    if at < STEP && part > 0 {
        let again = STEP - at;
        let again = if length < again { length } else { again };
        return enforcer_copy_behind(context, part - 1, at, offset, again);
    }
    1
}

/// Copies `length` bytes, 1 to a step, from `offset` of the packet to position `at` of a part; 1 when they could be copied.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_copy(
    context: *mut __sk_buff,
    part: u32,
    at: u32,
    offset: u32,
    length: u32,
) -> u32 {
    copy(context, part, within(at), offset, length)
}

/// As [`enforcer_copy`], to position `at`, below a step, of what stands behind a part.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_copy_behind(
    context: *mut __sk_buff,
    part: u32,
    at: u32,
    offset: u32,
    length: u32,
) -> u32 {
    copy(context, part, PART as usize + within_step(at), offset, length)
}

#[inline(always)]
fn copy(context: *mut __sk_buff, part: u32, position: usize, offset: u32, length: u32) -> u32 {
    let kept = Socket::of(context).pieces(part, true);
    if kept.is_null() {
        return 0;
    }
    // SAFETY: at most a step from a position below PART + STEP, within the array; the helper writes so many bytes or fails.
    let status = unsafe {
        let target = (&raw mut (*kept).bytes).cast::<u8>().add(position);
        bpf_skb_load_bytes(context.cast(), offset, target.cast(), one_to_256(length))
    };
    u32::from(status == 0)
}

/// The position of an offset in its part, in a way that the verifier sees where it is used: the compiler may compare before
/// or after it adds.
#[inline(always)]
fn within(offset: u32) -> usize {
    let mut offset = u64::from(offset);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= 0xfff", inout(reg) offset) };
    #[expect(clippy::cast_possible_truncation, reason = "12 bits")]
    {
        offset as usize
    }
}

/// As [`within`], for a position below a step.
#[inline(always)]
fn within_step(at: u32) -> usize {
    let mut at = u64::from(at);
    // SAFETY: touches one register that it owns.
    unsafe { asm!("{0} &= 0xff", inout(reg) at) };
    #[expect(clippy::cast_possible_truncation, reason = "8 bits")]
    {
        at as usize
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

    /// A function of its own reads less than a window takes, and is one way for the verifier.
    #[inline(always)]
    fn read_through<const N: usize>(&self, offset: u32, _window: &mut Window) -> Option<[u8; N]> {
        self.read(offset)
    }

    /// The window is that of the flow, which the function finds by itself.
    #[inline(always)]
    fn fetch(&self, offset: u32, _count: u32, _window: &mut Window) -> bool {
        enforcer_fetch(self.context, offset) != 0
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

impl Pieces for KeptPieces {
    #[inline(always)]
    fn append(&mut self, have: u32, offset: u32, length: u32) -> bool {
        if enforcer_append(self.context, have, offset, length) == 0 {
            return false;
        }
        self.length = have + length;
        true
    }
}
