//! Granted server names in the layout that the kernel programs read, and back from it.

use enforcer_common::names::{ENTRY_WORDS, NAMES, NameEntry, NameHead, TEXT_WORDS, hash_of};

use super::TableError;
use crate::endpoints::{GrantedName, Scopes};
use crate::names::{DomainPattern, NameRule, ServerName};

/// Bytes of a word of text.
const WORD: usize = 8;

/// One half of the kernel's table of server names, ready to be copied into it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NamesImage {
    pub(crate) head: NameHead,
    /// The entries, ascending by their hashes, of which no two are the same; and behind them their text.
    pub(crate) words: Vec<u64>,
}

impl NamesImage {
    /// Lays out `names`; one that stands there twice is granted in the scopes of both.
    ///
    /// # Errors
    /// [`TableError`] when they do not fit; there is no part of a table.
    pub(super) fn build(names: &[GrantedName]) -> Result<Self, TableError> {
        let mut names: Vec<(String, Scopes)> = names
            .iter()
            .map(|granted| (entry_text(&granted.name), granted.scopes))
            .collect();
        names.sort();
        names.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 = kept.1.union(next.1);
            }
            is_same
        });
        let count = u32::try_from(names.len())
            .ok()
            .filter(|count| *count <= NAMES)
            .ok_or(TableError::TooManyNames {
                needed: names.len(),
                capacity: NAMES,
            })?;
        let words: usize = names.iter().map(|(text, _)| text.len().div_ceil(WORD)).sum();
        if words > TEXT_WORDS as usize {
            return Err(TableError::TooMuchText {
                needed: words * WORD,
                capacity: TEXT_WORDS as usize * WORD,
            });
        }
        let seed = seed_without_collisions(&names, hash_of).ok_or(TableError::NamesCollide)?;
        let mut entries = Vec::with_capacity(names.len());
        let mut text = Vec::with_capacity(words);
        let before = names.len() * ENTRY_WORDS as usize;
        for (name, scopes) in &names {
            entries.push(NameEntry {
                hash: hash_of(seed, name.as_bytes()),
                scopes: scopes.bits(),
                first: position(before + text.len()),
                length: position(name.len()),
            });
            text.extend(name.as_bytes().chunks(WORD).map(|part| {
                let mut padded = [0; WORD];
                padded[..part.len()].copy_from_slice(part);
                u64::from_le_bytes(padded)
            }));
        }
        entries.sort_unstable_by_key(|entry: &NameEntry| entry.hash);
        let mut words = Vec::with_capacity(before + text.len());
        words.extend(entries.into_iter().flat_map(NameEntry::to_words));
        words.append(&mut text);
        Ok(Self {
            head: NameHead { seed, count },
            words,
        })
    }

    /// One of the entries.
    pub(super) fn entry(&self, at: u32) -> Option<NameEntry> {
        entry_at(&self.words, at as usize)
    }

    /// As [`decode_names`].
    pub(super) fn decode(&self) -> Vec<GrantedName> {
        decode_names(&self.head.to_words(), &self.words)
    }
}

/// What one half of a table of names grants, ascending. What is no name is left out: a table that was read from a
/// running kernel may be of any content.
#[must_use]
pub fn decode_names(head: &[u64], words: &[u64]) -> Vec<GrantedName> {
    let head = head.first_chunk().copied().map(NameHead::from_words);
    let count = head.unwrap_or_default().count.min(NAMES) as usize;
    let mut names: Vec<GrantedName> = (0..count)
        .map_while(|at| entry_at(words, at))
        .filter_map(|entry| {
            Some(GrantedName {
                name: name_of(&bytes_of(&entry, words)?)?,
                scopes: Scopes::from_bits(entry.scopes),
            })
        })
        .collect();
    names.sort_unstable();
    names
}

fn entry_at(words: &[u64], at: usize) -> Option<NameEntry> {
    let words = words.get(at * ENTRY_WORDS as usize..)?;
    words.first_chunk().copied().map(NameEntry::from_words)
}

fn bytes_of(entry: &NameEntry, words: &[u64]) -> Option<Vec<u8>> {
    let (first, length) = (entry.first as usize, entry.length as usize);
    let words = words.get(first..first.checked_add(length.div_ceil(WORD))?)?;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(length);
    Some(bytes)
}

/// What the table holds for a name: itself, or what names under the pattern end with, dot included.
fn entry_text(name: &NameRule) -> String {
    match name {
        NameRule::Name(name) => name.to_string(),
        NameRule::Pattern(pattern) => format!(".{}", pattern.suffix()),
    }
}

/// The reverse of [`entry_text`].
fn name_of(bytes: &[u8]) -> Option<NameRule> {
    let text = std::str::from_utf8(bytes).ok()?;
    let read = |text: &str| {
        let name = ServerName::parse(text).ok()?;
        (name.as_str() == text).then_some(name)
    };
    match text.strip_prefix('.') {
        Some(suffix) => read(suffix).map(|suffix| NameRule::Pattern(DomainPattern::below(suffix))),
        None => read(text).map(NameRule::Name),
    }
}

