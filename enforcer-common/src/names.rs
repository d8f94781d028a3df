//! Server name to scopes: which names are granted, and where.
//!
//! A **scope** is a list of names; the policy has at most [`SCOPES_MAX`] of them. Scope 0 holds the names of the policy
//! as a whole, the others belong to prefixes with names of their own. An address of the table carries a condition: the
//! scopes of all rules that grant it, as a bitmap. A name passes there when it is granted in one of them.
//!
//! A granted name is an entry under its own text, `contoso.azurecr.io`; a pattern `*.data.mcr.microsoft.com` is one under
//! what it ends with, `.data.mcr.microsoft.com`, dot included, so that it can only match on the boundary of a label. The
//! entries are sorted by a hash that takes eight bytes at a time. An equal hash is only a hint, the text decides.

mod layout;
mod name;

use crate::packet::Address;
use crate::table::{Answer, Found, Half, Seen, Tables, below, look_up_with, step_if};

pub use layout::{
    CONDITIONS, ENTRIES_AT, ENTRY_WORDS, NAMES, NAMES_HALF, NameEntry, NameHead, SCOPES_AT, SCOPES_MAX,
    TEXT_WORDS,
};
use name::ENDS_MAX;
pub use name::{NAME_MAX, NAME_WORDS, Name, PATTERN_LABELS_MAX, hash_of};

/// Words of text that one entry may have.
const TEXT_MAX: u32 = 32;
/// Halvings that find one of [`NAMES`] entries.
const HALVINGS: u32 = 14;

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
