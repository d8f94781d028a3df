//! What is remembered and told about names: which address belonged to which, and when one stops or starts answering.
//! Pure: snapshots in, words out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use crate::names::ServerName;
use crate::resolve::{FamilyState, NOT_ASKED_YET, NameSnapshot, Snapshot};

/// Most addresses that are remembered; nothing more is learned beyond it.
const ADDRESSES_MAX: usize = 16_384;

/// A name that an address was answered for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KnownAs {
    /// The name.
    pub name: ServerName,
    /// Why the address is not granted all the same.
    pub refused: Option<&'static str>,
}

/// Which name an address was answered for, at any time since the start. Clones are the same history: one learns, and
/// others look an address up.
#[derive(Clone, Debug, Default)]
pub struct History {
    names: Arc<RwLock<BTreeMap<IpAddr, KnownAs>>>,
}

impl History {
    /// Remembers what `new` says and `old`, which was learnt before, did not.
    pub fn learn(&mut self, old: &Snapshot, new: &Snapshot) {
        // What a reader that failed has left is whole: it changes nothing.
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for (_, known) in new.news_since(old) {
            let granted = known.addresses.iter().map(|address| (address.address, None));
            let refused = known
                .refused
                .iter()
                .map(|refused| (refused.address.to_canonical(), Some(refused.why)));
            for (address, refused) in refused.chain(granted) {
                if names.len() < ADDRESSES_MAX || names.contains_key(&address) {
                    let name = known.name.clone();
                    names.insert(address, KnownAs { name, refused });
                }
            }
        }
    }

    /// The name that `address` was answered for.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<KnownAs> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(&address.to_canonical()).cloned()
    }
}

/// Something that happened to a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Turn {
    /// The name.
    pub name: ServerName,
    /// Whether it is for the worse.
    pub is_bad: bool,
    /// What happened, as a sentence.
    pub text: String,
}

/// What is worth telling between two snapshots: a name or an address family stops or starts answering, an address is
/// refused that was not before. Answers that merely change are not.
#[must_use]
pub fn turns(old: &Snapshot, new: &Snapshot, now: Instant) -> Vec<Turn> {
    let mut turns = Vec::new();
    for (before, name) in new.news_since(old) {
        for (family, state) in [("IPv4", &name.v4), ("IPv6", &name.v6)] {
            let was = before.map_or(&FamilyState::Unasked, |old| match family {
                "IPv4" => &old.v4,
                _ => &old.v6,
            });
            turns.extend(turn(name, family, was, state, now));
        }
        for refused in &name.refused {
            let is_new =
                before.is_none_or(|old| old.refused.iter().all(|old| old.address != refused.address));
            if is_new {
                turns.push(Turn {
                    name: name.name.clone(),
                    is_bad: true,
                    text: format!(
                        "`{}` was answered with {}, which is refused: {}",
                        name.name, refused.address, refused.why
                    ),
                });
            }
        }
    }
    turns
}

fn turn(
    name: &NameSnapshot,
    family: &str,
    was: &FamilyState,
    is: &FamilyState,
    now: Instant,
) -> Option<Turn> {
    let is_worse = |was: &FamilyState| !matches!(was, FamilyState::Stale { .. } | FamilyState::Failed { .. });
    let turn = |is_bad, text| {
        Some(Turn {
            name: name.name.clone(),
            is_bad,
            text,
        })
    };
    match is {
        FamilyState::Stale { answered, error } if is_worse(was) => turn(
            true,
            format!(
                "`{}` can not be asked for its {family} addresses: {error}; its last good answer, {} old, stays granted",
                name.name,
                answered.age(now)
            ),
        ),
        FamilyState::Failed { error } if is_worse(was) => {
            let meaning = if name.addresses.is_empty() {
                "; nothing is granted for it"
            } else {
                ""
            };
            turn(
                true,
                format!(
                    "`{}` could not be resolved to {family} addresses: {error}{meaning}",
                    name.name
                ),
            )
        }
        FamilyState::Fresh | FamilyState::Empty if !is_worse(was) => {
            turn(false, format!("`{}` answers again ({family})", name.name))
        }
        _ => None,
    }
}

