//! Which of several enforcers on one host.

use std::fmt;
use std::str::FromStr;

/// The longest name of an instance, in characters.
pub const INSTANCE_MAX: usize = 32;

/// The name of an instance: it is the name of its folders, and of its directory of pins.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instance(String);

/// Why a text does not name an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InstanceError {
    /// Nothing.
    #[error("the name of an instance has at least one character")]
    Empty,
    /// Longer than [`INSTANCE_MAX`].
    #[error("the name of an instance has {INSTANCE_MAX} characters at the most")]
    TooLong,
    /// A character other than `a` to `z`, `0` to `9` and `-`.
    #[error("the name of an instance has the characters a-z, 0-9 and - only, not {0:?}")]
    Character(char),
}

impl Instance {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Instance {
    /// `host`: the one that is started without a name.
    fn default() -> Self {
        Self("host".to_owned())
    }
}

impl FromStr for Instance {
    type Err = InstanceError;

    fn from_str(text: &str) -> Result<Self, InstanceError> {
        let is_allowed = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if let Some(character) = text.chars().find(|c| !is_allowed(c)) {
            return Err(InstanceError::Character(character));
        }
        match text.len() {
            0 => Err(InstanceError::Empty),
            1..=INSTANCE_MAX => Ok(Self(text.to_owned())),
            _ => Err(InstanceError::TooLong),
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_in_a_path_is_a_name() {
        for good in ["host", "a", "0-9", &"x".repeat(INSTANCE_MAX)] {
            assert_eq!(good.parse::<Instance>().unwrap().as_str(), good);
        }
        assert_eq!("host".parse(), Ok(Instance::default()));
        assert_eq!("".parse::<Instance>(), Err(InstanceError::Empty));
        assert_eq!(
            "x".repeat(INSTANCE_MAX + 1).parse::<Instance>(),
            Err(InstanceError::TooLong)
        );
        for (bad, character) in [
            ("..", '.'),
            ("a/b", '/'),
            ("Host", 'H'),
            ("a b", ' '),
            ("\0", '\0'),
            ("ä", 'ä'),
        ] {
            assert_eq!(bad.parse::<Instance>(), Err(InstanceError::Character(character)));
        }
    }
}
