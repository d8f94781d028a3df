//! Server name to scopes: which names are granted, and where.
//!
//! A **scope** is a list of names; the policy has at most [`SCOPES_MAX`] of them. Scope 0 holds the names of the policy
//! as a whole, the others belong to prefixes with names of their own. An address of the table carries a condition: the
//! scopes of all rules that grant it, as a bitmap. A name passes there when it is granted in one of them.
//!
//! A granted name is an entry under its own text, `contoso.azurecr.io`; a pattern `*.data.mcr.microsoft.com` is one under
//! what it ends with, `.data.mcr.microsoft.com`, dot included, so that it can only match on the boundary of a label. The
//! entries are sorted by a hash that takes eight bytes at a time. An equal hash is only a hint, the text decides.

use crate::bytes::{Bytes, Reader};
use crate::client_hello::{Span, Types};
use crate::packet::Address;
use crate::reason::Reason;
use crate::table::{Answer, Found, Half, Seen, Tables, below, look_up_with, step_if};

/// Most bytes of a server name in text form (RFC 1035 section 2.3.4, without the trailing dot).
pub const NAME_MAX: u32 = 253;
/// Words of 8 bytes that hold a name, with room for the 255 bytes that are read of a name that is too long.
pub const NAME_WORDS: usize = 32;
/// Words of text that one entry may have.
const TEXT_MAX: u32 = 32;
/// Most labels of a pattern behind its `*`. Names may have more: only their last ones are compared with patterns.
pub const PATTERN_LABELS_MAX: u32 = 15;
/// Lists of names that a policy may have: one bit of a word for each.
pub const SCOPES_MAX: u32 = 64;
/// Different conditions that the addresses of a policy may have; 0 is none.
pub const CONDITIONS: u32 = 256;

/// Entries that one half of the name table holds.
pub const NAMES: u32 = 1 << 14;
/// Words of text that one half of the name table holds.
pub const TEXT_WORDS: u32 = 1 << 16;
/// What one half of the name table is, in words of 8 bytes and in this order: seed and number of entries (a [`NameHead`]), the
/// scopes of the conditions, the entries, and behind the last of them their text. All of it together, since a check of a name
/// runs when hardly any memory that it needs is near: what a policy of few names has fits into one page. A power of two, and
/// so the programs need no comparison to stay inside.
pub const NAMES_HALF: u32 = 1 << 17;
/// Position of the scopes of condition 0 in a half.
pub const SCOPES_AT: u32 = 2;
/// Position of the first entry in a half.
pub const ENTRIES_AT: u32 = SCOPES_AT + CONDITIONS;
/// Words of an entry.
pub const ENTRY_WORDS: u32 = 3;

const _: () = assert!(ENTRIES_AT + NAMES * ENTRY_WORDS + TEXT_WORDS <= NAMES_HALF);

/// Halvings that find one of [`NAMES`] entries.
const HALVINGS: u32 = 14;
/// Ends of a name that are looked up: one for each label of a pattern, and the whole.
const ENDS_MAX: usize = PATTERN_LABELS_MAX as usize + 1;

/// What one half of the name table starts with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NameHead {
    /// What hashes start with: chosen so that no two entries have the same.
    pub seed: u64,
    /// Number of entries.
    pub count: u32,
}

impl NameHead {
    /// As it lies in the table.
    #[must_use]
    pub const fn to_words(self) -> [u64; SCOPES_AT as usize] {
        [self.seed, self.count as u64]
    }

    /// From what lies in the table.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the number")]
    pub const fn from_words([seed, count]: [u64; SCOPES_AT as usize]) -> Self {
        Self {
            seed,
            count: count as u32,
        }
    }
}

/// One granted name or pattern.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NameEntry {
    /// [`hash_of`] its text.
    pub hash: u64,
    /// The scopes in which it is granted, a bit each.
    pub scopes: u64,
    /// Position of its first word of text, counted from the first entry on.
    pub first: u32,
    /// Bytes of its text, 1 to [`NAME_MAX`] and the dot of a pattern.
    pub length: u32,
}

impl NameEntry {
    /// As it lies in the table.
    #[must_use]
    pub const fn to_words(self) -> [u64; ENTRY_WORDS as usize] {
        [
            self.hash,
            self.scopes,
            self.first as u64 | (self.length as u64) << 32,
        ]
    }

