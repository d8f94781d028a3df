//! How the name table lies in memory, which daemon and programs share: positions, and what stands at them.

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
    /// [`hash_of`](super::hash_of) its text.
    pub hash: u64,
    /// The scopes in which it is granted, a bit each.
    pub scopes: u64,
    /// Position of its first word of text, counted from the first entry on.
    pub first: u32,
    /// Bytes of its text, 1 to [`NAME_MAX`](super::NAME_MAX) and the dot of a pattern.
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
