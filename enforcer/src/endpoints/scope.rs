//! Which server names count at which addresses.
//!
//! A scope is a set of names that count together. Scope 0 has the names of the policy: every host and pattern whose
//! addresses come from resolving, or from nowhere yet. Each list of names that stands beside a prefix is a scope of
//! its own, and the same list is the same scope. An address that several rules grant has the scopes of all of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use crate::config::{Config, LISTS_MAX, Names, ServerNames};
use crate::names::NameRule;

use super::{Endpoint, Target};

/// A set of names that count together.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Scope(u8);

impl Scope {
    /// The names of the policy.
    pub const POLICY: Self = Self(0);

    /// The scope of a list of names, 0 to [`LISTS_MAX`] - 1.
    #[must_use]
    pub fn of_list(number: usize) -> Option<Self> {
        (number < LISTS_MAX)
            .then(|| u8::try_from(number + 1).ok().map(Self))
            .flatten()
    }

    /// Its bit in a [`Scopes`], 0 to 63.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A set of scopes. No name is granted in the empty one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Scopes(u64);

impl Scopes {
    /// [`Scope::POLICY`] alone.
    pub const POLICY: Self = Self::of(Scope::POLICY);

    /// One scope.
    #[must_use]
    pub const fn of(scope: Scope) -> Self {
        Self(1 << scope.0)
    }

    /// The scopes of a bitmap.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One bit for each scope.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have a scope in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The scopes, ascending.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        (0..64).filter(move |number| self.0 >> number & 1 == 1).map(Scope)
    }
}

/// What is asked of a session to granted addresses.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Condition {
    /// Nothing: the address is enough.
    Unconditional,
    /// A TLS server name that is granted in one of these scopes.
    NameIn(Scopes),
}

impl Condition {
    /// A name of the policy is asked for.
    pub const POLICY: Self = Self::NameIn(Scopes::POLICY);

    /// What holds where both grant an address: nothing is asked for if one of them asks for nothing, otherwise the
    /// names of both count.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::NameIn(one), Self::NameIn(two)) => Self::NameIn(one.union(two)),
            (Self::Unconditional, _) | (_, Self::Unconditional) => Self::Unconditional,
        }
    }
}

/// A name or pattern that is granted, and where.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct GrantedName {
    /// The name or pattern.
    pub name: NameRule,
    /// Where it counts.
    pub scopes: Scopes,
}

/// The scope of every list of names, in the order of the file.
pub(super) fn of_lists(config: &Config) -> HashMap<&[NameRule], Scope> {
    let mut scopes = HashMap::new();
    for rule in &config.rules {
        if let Some(Names::List(names)) = rule.kind.names_at_addresses() {
            let next = Scope::of_list(scopes.len());
            scopes
                .entry(&names[..])
                .or_insert_with(|| next.expect("a configuration has no more lists than LISTS_MAX"));
        }
    }
    scopes
}

/// The names that sessions may carry, ascending, each once. None with `server_name = "off"`: nobody asks for one.
///
/// `endpoints` are those of `config`.
#[must_use]
pub fn granted_names(config: &Config, endpoints: &[Endpoint]) -> Vec<GrantedName> {
    if config.enforce.server_names == ServerNames::Off {
        return Vec::new();
    }
    let mut scopes_of: BTreeMap<NameRule, Scopes> = BTreeMap::new();
    let mut grant = |name: NameRule, scopes: Scopes| {
        scopes_of
            .entry(name)
            .and_modify(|known| *known = known.union(scopes))
            .or_insert(scopes);
    };
    for endpoint in endpoints {
        match &endpoint.target {
            Target::Name(name) => grant(NameRule::Name(name.clone()), Scopes::POLICY),
            Target::Pattern(pattern) => grant(NameRule::Pattern(pattern.clone()), Scopes::POLICY),
            Target::Prefix(_) | Target::Tag(_) => {}
        }
    }
    for (names, scope) in of_lists(config) {
        for name in names {
            grant(name.clone(), Scopes::of(scope));
        }
    }
    scopes_of
        .into_iter()
        .map(|(name, scopes)| GrantedName { name, scopes })
        .collect()
}

/// A [`Condition`] in the terms of a configuration, which mean the same in every policy; scopes do not.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(tag = "asked", rename_all = "kebab-case")]
pub enum Asked {
    /// Any server name will do, or none.
    Nothing,
    /// A granted one.
    Names {
        /// Whether the names of the policy are.
        policy: bool,
        /// The names of lists that are, ascending.
        listed: Vec<String>,
    },
}

impl Asked {
    /// What a condition means where these names are granted.
    #[must_use]
    pub fn of(condition: Condition, names: &[GrantedName]) -> Self {
        let Condition::NameIn(scopes) = condition else {
            return Self::Nothing;
        };
        let lists = Scopes::from_bits(scopes.bits() & !Scopes::POLICY.bits());
        let listed = names.iter().filter(|granted| granted.scopes.meets(lists));
        Self::Names {
            policy: scopes.meets(Scopes::POLICY),
            listed: listed.map(|granted| granted.name.to_string()).collect(),
        }
    }
}

impl fmt::Display for Asked {
    /// `not asked for`, `those of the policy`, `a.example.com, *.b.example.com`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 8;
        let (policy, listed) = match self {
            Self::Nothing => return out.write_str("not asked for"),
            Self::Names { policy, listed } => (*policy, listed),
        };
        let more = listed.len().saturating_sub(SHOWN_MAX);
        let shown = listed[..listed.len() - more].join(", ");
        match (policy, shown.is_empty()) {
            (true, true) => out.write_str("those of the policy")?,
            (true, false) => write!(out, "those of the policy, {shown}")?,
            (false, true) => out.write_str("no name passes")?,
            (false, false) => out.write_str(&shown)?,
        }
        if more > 0 {
            write!(out, " and {more} more")?;
        }
        Ok(())
    }
}