    /// From what lies in the table.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
    pub const fn from_words([hash, scopes, text]: [u64; ENTRY_WORDS as usize]) -> Self {
        Self {
            hash,
            scopes,
            first: text as u32,
            length: (text >> 32) as u32,
        }
    }
}

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
    ends: u32,
    /// Whether the words may be other than zero.
    used: u32,
    padding: u32,
    /// The hashes of the ends.
    hashes: [u64; ENDS_MAX],
    /// Where they start.
    starts: [u32; ENDS_MAX],
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
    const fn word(&self, at: u32) -> u64 {
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
    fn hash_whole(&self, seed: u64) -> u64 {
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

/// Access to the name table, beside that to the addresses.
pub trait NameTables: Tables {
    /// The scopes of a condition, 1 to 255.
    fn condition(&self, half: Half, at: u32) -> Option<u64>;
    /// The head of the name table.
    fn name_head(&self, half: Half) -> Option<NameHead>;
    /// One of its entries.
    fn name_entry(&self, half: Half, at: u32) -> Option<NameEntry>;
    /// The hash of one of its entries.
    #[inline(always)]
    fn name_hash(&self, half: Half, at: u32) -> Option<u64> {
        self.name_entry(half, at).map(|entry| entry.hash)
    }
    /// One word of its text, by its position counted from the first entry on.
    fn text(&self, half: Half, at: u32) -> Option<u64>;

    /// Finds where an entry with this hash would be, among the first `count`, at least 1. An implementation may do it
    /// elsewhere, by calling [`search`].
    #[inline(always)]
    fn search(&self, half: Half, count: u32, hash: u64, seen: &mut Seen) -> Option<u32> {
        search(self, half, count, hash, seen)
    }
}

/// Finds the last of `count` entries whose hash is not above `hash`, or the first one.
#[inline(always)]
pub fn search<T: NameTables + ?Sized>(
    tables: &T,
    half: Half,
    mut count: u32,
    hash: u64,
    seen: &mut Seen,
) -> Option<u32> {
    let mut base = 0_u32;
    for _ in 0..HALVINGS {
        if count <= 1 {
            break;
        }
        let step = count >> 1;
        let middle = tables.name_hash(half, base.wrapping_add(step))?;
        seen.note(middle);
        base = base.wrapping_add(step_if(1 ^ below(hash, middle), step));
        count -= step;
    }
    Some(base)
}

/// What was found for an address and a server name, and in which policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NamedAnswer {
    /// What was found for the address.
    pub address: Answer,
    /// Whether the name is granted at this address. An address without a condition is granted under any name, or none.
    pub is_name_granted: bool,
}

/// A server name that is to be looked up.
pub trait Asked {
    /// The scopes in which it is granted, itself or under a pattern; `None` when the table contradicts itself. Every value
    /// that is taken from a table is noted.
    fn find<T: NameTables>(&mut self, tables: &T, half: Half, seen: &mut Seen) -> Option<u64>;
}

impl Asked for Name {
    #[inline(always)]
    fn find<T: NameTables>(&mut self, tables: &T, half: Half, seen: &mut Seen) -> Option<u64> {
        let head = tables.name_head(half)?;
        seen.note(head.seed | u64::from(head.count));
        self.hash(head.seed);
        let name: &Self = self;
        find_hashed(tables, half, head.count, name, seen, |text, seen| {
            is_text(tables, half, text, name, seen)
        })
    }
}

/// Looks up an address and the server name that was asked of it, both in the policy that is in force.
#[inline(always)]
pub fn look_up_named<T: NameTables, N: Asked>(tables: &T, address: Address, name: &mut N) -> NamedAnswer {
    let mut is_damaged = false;
    let (mut address, is_name_granted) = look_up_with(tables, address, |half, grant, seen| {
        is_damaged = false;
        if grant.condition() == 0 {
            return true;
        }
        let wanted = tables.condition(half, grant.condition()).unwrap_or_default();
        seen.note(wanted);
        match name.find(tables, half, seen) {
            Some(granted) => granted & wanted != 0,
            None => {
                is_damaged = true;
                false
            }
        }
    });
    if is_damaged && matches!(address.found, Found::Granted) {
        address.found = Found::Damaged;
    }
    NamedAnswer {
        address,
        is_name_granted,
    }
}

/// The text of an entry that has the hash and the length of an end of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Text {
    /// Position of its first word.
    pub first: u32,
    /// Its bytes.
    pub length: u32,
    /// Where the end of the name starts.
    pub start: u32,
}

