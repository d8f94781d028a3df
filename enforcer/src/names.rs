//! Host names as the whole crate uses them: lower case, A-labels, no trailing dot.
//!
//! A name is validated once, here, where text comes in. Everything behind it takes a [`ServerName`] or a
//! [`DomainPattern`] and never a string, so that two spellings of one name can not become two names.

use std::fmt;
use std::sync::Arc;

/// Longest host name in its text form, without the trailing dot (RFC 1035 section 2.3.4).
pub const NAME_MAX: usize = 253;
/// Longest label of a host name (RFC 1035 section 2.3.4).
pub const LABEL_MAX: usize = 63;
/// Most labels behind the `*.` of a pattern: the kernel looks at no more ends of a server name.
pub const PATTERN_LABELS_MAX: usize = enforcer_common::names::PATTERN_LABELS_MAX as usize;

/// Why a text is not a host name that a rule may carry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or only white space.
    #[error("the name is empty")]
    Empty,
    /// The text form is longer than [`NAME_MAX`].
    #[error("the name has {length} characters, {NAME_MAX} are the most")]
    TooLong {
        /// Characters of the text form.
        length: usize,
    },
    /// Two dots in a row, or a dot at the start.
    #[error("the name has an empty label (a dot too many)")]
    EmptyLabel,
    /// A label is longer than [`LABEL_MAX`].
    #[error("the label `{label}` has {length} characters, {LABEL_MAX} are the most")]
    LabelTooLong {
        /// The label as it was written.
        label: String,
        /// Its length in characters of the A-label form.
        length: usize,
    },
    /// A label starts or ends with a hyphen (RFC 1123 section 2.1).
    #[error("the label `{label}` starts or ends with a hyphen")]
    Hyphen {
        /// The label as it was written.
        label: String,
    },
    /// A character that no host name has (RFC 1123 section 2.1: letters, digits, hyphens).
    #[error("`{}` can not stand in a host name", shown(*.character))]
    Character {
        /// The first character that is not allowed.
        character: char,
    },
    /// A single label: nothing under a public registry has one.
    #[error("`{name}` has a single label")]
    SingleLabel {
        /// The name as it was written.
        name: String,
    },
    /// An address where a name is expected.
    #[error("`{text}` is an address, not a name")]
    Address {
        /// The address as it was written.
        text: String,
    },
    /// The name has letters beyond ASCII that have no A-label form (RFC 5891).
    #[error("`{text}` has no A-label form (IDNA)")]
    Idna {
        /// The name as it was written.
        text: String,
    },
    /// A `*` elsewhere than as the whole first label.
    #[error("a `*` stands only for whole labels, at the start of a pattern: `*.example.com`")]
    Wildcard,
    /// A pattern has more than [`PATTERN_LABELS_MAX`] labels behind its `*`.
    #[error("the pattern has {labels} labels behind its `*`, {PATTERN_LABELS_MAX} are the most")]
    PatternTooDeep {
        /// Labels behind the `*`.
        labels: usize,
    },
}

/// A character as a message may carry it: never one that a terminal acts on.
fn shown(character: char) -> String {
    if character.is_control() {
        character.escape_default().to_string()
    } else {
        character.to_string()
    }
}

/// A fully qualified host name in lower-case A-labels, without the trailing dot; at least two labels.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// Validates `text` as a host name.
    ///
    /// Upper case is folded and letters beyond ASCII become A-labels; one trailing dot is dropped.
    ///
    /// # Errors
    /// The first thing that is wrong, as a [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.trim().is_empty() {
            return Err(NameError::Empty);
        }
        if text.contains('*') {
            return Err(NameError::Wildcard);
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(NameError::Address {
                text: text.to_owned(),
            });
        }
        let stem = text.strip_suffix('.').unwrap_or(text);
        // Looked at before IDNA, whose cost grows faster than the length. Some code points fold to nothing, hence the margin.
        if stem.chars().count() > 4 * NAME_MAX {
            return Err(NameError::TooLong {
                length: stem.chars().count(),
            });
        }
        let ascii = if stem.is_ascii() {
            stem.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(stem).map_err(|_| NameError::Idna {
                text: text.to_owned(),
            })?
        };
        Self::check(&ascii)?;
        Ok(Self(ascii.into()))
    }

    fn check(name: &str) -> Result<(), NameError> {
        if name.len() > NAME_MAX {
            return Err(NameError::TooLong { length: name.len() });
        }
        for label in name.split('.') {
            if label.is_empty() {
                return Err(NameError::EmptyLabel);
            }
            if let Some(character) = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
                return Err(NameError::Character { character });
            }
            if label.len() > LABEL_MAX {
                return Err(NameError::LabelTooLong {
                    label: label.to_owned(),
                    length: label.len(),
                });
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(NameError::Hyphen {
                    label: label.to_owned(),
                });
            }
        }
        if !name.contains('.') {
            return Err(NameError::SingleLabel {
                name: name.to_owned(),
            });
        }
        if name.rsplit('.').next().is_some_and(is_numeric) {
            return Err(NameError::Address {
                text: name.to_owned(),
            });
        }
        Ok(())
    }

    /// The name as text: lower case, no trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether this name lies below `suffix`, one label or more. A name is not below itself.
    #[must_use]
    pub fn is_below(&self, suffix: &str) -> bool {
        self.0
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

/// Whether a last label makes resolvers and clients read the whole as an IPv4 address: `127.1`, `192.0.2.0x01`
/// (RFC 3696 section 2; the WHATWG URL standard calls it "ends in a number").
fn is_numeric(label: &str) -> bool {
    let all = |digits: &str, radix| digits.chars().all(|digit| digit.is_digit(radix));
    all(label, 10) || label.strip_prefix("0x").is_some_and(|digits| all(digits, 16))
}

impl fmt::Display for ServerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// `*.suffix`: every name with one label or more below the suffix; the suffix itself is not meant.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DomainPattern {
    suffix: ServerName,
}

