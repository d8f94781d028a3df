//! A server name as it was read, eight bytes at a time: copied, looked at for what no rule can grant, hashed.
//!
//! Without branches wherever the bytes of a name decide, since the verifier would walk through each of them apart.

use super::TEXT_MAX;
use crate::bytes::{Bytes, Reader};
use crate::client_hello::{Span, Types};
use crate::reason::Reason;
use crate::table::below;

/// Most bytes of a server name in text form (RFC 1035 section 2.3.4, without the trailing dot).
pub const NAME_MAX: u32 = 253;
/// Words of 8 bytes that hold a name, with room for the 255 bytes that are read of a name that is too long.
pub const NAME_WORDS: usize = 32;
/// Most labels of a pattern behind its `*`. Names may have more: only their last ones are compared with patterns.
pub const PATTERN_LABELS_MAX: u32 = 15;
/// Ends of a name that are looked up: one for each label of a pattern, and the whole.
pub(super) const ENDS_MAX: usize = PATTERN_LABELS_MAX as usize + 1;

/// A one in every byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The top bit of every byte of a word.
const TOP_BITS: u64 = EACH * 0x80;

/// For each byte of `word` the top bit: set when the byte's lower seven bits are at least `least`, which is 1 to 127
/// (Hacker's Delight, section 2-18).
#[inline(always)]
const fn at_least(word: u64, least: u8) -> u64 {
    (word & !TOP_BITS) + EACH * (0x80 - least as u64)
}

/// The bits of the word at `index` that belong to a name of `length` bytes.
#[inline(always)]
const fn kept_of(length: u32, index: usize) -> u64 {
    let start = index as u64 * 8;
    let left = (length as u64).wrapping_sub(start);
    let some = below(start, length as u64).wrapping_neg();
    let all = (1 ^ below(left, 8)).wrapping_neg();
    // The shift counts for fewer than 8 bytes only.
    some & (all | ((1 << ((left & 7) * 8)) - 1))
}

/// Letters in lower case, eight at a time (RFC 4343: names compare so).
#[inline(always)]
const fn folded(word: u64) -> u64 {
    let upper = at_least(word, b'A') & !at_least(word, b'Z' + 1) & !word & TOP_BITS;
    word | upper >> 2
}

/// Eight more bytes. The product carries what differs upwards, and the shift brings it down again: texts that differ at the
/// same place of two words do not come to the same (Knuth, volume 3, section 6.4).
#[inline(always)]
const fn hashed(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

/// The hash of an entry's text: of its words, zero behind its end.
#[must_use]
pub fn hash_of(seed: u64, text: &[u8]) -> u64 {
    text.chunks(8).fold(seed, |hash, part| {
        let mut word = [0; 8];
        word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        hashed(hash, u64::from_le_bytes(word))
    })
}

/// A server name as it was read: in lower case, little-endian, zero behind its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Name {
    /// Its bytes.
    pub words: [u64; NAME_WORDS],
    /// Their number, 0 when no name is known; at most 255.
    pub length: u32,
    /// Ends of this name that are looked up.
    pub(super) ends: u32,
    /// Whether the words may be other than zero.
    used: u32,
    padding: u32,
    /// The hashes of the ends.
    pub(super) hashes: [u64; ENDS_MAX],
    /// Where they start.
    pub(super) starts: [u32; ENDS_MAX],
}

impl Default for Name {
    fn default() -> Self {
        Self {
            words: [0; NAME_WORDS],
            length: 0,
            ends: 0,
            used: 0,
            padding: 0,
            hashes: [0; ENDS_MAX],
            starts: [0; ENDS_MAX],
        }
    }
}

impl Name {
    /// The byte at `at`, below 256.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "one byte is meant")]
    pub(crate) const fn byte(&self, at: u32) -> u8 {
        (self.words[(at as usize >> 3) & (NAME_WORDS - 1)] >> ((at & 7) * 8)) as u8
    }

