//! Conditions as the words of the table hold them: by their position in one array.

use std::collections::BTreeSet;

use enforcer_common::names::CONDITIONS;
use enforcer_common::table::GrantWord;

use super::error::TableError;
use super::segments::Held;
use crate::config::RuleId;
use crate::endpoints::{Condition, Scopes};

/// The different conditions of a table, ascending behind the first one, which stands for none.
pub(super) struct Conditions(Vec<u64>);

impl Conditions {
    /// Those of all `grants`.
    ///
    /// # Errors
    /// [`TableError::TooManyConditions`].
    pub(super) fn of(grants: impl Iterator<Item = Held>) -> Result<Self, TableError> {
        let different: BTreeSet<u64> = grants
            .filter_map(|held| match held.condition {
                Condition::Unconditional => None,
                Condition::NameIn(scopes) => Some(scopes.bits()),
            })
            .collect();
        let capacity = CONDITIONS as usize - 1;
        if different.len() > capacity {
            return Err(TableError::TooManyConditions {
                needed: different.len(),
                capacity,
            });
        }
        Ok(Self(std::iter::once(0).chain(different).collect()))
    }

    /// In the kernel's layout.
    pub(super) fn into_words(self) -> Vec<u64> {
        self.0
    }

    /// The word for a grant whose condition is one of these.
    pub(super) fn word(&self, held: Held) -> GrantWord {
        let position = match held.condition {
            Condition::Unconditional => Some(0),
            Condition::NameIn(scopes) => self.0[1..]
                .binary_search(&scopes.bits())
                .ok()
                .and_then(|at| u8::try_from(at + 1).ok()),
        };
        position
            .and_then(|position| GrantWord::new(held.rule.0, position))
            .expect("rule numbers were checked, and every condition of the segments is one of these")
    }
}

/// What a word of the table says. A condition that the table lacks is one that no name meets, as in the kernel.
pub(super) fn held(word: GrantWord, conditions: &[u64]) -> Held {
    let condition = match word.condition() {
        0 => Condition::Unconditional,
        at => {
            let bits = conditions.get(at as usize).copied().unwrap_or_default();
            Condition::NameIn(Scopes::from_bits(bits))
        }
    };
    Held {
        rule: RuleId(word.rule()),
        condition,
    }
}
