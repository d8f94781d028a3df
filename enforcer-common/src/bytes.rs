//! How a parser reads bytes it does not own: checked, by value, without ever forming a slice.
//!
//! Slice indexing leaves a panic path behind that the kernel's verifier rejects, and packet memory in the kernel is
//! not contiguous. A parser therefore asks for a small array at an offset and handles its absence.

use crate::names::{NAME_WORDS, Name};

/// Bytes that can be read at an offset.
pub trait Bytes {
    /// Their number.
    fn length(&self) -> u32;

    /// The `N` bytes at `offset`, or `None` when one of them is not there.
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// `N` words of 32 bits in network order at `offset`, at most [`NEAR`] into the packet: the headers that every
    /// packet is judged by. An implementation may have a faster way to them than byte by byte.
    #[inline(always)]
    fn words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = [0; N];
        let mut at = offset;
        for word in &mut words {
            *word = u32::from_be_bytes(self.read(at)?);
            at += 4;
        }
        Some(words)
    }

    /// The first `N` words, where they can be read in place. `None` says nothing: they may be there all the same.
    #[inline(always)]
    fn near<const N: usize>(&self) -> Option<[u32; N]> {
        self.words(0)
    }

    /// Copies `length` bytes at `offset`, 1 to 255 of them, to the start of `name`; whether all of them are there. What is
    /// behind them in `name` stays.
    #[inline(always)]
    fn copy_name(&self, offset: u32, length: u32, name: &mut Name) -> bool {
        for at in 0..255 {
            if at >= length {
                break;
            }
            let Some([byte]) = self.read::<1>(offset.wrapping_add(at)) else {
                return false;
            };
            let word = &mut name.words[(at as usize >> 3) & (NAME_WORDS - 1)];
            let shift = (at & 7) * 8;
            *word = *word & !(0xff << shift) | u64::from(byte) << shift;
        }
        true
    }
}

/// The highest offset for [`Bytes::words`]: an IPv4 header of full length.
pub const NEAR: u32 = 60;

/// A slice, for the host.
impl Bytes for [u8] {
    #[inline]
    fn length(&self) -> u32 {
        // Packets and hellos are far shorter; a longer slice counts as far as it can be named.
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(offset as usize..)?.first_chunk::<N>().copied()
    }
}
