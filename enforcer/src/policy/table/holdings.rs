//! What lies behind addresses, each different rule and condition once: by number while the table is made, by word in
//! the kernel's layout.

use std::collections::HashMap;

use enforcer_common::names::CONDITIONS;
use enforcer_common::table::GrantWord;

use super::error::TableError;
use crate::config::RuleId;
use crate::endpoints::{Condition, Scopes};

/// How many are found without a look-up.
const RECENT: usize = 64;

/// What lies behind an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Held {
    /// The rule that speaks for it.
    pub(super) rule: RuleId,
    pub(super) condition: Condition,
}

impl Held {
    /// What holds for an address that both cover. The order in which many are joined does not matter.
    fn joined(self, other: Self) -> Self {
        match (self.condition, other.condition) {
            (Condition::Unconditional, Condition::NameIn(_)) => self,
            (Condition::NameIn(_), Condition::Unconditional) => other,
            _ => Self {
                rule: self.rule.min(other.rule),
                condition: self.condition.or(other.condition),
            },
        }
    }
}

/// The number of a [`Held`]: the same number for the same, below [`HeldId::COUNT_MAX`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct HeldId(u32);

impl HeldId {
    /// They share a word with a prefix.
    pub(super) const BITS: u32 = 24;
    const COUNT_MAX: usize = 1 << Self::BITS;

    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The number in the lowest [`Self::BITS`] of `word`.
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
    pub(super) const fn in_word(word: u64) -> Self {
        Self(word as u32 & ((1 << Self::BITS) - 1))
    }
}

/// All that is held, and the conditions of what came into the table.
#[derive(Debug)]
pub(super) struct Holdings {
    held: Vec<Held>,
    numbers: HashMap<Held, HeldId>,
    /// Some that were asked for lately, by the last bits of their rules: looking them up costs more than all the rest.
    recent: Vec<Option<(Held, HeldId)>>,
    last_joined: Option<(HeldId, HeldId, HeldId)>,
    /// The words of those that came into the table.
    words: Vec<Option<GrantWord>>,
    conditions: Conditions,
}

/// The different conditions of a table behind the first one, which stands for none.
#[derive(Clone, Debug)]
struct Conditions {
    bits: Vec<u64>,
    positions: HashMap<u64, u32>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            bits: vec![0],
            positions: HashMap::new(),
        }
    }
}

/// The conditions as they were before a change that may fail.
#[derive(Debug)]
pub(super) struct Before(Conditions);

impl Holdings {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            numbers: HashMap::new(),
            recent: vec![None; RECENT],
            last_joined: None,
            words: Vec::new(),
            conditions: Conditions::default(),
        }
    }

    /// The number of what `rule` grants under `condition`.
    ///
    /// # Errors
    /// [`TableError::RuleNumber`]; [`TableError::TooManyConditions`] after millions of different ones.
    #[inline]
    pub(super) fn number(&mut self, rule: RuleId, condition: Condition) -> Result<HeldId, TableError> {
        let held = Held { rule, condition };
        let slot = rule.0 as usize % RECENT;
        match self.recent[slot] {
            Some((recent, number)) if recent == held => Ok(number),
            _ => self.new_number(held, slot),
        }
    }

    #[cold]
    fn new_number(&mut self, held: Held, slot: usize) -> Result<HeldId, TableError> {
        let rule = held.rule;
        if rule.0 > GrantWord::RULE_MAX {
            return Err(TableError::RuleNumber { rule: rule.0 });
        }
        let number = self.intern(held)?;
        self.recent[slot] = Some((held, number));
        Ok(number)
    }

    fn intern(&mut self, held: Held) -> Result<HeldId, TableError> {
        if let Some(number) = self.numbers.get(&held) {
            return Ok(*number);
        }
        let number = u32::try_from(self.held.len())
            .ok()
            .filter(|_| self.held.len() < HeldId::COUNT_MAX)
            .map(HeldId)
            .ok_or(TableError::TooManyConditions {
                needed: self.held.len(),
                capacity: HeldId::COUNT_MAX,
            })?;
        self.held.push(held);
        self.words.push(None);
        self.numbers.insert(held, number);
        Ok(number)
    }

    pub(super) fn held(&self, number: HeldId) -> Held {
        self.held[number.0 as usize]
    }

    /// What holds where both do.
    pub(super) fn joined(&mut self, one: HeldId, two: HeldId) -> Result<HeldId, TableError> {
        if one == two {
            return Ok(one);
        }
        match self.last_joined {
            Some((a, b, joined)) if a == one && b == two => return Ok(joined),
            _ => {}
        }
        let joined = self.intern(self.held(one).joined(self.held(two)))?;
        self.last_joined = Some((one, two, joined));
        Ok(joined)
    }

    /// The word in the kernel's layout, of what came into the table.
    #[inline]
    pub(super) fn known_word(&self, number: HeldId) -> Option<GrantWord> {
        self.words[number.0 as usize]
    }

    /// The word in the kernel's layout. Of conditions beyond [`Self::check`] it is not the right one.
    #[inline]
    pub(super) fn word(&mut self, number: HeldId) -> GrantWord {
        match self.words[number.0 as usize] {
            Some(word) => word,
            None => self.new_word(number),
        }
    }

    #[cold]
    fn new_word(&mut self, number: HeldId) -> GrantWord {
        let held = self.held(number);
        let position = match held.condition {
            Condition::Unconditional => 0,
            Condition::NameIn(scopes) => self.conditions.position(scopes),
        };
        let word = GrantWord::new(held.rule.0, u8::try_from(position).unwrap_or(u8::MAX))
            .expect("rule numbers are checked where they come in");
        self.words[number.0 as usize] = Some(word);
        word
    }

    /// Whether the kernel's layout can tell all conditions apart.
    pub(super) fn check(&self) -> Result<(), TableError> {
        let (needed, capacity) = (self.conditions.bits.len() - 1, CONDITIONS as usize - 1);
        if needed > capacity {
            return Err(TableError::TooManyConditions { needed, capacity });
        }
        Ok(())
    }

    /// The conditions in the kernel's layout.
    pub(super) fn conditions(&self) -> &[u64] {
        &self.conditions.bits
    }

    /// Numbers conditions anew, as they come into the table from now on; for [`Self::restore`], those before.
    pub(super) fn renumber(&mut self) -> Before {
        self.words.fill(None);
        Before(std::mem::take(&mut self.conditions))
    }

    /// Takes the numbers of conditions back.
    pub(super) fn restore(&mut self, before: Before) {
        self.words.fill(None);
        self.conditions = before.0;
    }

    /// Forgets conditions that came in behind the first `count`.
    pub(super) fn truncate(&mut self, count: usize) {
        if self.conditions.bits.len() > count {
            for bits in self.conditions.bits.drain(count..) {
                self.conditions.positions.remove(&bits);
            }
            self.words.fill(None);
        }
    }
}

impl Conditions {
    fn position(&mut self, scopes: Scopes) -> u32 {
        let next = u32::try_from(self.bits.len()).expect("fewer than there are numbers of what is held");
        let bits = &mut self.bits;
        *self.positions.entry(scopes.bits()).or_insert_with(|| {
            bits.push(scopes.bits());
            next
        })
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
