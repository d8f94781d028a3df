//! The names of a snapshot: cheap to copy, cheap to change in one place, cheap to compare with what it was made from.
//!
//! A list is chunks of shared entries. Two lists of which one came out of the other share every chunk in which nothing
//! changed, so that a change of one name costs one chunk and what changed is found by comparing pointers, with 100,000
//! names as with 10.

use std::ops::Index;
use std::sync::Arc;

use super::NameSnapshot;

/// Entries of a chunk: a change copies as many pointers, and a copy as many times fewer.
const CHUNK: usize = 256;

/// The names in the order of their questions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NameList {
    /// All but the last one full.
    chunks: Vec<Arc<Vec<Arc<NameSnapshot>>>>,
}

/// A name of which something became known: what it was and what it is.
pub type Changed<'a> = (&'a Arc<NameSnapshot>, &'a Arc<NameSnapshot>);

impl NameList {
    /// How many names.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first name.
    #[must_use]
    pub fn first(&self) -> Option<&Arc<NameSnapshot>> {
        self.iter().next()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<NameSnapshot>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// What is different from `old`, each name beside what it was, in order; `None` when the lists are not of the same
    /// names in the same order. Costs what is different, where one list was made from the other.
    #[must_use]
    pub fn changes_since<'a>(&'a self, old: &'a Self) -> Option<Vec<Changed<'a>>> {
        if self.len() != old.len() {
            return None;
        }
        let mut changes = Vec::new();
        for (new, old) in self.chunks.iter().zip(&old.chunks) {
            if Arc::ptr_eq(new, old) {
                continue;
            }
            for (new, old) in new.iter().zip(old.iter()) {
                if Arc::ptr_eq(new, old) {
                    continue;
                }
                if new.name != old.name {
                    return None;
                }
                changes.push((old, new));
            }
        }
        Some(changes)
    }

    /// Puts `name` into this place, which there is.
    pub(super) fn set(&mut self, place: usize, name: Arc<NameSnapshot>) {
        Arc::make_mut(&mut self.chunks[place / CHUNK])[place % CHUNK] = name;
    }
}

impl Index<usize> for NameList {
    type Output = Arc<NameSnapshot>;

    fn index(&self, place: usize) -> &Arc<NameSnapshot> {
        &self.chunks[place / CHUNK][place % CHUNK]
    }
}

impl FromIterator<Arc<NameSnapshot>> for NameList {
    fn from_iter<I: IntoIterator<Item = Arc<NameSnapshot>>>(names: I) -> Self {
        let mut chunks: Vec<Vec<_>> = Vec::new();
        for name in names {
            match chunks.last_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.push(name),
                _ => chunks.push(vec![name]),
            }
        }
        Self {
            chunks: chunks.into_iter().map(Arc::new).collect(),
        }
    }
}

impl FromIterator<NameSnapshot> for NameList {
    fn from_iter<I: IntoIterator<Item = NameSnapshot>>(names: I) -> Self {
        names.into_iter().map(Arc::new).collect()
    }
}

impl From<Vec<NameSnapshot>> for NameList {
    fn from(names: Vec<NameSnapshot>) -> Self {
        names.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ServerName;
    use crate::resolve::{FamilyState, LastGood};

    fn entry(place: usize) -> NameSnapshot {
        NameSnapshot {
            name: ServerName::parse(&format!("n{place}.test")).unwrap(),
            chain: Vec::new(),
            addresses: [].into(),
            refused: Vec::new(),
            v4: FamilyState::Unasked,
            v6: FamilyState::Unasked,
            good_v4: LastGood::default(),
            good_v6: LastGood::default(),
        }
    }

    fn changed(new: &NameList, old: &NameList) -> Option<Vec<String>> {
        let changes = new.changes_since(old)?;
        Some(changes.iter().map(|(_, new)| new.name.to_string()).collect())
    }

    #[test]
    fn a_list_is_what_it_was_made_of() {
        for count in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let list: NameList = (0..count).map(entry).collect();
            assert_eq!(list.len(), count);
            assert_eq!(list.is_empty(), count == 0);
            assert_eq!(list.iter().count(), count);
            for place in [0, count / 2, count.saturating_sub(1)] {
                if place < count {
                    assert_eq!(*list[place], entry(place));
                }
            }
        }
    }

    #[test]
    fn what_changed_is_found_and_shares_the_rest() {
        let old: NameList = (0..3 * CHUNK).map(entry).collect();
        let mut new = old.clone();
        assert_eq!(changed(&new, &old).unwrap(), Vec::<String>::new());
        for place in [CHUNK, 5] {
            let mut entry = entry(place);
            entry.v4 = FamilyState::Fresh;
            new.set(place, Arc::new(entry));
        }
        assert_eq!(changed(&new, &old).unwrap(), ["n5.test", "n256.test"]);
        assert_eq!(changed(&old, &new).unwrap(), ["n5.test", "n256.test"]);
        assert!(Arc::ptr_eq(&new.chunks[2], &old.chunks[2]));
        assert_eq!(old[5].v4, FamilyState::Unasked, "what was told stays as it was");
    }

    #[test]
    fn lists_of_other_names_can_not_be_compared() {
        let list: NameList = (0..10).map(entry).collect();
        assert_eq!(changed(&(0..9).map(entry).collect(), &list), None);
        assert_eq!(changed(&(1..11).map(entry).collect(), &list), None);
        assert_eq!(changed(&list, &NameList::default()), None);
    }
}
