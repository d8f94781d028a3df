//! Names under which anybody can open an account: whoever may write to all of them may write to an attacker's.

mod table;

use crate::names::{DomainPattern, ServerName};

pub use table::{HOSTS, Instead, OpenName, SUFFIXES};

/// Why a name or a pattern lets through what anybody can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Openness {
    /// It is at or above an entry of the tables.
    Known(&'static OpenName),
    /// It is over a top-level domain.
    TopLevel,
    /// It is over a public suffix, under which anybody can register names.
    PublicSuffix,
}

/// Whether names that anybody can open are under `pattern`.
#[must_use]
pub fn pattern_openness(pattern: &DomainPattern) -> Option<Openness> {
    let suffix = pattern.suffix().as_str();
    let known = SUFFIXES
        .iter()
        .find(|open| is_at_or_above(suffix, open.name))
        .or_else(|| HOSTS.iter().find(|open| is_above(suffix, open.name)));
    if let Some(open) = known {
        return Some(Openness::Known(open));
    }
    is_public_suffix(suffix).then_some(Openness::PublicSuffix)
}

/// As [`pattern_openness`], for a pattern whose suffix is a single label (`*.com`), which is no [`DomainPattern`].
#[must_use]
pub fn single_label_openness(label: &str) -> Openness {
    SUFFIXES
        .iter()
        .chain(HOSTS)
        .find(|open| is_above(label, open.name))
        .map_or(Openness::TopLevel, Openness::Known)
}

/// Whether all tenants share the host `name`.
#[must_use]
pub fn host_openness(name: &ServerName) -> Option<&'static OpenName> {
    HOSTS.iter().find(|open| {
        label_count(name.as_str()) == label_count(open.name) && is_at_or_above(name.as_str(), open.name)
    })
}

/// The deepest place under which `name` is an account that anybody could have opened.
#[must_use]
pub fn account_openness(name: &ServerName) -> Option<&'static OpenName> {
    let labels: Vec<&str> = name.labels().collect();
    SUFFIXES
        .iter()
        .filter(|open| {
            let depth = label_count(open.name);
            labels.len() > depth && is_at_or_above(&labels[labels.len() - depth..].join("."), open.name)
        })
        .max_by_key(|open| label_count(open.name))
}

/// Whether the labels of `suffix` are the last ones of `entry`, or all of them.
fn is_at_or_above(suffix: &str, entry: &str) -> bool {
    let mut entry_labels = entry.rsplit('.');
    suffix.rsplit('.').all(|label| {
        entry_labels
            .next()
            .is_some_and(|open| open == "*" || open == label)
    })
}

fn is_above(suffix: &str, entry: &str) -> bool {
    label_count(suffix) < label_count(entry) && is_at_or_above(suffix, entry)
}

fn label_count(name: &str) -> usize {
    name.split('.').count()
}

/// Whether the public suffix list has `suffix` itself, or a wildcard rule that makes every name below it one.
fn is_public_suffix(suffix: &str) -> bool {
    // A label that no rule of the list names, to find wildcard rules.
    let below = format!("x--x.{suffix}");
    [suffix, &below]
        .into_iter()
        .any(|name| psl::suffix_str(name).is_some_and(|found| found == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(pattern: &str) -> bool {
        pattern_openness(&DomainPattern::parse(pattern).unwrap()).is_some()
    }

    /// An entry with its `*` labels filled in, as a user would write it.
    fn filled(open: &OpenName) -> String {
        open.name.replace('*', "somewhere-1")
    }

    #[test]
    fn every_entry_and_all_above_it_are_found() {
        for open in SUFFIXES {
            let name = filled(open);
            let labels: Vec<&str> = name.split('.').collect();
            for from in 0..labels.len() {
                let suffix = labels[from..].join(".");
                if from + 1 == labels.len() {
                    assert!(
                        matches!(single_label_openness(&suffix), Openness::Known(_)),
                        "*.{suffix}"
                    );
                } else {
                    assert!(is_open(&format!("*.{suffix}")), "*.{suffix} of {}", open.name);
                }
            }
        }
    }

    #[test]
    fn every_shared_host_is_found_and_so_is_every_pattern_over_it() {
        for open in HOSTS {
            let name = filled(open);
            assert!(
                host_openness(&ServerName::parse(&name).unwrap()).is_some(),
                "{name}"
            );
            let (_, above) = name.split_once('.').unwrap();
            match DomainPattern::parse(&format!("*.{above}")) {
                Ok(pattern) => assert!(pattern_openness(&pattern).is_some(), "{pattern}"),
                Err(_) => assert!(
                    matches!(single_label_openness(above), Openness::Known(_)),
                    "{above}"
                ),
            }
        }
    }

    #[test]
    fn entries_are_written_well() {
        for open in SUFFIXES.iter().chain(HOSTS) {
            let name = ServerName::parse(&filled(open)).unwrap();
            assert_eq!(name.as_str(), filled(open), "lower case, no dot at the end");
            assert!(!open.what.is_empty());
        }
        for table in [SUFFIXES, HOSTS] {
            let mut names: Vec<&str> = table.iter().map(|open| open.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "an entry stands twice");
        }
    }

    #[test]
    fn public_suffixes_are_found() {
        for pattern in [
            "*.privatelink.blob.core.windows.net",
            "*.co.uk",
            "*.com.au",
            "*.github.io",
            "*.kawasaki.jp",
            "*.xn--55qx5d.cn",
        ] {
            assert!(is_open(pattern), "{pattern}");
        }
        assert_eq!(single_label_openness("example"), Openness::TopLevel);
        for name in ["s3.dualstack.eu-west-1.amazonaws.com", "uploads.github.com"] {
            assert!(
                host_openness(&ServerName::parse(name).unwrap()).is_some(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_one_owner_has_is_not_open() {
        for pattern in [
            "*.example.com",
            "*.data.mcr.microsoft.com",
            "*.mcr.microsoft.com",
            "*.cdn.azcr.io",
            "*.contoso.blob.core.windows.net",
            "*.mybucket.s3.eu-west-1.amazonaws.com",
            "*.notazurecr.io",
            "*.contoso.co.uk",
        ] {
            assert!(!is_open(pattern), "{pattern}");
        }
        for name in [
            "contoso.azurecr.io",
            "contoso.blob.core.windows.net",
            "mcr.microsoft.com",
            "azurecr.io",
            "pages.github.com",
        ] {
            assert_eq!(host_openness(&ServerName::parse(name).unwrap()), None, "{name}");
        }
    }
}