/// The scopes in which a name is granted, whose hashes have been worked out, among the first `entries`. Where a hash and a
/// length are equal, `is_text` says whether the text is, as [`is_text`] does; it may have that done elsewhere.
#[inline(always)]
pub fn find_hashed<T: NameTables>(
    tables: &T,
    half: Half,
    entries: u32,
    name: &Name,
    seen: &mut Seen,
    mut is_text: impl FnMut(Text, &mut Seen) -> Option<bool>,
) -> Option<u64> {
    let mut scopes = 0;
    if entries == 0 || name.length == 0 {
        return Some(scopes);
    }
    for end in 0..=PATTERN_LABELS_MAX {
        if end >= name.ends {
            break;
        }
        let slot = end as usize & (ENDS_MAX - 1);
        let (hash, start) = (name.hashes[slot], name.starts[slot]);
        let at = tables.search(half, entries, hash, seen)?;
        let entry = tables.name_entry(half, at)?;
        let length = name.length.wrapping_sub(start);
        let text = Text {
            first: entry.first,
            length,
            start,
        };
        // Without a jump to the next turn: before Linux 6.3 the verifier refuses a loop whose turns end by falling through.
        let is_alike = (entry.hash ^ hash) | u64::from(entry.length ^ length) == 0;
        let is_granted = is_alike && is_text(text, seen)?;
        scopes |= u64::from(is_granted).wrapping_neg() & entry.scopes;
        seen.note(scopes);
    }
    Some(scopes)
}

/// Whether all of a name is granted in one of the scopes of `condition`, in a half of the table. `false` says nothing: it may be
/// granted under a pattern, or the table contradicts itself.
///
/// Of the name only its length is known: one that is equal to a granted one is in order as that is. What is granted may be
/// digits alone, though, which some take for an address, and a pattern stands in the table with its dot in front.
#[inline(always)]
pub fn is_whole_granted<T: NameTables + ?Sized>(
    tables: &T,
    half: Half,
    condition: u32,
    name: &Name,
    seen: &mut Seen,
) -> bool {
    if !name.byte(name.length.wrapping_sub(1)).is_ascii_lowercase() || name.byte(0) == b'.' {
        return false;
    }
    let Some(wanted) = tables.condition(half, condition) else {
        return false;
    };
    let Some(head) = tables.name_head(half) else {
        return false;
    };
    seen.note(wanted | head.seed | u64::from(head.count));
    let hash = name.hash_whole(head.seed);
    let Some(at) = tables.search(half, head.count, hash, seen) else {
        return false;
    };
    let Some(entry) = tables.name_entry(half, at) else {
        return false;
    };
    seen.note(entry.hash | entry.scopes | u64::from(entry.first | entry.length));
    if head.count == 0
        || (entry.hash ^ hash) | u64::from(entry.length ^ name.length) != 0
        || entry.scopes & wanted == 0
    {
        return false;
    }
    let mut difference = 0;
    for (index, word) in name.words.iter().enumerate() {
        #[expect(clippy::cast_possible_truncation, reason = "below 32")]
        let index = index as u32;
        if index * 8 >= name.length {
            break;
        }
        let Some(text) = tables.text(half, entry.first.wrapping_add(index)) else {
            return false;
        };
        seen.note(text);
        difference |= text ^ word;
    }
    difference == 0
}

/// Whether an end of `name` is this text.
#[inline(always)]
pub fn is_text<T: NameTables + ?Sized>(
    tables: &T,
    half: Half,
    text: Text,
    name: &Name,
    seen: &mut Seen,
) -> Option<bool> {
    let mut difference = 0;
    for index in 0..TEXT_MAX {
        if index * 8 >= text.length {
            break;
        }
        let word = tables.text(half, text.first.wrapping_add(index))?;
        seen.note(word);
        difference |= word ^ name.word(text.start.wrapping_add(index * 8));
    }
    Some(difference == 0)
}