/// Why nothing is known for a name, in words.
#[must_use]
pub fn why_unresolved(name: &NameSnapshot) -> String {
    if !name.refused.is_empty() {
        let refused: Vec<_> = name
            .refused
            .iter()
            .map(|refused| format!("{} is refused, {}", refused.address, refused.why))
            .collect();
        return refused.join("; ");
    }
    let words = |state: &FamilyState| match state {
        FamilyState::Unasked => Some("no answer within the time limit".to_owned()),
        FamilyState::Restored { .. } => Some(NOT_ASKED_YET.to_owned()),
        FamilyState::Stale { error, .. } | FamilyState::Failed { error } => Some(error.clone()),
        FamilyState::Fresh | FamilyState::Empty => None,
    };
    match (words(&name.v4), words(&name.v6)) {
        (Some(v4), Some(v6)) if v4 == v6 => v4,
        (Some(v4), Some(v6)) => format!("IPv4: {v4}; IPv6: {v6}"),
        (Some(error), None) | (None, Some(error)) => error,
        (None, None) => "the name exists and has no addresses".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::resolve::{Age, KnownAddress, LastAnswer, LastGood, RefusedAddress, Standing};

    fn snapshot(v4: FamilyState, addresses: &[&str], refused: &[&str], now: Instant) -> Snapshot {
        Snapshot {
            names: [NameSnapshot {
                name: ServerName::parse("a.example.com").unwrap(),
                chain: Vec::new(),
                addresses: addresses
                    .iter()
                    .map(|address| KnownAddress {
                        address: address.parse().unwrap(),
                        expires: now,
                        standing: Standing::Current,
                    })
                    .collect(),
                refused: refused
                    .iter()
                    .map(|address| RefusedAddress {
                        address: address.parse().unwrap(),
                        why: "loopback",
                    })
                    .collect(),
                v4,
                v6: FamilyState::Empty,
                good_v4: LastGood::default(),
                good_v6: LastGood::default(),
            }]
            .into_iter()
            .collect(),
        }
    }

    fn failed() -> FamilyState {
        FamilyState::Failed {
            error: "SERVFAIL".into(),
        }
    }

    #[test]
    fn an_address_keeps_its_name_after_it_has_left_the_answers() {
        let now = Instant::now();
        let mut history = History::default();
        let old = snapshot(FamilyState::Fresh, &["192.0.2.1"], &["127.0.0.9"], now);
        history.learn(&Snapshot::default(), &old);
        history.learn(&old, &snapshot(FamilyState::Fresh, &["192.0.2.2"], &[], now));
        let name_of = |address: &str| history.of(address.parse().unwrap());
        assert_eq!(name_of("192.0.2.1").unwrap().name.as_str(), "a.example.com");
        assert_eq!(name_of("::ffff:192.0.2.2").unwrap().refused, None);
        assert_eq!(name_of("127.0.0.9").unwrap().refused, Some("loopback"));
        assert_eq!(name_of("192.0.2.3"), None);
    }

    #[test]
    fn a_name_that_stops_answering_is_told_once() {
        let now = Instant::now() + Duration::from_secs(1000);
        let good = snapshot(FamilyState::Fresh, &["192.0.2.1"], &[], now);
        let stale = snapshot(
            FamilyState::Stale {
                answered: (now - Duration::from_secs(60)).into(),
                error: "no answer within 3 s".into(),
            },
            &["192.0.2.1"],
            &[],
            now,
        );
        let texts = |old: &Snapshot, new: &Snapshot| -> Vec<_> {
            turns(old, new, now)
                .into_iter()
                .map(|turn| (turn.is_bad, turn.text))
                .collect()
        };
        assert_eq!(
            texts(&good, &stale),
            [(
                true,
                "`a.example.com` can not be asked for its IPv4 addresses: no answer within 3 s; its last good \
                 answer, 1 min old, stays granted"
                    .to_owned()
            )]
        );
        assert!(texts(&stale, &stale).is_empty());
        assert_eq!(
            texts(&stale, &good),
            [(false, "`a.example.com` answers again (IPv4)".to_owned())]
        );
        assert!(texts(&Snapshot::default(), &good).is_empty());
        assert_eq!(
            texts(&Snapshot::default(), &snapshot(failed(), &[], &[], now)),
            [(
                true,
                "`a.example.com` could not be resolved to IPv4 addresses: SERVFAIL; nothing is granted for it".to_owned()
            )]
        );
    }

    #[test]
    fn a_restored_name_is_no_news_until_asking_fails() {
        let now = Instant::now();
        let answered = LastAnswer::restored(Age::at_least(Duration::from_secs(7200)), now);
        let restored = snapshot(FamilyState::Restored { answered }, &["192.0.2.1"], &[], now);
        assert!(turns(&Snapshot::default(), &restored, now).is_empty());
        let good = snapshot(FamilyState::Fresh, &["192.0.2.1"], &[], now);
        assert!(turns(&restored, &good, now).is_empty());
        let error = "no answer within 3 s".to_owned();
        let stale = snapshot(FamilyState::Stale { answered, error }, &["192.0.2.1"], &[], now);
        let told = turns(&restored, &stale, now);
        assert_eq!(told.len(), 1);
        assert!(
            told[0]
                .text
                .ends_with("its last good answer, at least 2 h old, stays granted"),
            "{}",
            told[0].text
        );
    }

    #[test]
    fn a_refused_address_is_told_once() {
        let now = Instant::now();
        let refusing = snapshot(FamilyState::Fresh, &[], &["127.0.0.9"], now);
        assert_eq!(turns(&Snapshot::default(), &refusing, now).len(), 1);
        assert!(turns(&refusing, &refusing, now).is_empty());
    }

    #[test]
    fn says_why_a_name_has_no_address() {
        let now = Instant::now();
        let why = |snapshot: &Snapshot| why_unresolved(&snapshot.names[0]);
        assert_eq!(why(&snapshot(failed(), &[], &[], now)), "SERVFAIL");
        assert_eq!(
            why(&snapshot(FamilyState::Empty, &[], &[], now)),
            "the name exists and has no addresses"
        );
        assert_eq!(
            why(&snapshot(FamilyState::Fresh, &[], &["127.0.0.9"], now)),
            "127.0.0.9 is refused, loopback"
        );
    }
}