impl DomainPattern {
    /// Validates `text`, which starts with `*.`.
    ///
    /// # Errors
    /// [`NameError::Wildcard`] when the `*` is not the whole first label, [`NameError::PatternTooDeep`], otherwise what
    /// is wrong with the suffix.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let suffix = text.strip_prefix("*.").ok_or(NameError::Wildcard)?;
        let suffix = ServerName::parse(suffix)?;
        let labels = suffix.labels().count();
        if labels > PATTERN_LABELS_MAX {
            return Err(NameError::PatternTooDeep { labels });
        }
        Ok(Self { suffix })
    }

    /// The pattern over everything below `suffix`, which should have [`PATTERN_LABELS_MAX`] labels at most: a deeper one
    /// matches nothing in the kernel.
    #[must_use]
    pub fn below(suffix: ServerName) -> Self {
        Self { suffix }
    }

    /// The part behind `*.`.
    #[must_use]
    pub fn suffix(&self) -> &ServerName {
        &self.suffix
    }

    /// Whether `name` is under the pattern, on a label boundary.
    #[must_use]
    pub fn matches(&self, name: &ServerName) -> bool {
        name.is_below(self.suffix.as_str())
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "*.{}", self.suffix)
    }
}

/// What a list of server names may hold: a host, or a pattern over hosts.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NameRule {
    /// This name and no other.
    Name(ServerName),
    /// Every name under the pattern.
    Pattern(DomainPattern),
}

impl NameRule {
    /// Whether `name` is granted by it.
    #[must_use]
    pub fn matches(&self, name: &ServerName) -> bool {
        match self {
            Self::Name(granted) => granted == name,
            Self::Pattern(pattern) => pattern.matches(name),
        }
    }
}

impl fmt::Display for NameRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(out),
            Self::Pattern(pattern) => pattern.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_folded_to_one_spelling() {
        for text in ["contoso.azurecr.io", "CONTOSO.AzureCR.io", "contoso.azurecr.io."] {
            assert_eq!(ServerName::parse(text).unwrap().as_str(), "contoso.azurecr.io");
        }
        assert_eq!(
            ServerName::parse("bücher.example").unwrap().as_str(),
            "xn--bcher-kva.example"
        );
    }

    #[test]
    fn what_is_not_a_name_says_why() {
        let long_label = "a".repeat(64);
        let long_name = [
            "a".repeat(60),
            "b".repeat(60),
            "c".repeat(60),
            "d".repeat(60),
            "e".repeat(60),
        ]
        .join(".");
        assert_eq!(ServerName::parse(" "), Err(NameError::Empty));
        assert_eq!(ServerName::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(ServerName::parse("a.b.."), Err(NameError::EmptyLabel));
        assert_eq!(
            ServerName::parse("my_registry.azurecr.io"),
            Err(NameError::Character { character: '_' })
        );
        assert_eq!(
            ServerName::parse("https://a.b"),
            Err(NameError::Character { character: ':' })
        );
        assert_eq!(
            ServerName::parse("-a.b"),
            Err(NameError::Hyphen { label: "-a".into() })
        );
        assert_eq!(
            ServerName::parse("localhost"),
            Err(NameError::SingleLabel {
                name: "localhost".into()
            })
        );
        assert_eq!(
            ServerName::parse("192.0.2.1"),
            Err(NameError::Address {
                text: "192.0.2.1".into()
            })
        );
        for text in ["127.1", "192.0.2.0x1", "1.2.3.4.5", "１９２.0.2.1", "192.0.2.1."] {
            assert!(
                matches!(ServerName::parse(text), Err(NameError::Address { .. })),
                "{text}"
            );
        }
        assert_eq!(ServerName::parse("*.a.b"), Err(NameError::Wildcard));
        assert!(matches!(
            ServerName::parse(&format!("{long_label}.b")),
            Err(NameError::LabelTooLong { .. })
        ));
        assert!(matches!(
            ServerName::parse(&long_name),
            Err(NameError::TooLong { .. })
        ));
    }

    #[test]
    fn a_pattern_matches_on_label_boundaries_only() {
        let pattern = DomainPattern::parse("*.data.mcr.microsoft.com").unwrap();
        let matches = |name: &str| pattern.matches(&ServerName::parse(name).unwrap());
        assert!(matches("eastus.data.mcr.microsoft.com"));
        assert!(matches("a.b.data.mcr.microsoft.com"));
        assert!(!matches("data.mcr.microsoft.com"));
        assert!(!matches("evildata.mcr.microsoft.com"));
        assert!(!matches("data.mcr.microsoft.com.evil.example"));
    }

    #[test]
    fn a_pattern_is_as_deep_as_the_kernel_looks() {
        let deep = |labels: usize| format!("*.{}", vec!["a"; labels].join("."));
        assert!(DomainPattern::parse(&deep(PATTERN_LABELS_MAX)).is_ok());
        assert_eq!(
            DomainPattern::parse(&deep(PATTERN_LABELS_MAX + 1)),
            Err(NameError::PatternTooDeep {
                labels: PATTERN_LABELS_MAX + 1
            })
        );
    }
}