/// A seed under which no two of these texts, all different, have the same hash. The first one does unless somebody has
/// looked for names that collide: then another one will.
fn seed_without_collisions(names: &[(String, Scopes)], hash_of: impl Fn(u64, &[u8]) -> u64) -> Option<u64> {
    // Any start (it is the offset basis of FNV-1a), and steps of the golden ratio from there.
    const FIRST: u64 = 0xcbf2_9ce4_8422_2325;
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    const TRIES: u64 = 64;
    (0..TRIES)
        .map(|step| FIRST.wrapping_add(STEP.wrapping_mul(step)))
        .find(|seed| {
            let mut hashes: Vec<u64> = names
                .iter()
                .map(|(name, _)| hash_of(*seed, name.as_bytes()))
                .collect();
            hashes.sort_unstable();
            hashes.windows(2).all(|pair| pair[0] != pair[1])
        })
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("texts and their positions were checked against the table's size")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::endpoints::Scope;

    fn granted(text: &str, scopes: u64) -> GrantedName {
        let name = if text.starts_with('*') {
            NameRule::Pattern(DomainPattern::parse(text).unwrap())
        } else {
            NameRule::Name(ServerName::parse(text).unwrap())
        };
        GrantedName {
            name,
            scopes: Scopes::from_bits(scopes),
        }
    }

    #[test]
    fn names_survive_the_kernels_layout() {
        let names = [
            granted("a.example.com", 1),
            granted("eight.aa", 2),
            granted("*.example.com", 4),
            granted("example.com", 1 << 63),
        ];
        let image = NamesImage::build(&names).unwrap();
        let mut expected = names.to_vec();
        expected.sort();
        assert_eq!(image.decode(), expected);
        assert!((0..4).map(|at| image.entry(at).unwrap().hash).is_sorted());
        assert_eq!(image.head.count, 4);
        let text: Vec<u8> = image.words[12..]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        assert!(text.windows(13).any(|part| part == b".example.com\0"));
    }

    #[test]
    fn a_name_of_several_scopes_is_one_entry() {
        let names = [granted("a.example.com", 1), granted("a.example.com", 6)];
        let image = NamesImage::build(&names).unwrap();
        assert_eq!(image.decode(), [granted("a.example.com", 7)]);
        assert_eq!(Scopes::from_bits(7).iter().last().map(Scope::number), Some(2));
    }

    #[test]
    fn what_is_read_from_a_kernel_may_be_anything() {
        let mut image = NamesImage::build(&[granted("a.example.com", 1), granted("*.b.example", 1)]).unwrap();
        image.head.count = u32::MAX;
        assert_eq!(image.decode().len(), 2);
        let put = |image: &mut NamesImage, at: u32, first, length| {
            let entry = NameEntry {
                first,
                length,
                ..image.entry(at).unwrap()
            };
            let at = (at * ENTRY_WORDS) as usize;
            image.words[at..at + ENTRY_WORDS as usize].copy_from_slice(&entry.to_words());
        };
        put(&mut image, 0, u32::MAX, 13);
        put(&mut image, 1, 6, u32::MAX);
        assert_eq!(image.decode(), []);
        put(&mut image, 0, 6, 5);
        image.words[6] = u64::from_le_bytes(*b"A.b.c\xff\0\0");
        assert_eq!(image.decode(), [], "not as names are kept");
    }

    #[test]
    fn a_seed_under_which_names_collide_is_passed_over() {
        let names =
            ["a.example.com", "b.example.com", "c.example.com"].map(|name| (name.to_owned(), Scopes::POLICY));
        let mut bad = Vec::new();
        for _ in 0..3 {
            let collides = |seed, text: &[u8]| {
                if bad.contains(&seed) {
                    7
                } else {
                    hash_of(seed, text)
                }
            };
            let seed = seed_without_collisions(&names, collides).unwrap();
            assert!(!bad.contains(&seed));
            bad.push(seed);
        }
        assert_eq!(seed_without_collisions(&names, |_, _| 7), None, "not for ever");
    }

    #[test]
    fn too_many_names_and_too_much_text_are_refused_whole() {
        let many: Vec<GrantedName> = (0..=NAMES)
            .map(|at| granted(&format!("n{at}.example"), 1))
            .collect();
        assert_eq!(
            NamesImage::build(&many).unwrap_err(),
            TableError::TooManyNames {
                needed: many.len(),
                capacity: NAMES
            }
        );
        assert!(NamesImage::build(&many[1..]).is_ok());
        let long = format!("{0}.{0}.{0}.example", "a".repeat(63));
        let many: Vec<GrantedName> = (0..4096).map(|at| granted(&format!("n{at}.{long}"), 1)).collect();
        assert!(matches!(
            NamesImage::build(&many).unwrap_err(),
            TableError::TooMuchText {
                capacity: 524_288,
                ..
            }
        ));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(names in prop::collection::vec(("(\\*\\.)?([a-c]{1,3}\\.){1,3}[a-c]{1,2}", 1_u64..8), 0..40)) {
            let names: Vec<GrantedName> = names.iter().map(|(text, scopes)| granted(text, *scopes)).collect();
            let mut expected: BTreeMap<NameRule, u64> = BTreeMap::new();
            for granted in &names {
                *expected.entry(granted.name.clone()).or_default() |= granted.scopes.bits();
            }
            let found = NamesImage::build(&names).unwrap().decode();
            let found: BTreeMap<NameRule, u64> =
                found.into_iter().map(|granted| (granted.name, granted.scopes.bits())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
