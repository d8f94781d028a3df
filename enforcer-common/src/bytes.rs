//! How a parser reads bytes it does not own: checked, by value, without ever forming a slice.
//!
//! Slice indexing leaves a panic path behind that the kernel's verifier rejects, and packet memory in the kernel is
//! not contiguous. A parser therefore asks for a small array at an offset and handles its absence.

use crate::packet::{self, PacketError};

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

    /// The first `N` words, where they can be read in place, as they lie in memory: of what is only compared it costs less to
    /// have the other side turned round. `None` says nothing: they may be there all the same.
    #[inline(always)]
    fn near_as_sent<const N: usize>(&self) -> Option<[u32; N]> {
        Some(self.words(0)?.map(u32::to_be))
    }

    /// As [`Self::near_as_sent`], turned to what they mean.
    #[inline(always)]
    fn near<const N: usize>(&self) -> Option<[u32; N]> {
        Some(self.near_as_sent()?.map(u32::from_be))
    }

    /// Fetches `count` bytes at `offset`, 1 to [`WINDOW`] of which each is there, to the start of a window; whether that
    /// could be done. What is behind them in the window is anything.
    #[inline(always)]
    fn fetch(&self, offset: u32, count: u32, window: &mut Window) -> bool {
        for at in 0..WINDOW {
            if at >= count {
                break;
            }
            let Some([byte]) = self.read::<1>(offset.wrapping_add(at)) else {
                return false;
            };
            let word = &mut window.words[(at as usize >> 3) & (WINDOW_WORDS - 1)];
            let shift = (at & 7) * 8;
            *word = *word & !(0xff << shift) | u64::from(byte) << shift;
        }
        true
    }

    /// [`packet::check_options`]. An implementation may have the kernel's verifier walk through it once by itself, and not
    /// once for every verdict that it comes after.
    ///
    /// # Errors
    /// As for that.
    #[inline(always)]
    fn check_options(&self, length: u32) -> Result<(), PacketError> {
        packet::check_options(self, length)
    }

    /// As [`Self::read`], through a window where that is the faster way.
    #[inline(always)]
    fn read_through<const N: usize>(&self, offset: u32, window: &mut Window) -> Option<[u8; N]> {
        read_through(self, offset, window)
    }

    /// The eight bytes of a window that start at a position below [`WINDOW`], the first one from the right; what lies behind
    /// the window is anything.
    #[inline(always)]
    fn eight(window: &Window, position: u32) -> u64 {
        let index = (position >> 3) as usize;
        let shift = (position & 7) * 8;
        let low = window.words[index & (WINDOW_WORDS - 1)];
        let high = window.words[(index + 1) & (WINDOW_WORDS - 1)];
        // Two steps: a shift by 64 would be none.
        (low >> shift) | ((high << 1) << (63 - shift))
    }

    /// The same number, in a way that the kernel's verifier knows nothing of it any more: what it knows it follows apart,
    /// and ways that differ in nothing else it would walk one after the other.
    #[inline(always)]
    fn forgotten(_window: &mut Window, number: u32) -> u32 {
        number
    }
}

/// Bytes of a [`Window`]: as many as the longest name has.
pub const WINDOW: u32 = 256;
const WINDOW_WORDS: usize = WINDOW as usize / 8;

/// Some bytes in a row, fetched at once: to ask for each by itself costs as much as to fetch them all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Window {
    /// The bytes, little-endian.
    pub words: [u64; WINDOW_WORDS],
    /// Offset of the first one.
    at: u32,
    /// Their number.
    length: u32,
    /// Where the programs of the kernel put a number to forget it: [`Bytes::forgotten`].
    pub aside: u32,
    /// Always zero.
    pub padding: u32,
}

impl Window {
    /// Forgets what was fetched, since it is not what is read next.
    #[inline(always)]
    pub const fn close(&mut self) {
        self.length = 0;
    }
}

/// [`Bytes::read_through`] a window.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 8, and one byte is meant")]
fn read_through<B: Bytes + ?Sized, const N: usize>(
    bytes: &B,
    offset: u32,
    window: &mut Window,
) -> Option<[u8; N]> {
    const { assert!(N <= 8, "more than a word") };
    let mut reader = Reader::new(bytes, window);
    let position = reader.hold(offset, N as u32)?;
    let position = reader.forgotten(position);
    let word = reader.eight(position);
    Some(core::array::from_fn(|at| (word >> (at * 8)) as u8))
}

/// Reads bytes through a window, which moves to where it is looked.
pub struct Reader<'a, B: ?Sized> {
    bytes: &'a B,
    window: &'a mut Window,
}

impl<'a, B: Bytes + ?Sized> Reader<'a, B> {
    /// A window that is closed, or open on these very bytes.
    #[inline(always)]
    pub const fn new(bytes: &'a B, window: &'a mut Window) -> Self {
        Self { bytes, window }
    }

    /// The number of bytes.
    #[inline(always)]
    #[must_use]
    pub fn length(&self) -> u32 {
        self.bytes.length()
    }

    /// [`Bytes::forgotten`].
    #[inline(always)]
    #[must_use]
    pub fn forgotten(&mut self, number: u32) -> u32 {
        B::forgotten(self.window, number)
    }

    /// The `N` bytes at `offset`, at most 8, or `None` when one of them is not there.
    #[inline(always)]
    pub fn read<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        self.bytes.read_through(offset, self.window)
    }

    /// Bytes in the window.
    #[inline(always)]
    pub(crate) const fn held(&self) -> u32 {
        self.window.length
    }

    /// The eight bytes at a position of the window.
    #[inline(always)]
    pub(crate) fn eight(&self, position: u32) -> u64 {
        B::eight(self.window, position)
    }

    /// Moves the window so that `count` bytes at `offset`, 1 to [`WINDOW`], are in it: their position. `None` when one of
    /// them is not there.
    #[inline(always)]
    pub(crate) fn hold(&mut self, offset: u32, count: u32) -> Option<u32> {
        let position = offset.wrapping_sub(self.window.at);
        if position < WINDOW && position + count <= self.window.length {
            return Some(position);
        }
        let length = self.bytes.length();
        if offset >= length || length - offset < count {
            return None;
        }
        let left = length - offset;
        let left = if left < WINDOW { left } else { WINDOW };
        if !self.bytes.fetch(offset, left, self.window) {
            self.window.close();
            return None;
        }
        self.window.at = offset;
        self.window.length = left;
        Some(0)
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
