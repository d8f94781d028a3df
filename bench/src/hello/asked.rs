//! The names that connections ask for, and those of a policy that grants many.
//!
//! All names of a policy are as long as the one that the other figures are measured with and have as many labels, so that
//! nothing but their number differs. Beside them it grants one pattern, as broad as any that has a use.

use anyhow::{Result, bail};
use enforcer::endpoints::{GrantedName, Scopes};
use enforcer::names::{DomainPattern, NameRule, ServerName};
use enforcer_common::names::{NAMES, PATTERN_LABELS_MAX};

/// The name of connections of which nothing else is said.
pub(super) const NAME: &str = "contoso.azurecr.io";
/// What every name under the pattern ends with.
const BELOW: &str = "blob.core.windows.net";
/// Labels in front of that which a name may have so that each is looked up, where there is one already.
const MORE_LABELS: usize = PATTERN_LABELS_MAX as usize - 4;
/// Most names that a policy may have which grants a pattern as well.
pub(crate) const NAMES_MOST: u32 = NAMES - 1;
/// From one name to the next that is asked for. A prime that divides no number of names: each is asked for once before
/// one is again, and neighbours are far from each other.
const STEP: u32 = 7919;

/// What a connection asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// [`NAME`].
    One,
    /// A name of a policy of many.
    Granted,
    /// A name under its pattern.
    Below,
    /// One of as many labels as are looked up.
    Deep,
    /// A name that no policy has.
    Foreign,
}

impl Asked {
    const ALL: [Self; 5] = [Self::One, Self::Granted, Self::Below, Self::Deep, Self::Foreign];

    /// The word for it in what a client is told.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Granted => "granted",
            Self::Below => "below",
            Self::Deep => "deep",
            Self::Foreign => "foreign",
        }
    }

    /// The reverse of [`Self::word`].
    pub(super) fn parse(word: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|asked| asked.word() == word) {
            Some(asked) => Ok(asked),
            None => bail!("`{word}` is no kind of name"),
        }
    }

    /// Whether its hello leaves to where names are asked for.
    pub(super) const fn is_granted(self) -> bool {
        !matches!(self, Self::Foreign)
    }

    /// The name with this number, of those of its kind.
    pub(super) fn name(self, number: u32) -> String {
        match self {
            Self::One => NAME.to_owned(),
            Self::Granted => format!("c{number:06}.azurecr.io"),
            Self::Below => format!("c{number:06}.{BELOW}"),
            Self::Deep => format!("{}c{number:06}.{BELOW}", "a.".repeat(MORE_LABELS)),
            Self::Foreign => format!("d{number:06}.azurecr.io"),
        }
    }

    /// The name that the connection `at` asks for, where there are `of` of its kind, at least 1.
    pub(super) fn name_at(self, at: u32, of: u32) -> String {
        self.name(at.wrapping_mul(STEP) % of)
    }
}

/// So many names, and the pattern.
pub(super) fn granted(names: u32) -> Result<Vec<GrantedName>> {
    let granted = |name| GrantedName {
        name,
        scopes: Scopes::POLICY,
    };
    let mut all = vec![granted(NameRule::Pattern(DomainPattern::below(
        ServerName::parse(BELOW)?,
    )))];
    for number in 0..names {
        let name = ServerName::parse(&Asked::Granted.name(number))?;
        all.push(granted(NameRule::Name(name)));
    }
    Ok(all)
}

/// The one name.
pub(super) fn granted_one() -> Result<Vec<GrantedName>> {
    Ok(vec![GrantedName {
        name: NameRule::Name(ServerName::parse(NAME)?),
        scopes: Scopes::POLICY,
    }])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use enforcer::policy::table::Table;

    use super::*;
    use crate::sizes::Sizes;

    fn labels(asked: Asked) -> usize {
        asked.name(0).split('.').count()
    }

    #[test]
    fn nothing_but_their_number_differs() {
        for asked in [Asked::Granted, Asked::Foreign] {
            for number in [0, NAMES_MOST - 1] {
                assert_eq!(asked.name(number).len(), NAME.len());
            }
            assert_eq!(labels(asked), labels(Asked::One));
        }
        assert_eq!(labels(Asked::Deep), PATTERN_LABELS_MAX as usize + 1);
        for asked in Asked::ALL {
            assert_eq!(Asked::parse(asked.word()).unwrap(), asked);
        }
        assert!(Asked::parse("others").is_err());
    }

    #[test]
    fn every_name_is_asked_for_before_one_is_again() {
        for quick in [true, false] {
            for names in Sizes::new(quick).granted {
                let asked: BTreeSet<String> =
                    (0..names).map(|at| Asked::Granted.name_at(at, names)).collect();
                assert_eq!(asked.len(), names as usize);
            }
        }
    }

    #[test]
    fn what_is_to_be_granted_is_and_what_is_not_is_not() {
        let names = granted(10).unwrap();
        let is_granted = |asked: Asked| {
            let name = ServerName::parse(&asked.name_at(3, 10)).unwrap();
            names.iter().any(|granted| match &granted.name {
                NameRule::Name(other) => *other == name,
                NameRule::Pattern(pattern) => pattern.matches(&name),
            })
        };
        for asked in [Asked::Granted, Asked::Below, Asked::Deep, Asked::Foreign] {
            assert_eq!(is_granted(asked), asked.is_granted(), "{asked:?}");
        }
    }

    #[test]
    fn the_most_names_are_all_that_the_kernel_has_room_for() {
        assert!(Table::of(&[], &granted(NAMES_MOST).unwrap()).is_ok());
        assert!(Table::of(&[], &granted(NAMES_MOST + 1).unwrap()).is_err());
    }
}