    /// The eight bytes that start at `at`; zeros behind the last word.
    #[inline(always)]
    pub(super) const fn word(&self, at: u32) -> u64 {
        let index = (at >> 3) as usize;
        let shift = (at & 7) * 8;
        let low = self.words[index & (NAME_WORDS - 1)];
        let high = self.words[(index + 1) & (NAME_WORDS - 1)];
        // All ones unless the next word is the first one again.
        let inside = ((((index + 1) >> 5) & 1) as u64).wrapping_sub(1);
        // Two steps: a shift by 64 would be none.
        (low >> shift) | (((high & inside) << 1) << (63 - shift))
    }

    /// A name from the host's side, folded; `None` when it is longer than [`NAME_MAX`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let length = u32::try_from(bytes.len())
            .ok()
            .filter(|length| *length <= NAME_MAX)?;
        let mut name = Self {
            length,
            ..Self::default()
        };
        for (word, part) in name.words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            *word = folded(u64::from_le_bytes(padded));
        }
        name.used = 1;
        Some(name)
    }

    /// Its bytes, on the host, where there is room for a copy of them all.
    #[must_use]
    pub fn to_array(&self) -> [u8; NAME_WORDS * 8] {
        let mut bytes = [0; NAME_WORDS * 8];
        for (part, word) in bytes.chunks_exact_mut(8).zip(&self.words) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Memory that is free until the name is looked up: what a parser notes extensions in.
    #[inline(always)]
    pub(crate) const fn scratch(&mut self) -> &mut Types {
        &mut self.hashes
    }

    /// Takes the name that lies in these bytes, in lower case; with a reason when it is none that any rule can grant.
    #[inline(always)]
    pub(crate) fn take<B: Bytes + ?Sized>(
        &mut self,
        bytes: &mut Reader<'_, B>,
        span: Span,
    ) -> Option<Reason> {
        // Of one that is too long an event tells the start.
        let length = if span.length < 255 { span.length } else { 255 };
        let held = if length == 0 {
            None
        } else {
            bytes.hold(span.at, length)
        };
        let Some(position) = held else {
            self.length = 0;
            return Some(Reason::HelloLengths);
        };
        self.copy(bytes, position, length);
        // The verifier knows the length by where the loop ended, and would walk through what follows once for each.
        if span.length > NAME_MAX {
            return Some(Reason::NameTooLong);
        }
        self.fault(bytes.forgotten(length))
    }

    /// Copies a name of `length` bytes, 1 to 255, from a position of the window, in lower case.
    #[inline(always)]
    pub(crate) fn copy<B: Bytes + ?Sized>(&mut self, bytes: &mut Reader<'_, B>, position: u32, length: u32) {
        self.length = length;
        if self.used != 0 {
            // Nothing of a longer name is to stand behind this one. All of it, since that is one way for the verifier.
            self.words = [0; NAME_WORDS];
        }
        self.used = 1;
        let position = bytes.forgotten(position);
        for (index, word) in self.words.iter_mut().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "below 32")]
            let start = index as u32 * 8;
            if start >= length {
                break;
            }
            *word = folded(bytes.eight(position.wrapping_add(start))) & kept_of(length, index);
        }
    }

    /// Why no rule can grant this name, whatever the policy; `length` is its own.
    #[inline(always)]
    pub(crate) fn fault(&self, length: u32) -> Option<Reason> {
        if length == 0 || length > NAME_MAX {
            return Some(Reason::NameTooLong);
        }
        const DIGITS: u64 = EACH * b'0' as u64;
        let (mut nul, mut colon, mut beyond, mut odd) = (0, 0, 0, 0);
        // A name that starts with a dot has an empty label in front of it.
        let mut dots_before = TOP_BITS;
        for (index, word) in self.words.iter().enumerate() {
            // Behind the end digits stand, which change none of the three.
            #[expect(clippy::cast_possible_truncation, reason = "below 32")]
            let left = length.wrapping_sub(index as u32 * 8);
            if left == 0 || left >> 31 != 0 {
                break;
            }
            let kept = if left >= 8 {
                u64::MAX
            } else {
                (1 << (left * 8)) - 1
            };
            let word = (word & kept) | (DIGITS & !kept);
            nul |= !at_least(word, 1) & !word & TOP_BITS;
            colon |= at_least(word, b':') & !at_least(word, b':' + 1) & !word & TOP_BITS;
            let dots = at_least(word, b'.') & !at_least(word, b'.' + 1) & !word & TOP_BITS;
            odd |= dots & (dots << 8 | dots_before >> 56);
            dots_before = dots;
            // Letters, digits, `-`, `.` and `_`: what else could stand below a pattern means different things to different
            // servers.
            let letter = at_least(word, b'a') & !at_least(word, b'z' + 1);
            let digit = at_least(word, b'0') & !at_least(word, b'9' + 1);
            let mark = at_least(word, b'-') & !at_least(word, b'.' + 1);
            let underscore = at_least(word, b'_') & !at_least(word, b'_' + 1);
            odd |= (!(letter | digit | mark | underscore) | word) & TOP_BITS;
            // Neither a digit nor a dot.
            let slash = at_least(word, b'/') & !at_least(word, b'/' + 1);
            beyond |= (!at_least(word, b'.') | at_least(word, b'9' + 1) | slash | word) & TOP_BITS;
        }
        if nul != 0 {
            Some(Reason::NameWithNul)
        } else if self.byte(length - 1) == b'.' {
            Some(Reason::NameTrailingDot)
        } else if colon != 0 || beyond == 0 {
            Some(Reason::NameIsAddress)
        } else if odd != 0 {
            // No name of a policy has an empty label or such a character, and a pattern stands in the table with its dot in
            // front.
            Some(Reason::NameNotGranted)
        } else {
            None
        }
    }

    /// Works out the hashes under which this name may be found.
    #[inline(always)]
    pub fn hash(&mut self, seed: u64) {
        self.note_ends();
        self.hash_ends(seed);
    }

    /// Notes where the ends start under which this name may be found.
    #[inline(always)]
    pub fn note_ends(&mut self) {
        let mut dots = 0_u32;
        for step in 1..NAME_MAX {
            if step >= self.length {
                break;
            }
            let at = self.length - step;
            // Noted in any case and kept where the byte is a dot: without a branch, for the verifier.
            self.starts[dots as usize & (ENDS_MAX - 1)] = at;
            let is_dot = ((u32::from(self.byte(at) ^ b'.')).wrapping_sub(1)) >> 31;
            let is_room = dots.wrapping_sub(PATTERN_LABELS_MAX) >> 31;
            dots += is_dot & is_room;
        }
        // The last one is the whole name.
        self.starts[dots as usize & (ENDS_MAX - 1)] = 0;
        self.ends = dots + 1;
    }

    /// Works out the hashes of the ends that were noted.
    #[inline(always)]
    pub fn hash_ends(&mut self, seed: u64) {
        for slot in 0..ENDS_MAX {
            #[expect(clippy::cast_possible_truncation, reason = "below 16")]
            if slot as u32 >= self.ends {
                break;
            }
            self.hashes[slot] = self.hash_from(self.starts[slot], seed);
        }
    }

    /// The hash of the end that starts at `start`.
    #[inline(always)]
    fn hash_from(&self, start: u32, seed: u64) -> u64 {
        let mut hash = seed;
        for index in 0..TEXT_MAX {
            let at = start.wrapping_add(index * 8);
            if at >= self.length {
                break;
            }
            hash = hashed(hash, self.word(at));
        }
        hash
    }

    /// The hash of all of it.
    #[inline(always)]
    pub(super) fn hash_whole(&self, seed: u64) -> u64 {
        let mut hash = seed;
        for (index, word) in self.words.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "below 32")]
            if index as u32 * 8 >= self.length {
                break;
            }
            hash = hashed(hash, *word);
        }
        hash
    }
}
