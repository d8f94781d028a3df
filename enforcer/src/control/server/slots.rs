//! How many may talk to the daemon at once: in all, and of one user, with some kept for root. Pure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at once.
pub(super) const SLOTS_MAX: usize = 32;
/// How many of them only root gets.
pub(super) const FOR_ROOT: usize = 8;
/// Most connections of one user who is not root.
pub(super) const EACH_MAX: usize = 8;
/// Those who have no rights and are being told so, beside all others.
pub(super) const STRANGERS_MAX: usize = 8;

/// The connections of the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    by_user: HashMap<u32, usize>,
    strangers: usize,
}

/// One connection; dropping it makes room.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    /// `None` for a stranger.
    uid: Option<u32>,
}

impl Slots {
    /// Room for a connection of the user `uid`; `None` when there is none.
    pub(super) fn take(&self, uid: u32) -> Option<Slot> {
        let mut taken = lock(&self.taken);
        let all: usize = taken.by_user.values().sum();
        let others = all - taken.by_user.get(&0).copied().unwrap_or_default();
        let own = taken.by_user.get(&uid).copied().unwrap_or_default();
        let is_full = all >= SLOTS_MAX || uid != 0 && (own >= EACH_MAX || others >= SLOTS_MAX - FOR_ROOT);
        if is_full {
            return None;
        }
        *taken.by_user.entry(uid).or_default() += 1;
        Some(Slot {
            taken: Arc::clone(&self.taken),
            uid: Some(uid),
        })
    }

    /// Room for somebody who is told that he has no rights.
    pub(super) fn take_stranger(&self) -> Option<Slot> {
        let mut taken = lock(&self.taken);
        if taken.strangers >= STRANGERS_MAX {
            return None;
        }
        taken.strangers += 1;
        Some(Slot {
            taken: Arc::clone(&self.taken),
            uid: None,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        let Some(uid) = self.uid else {
            taken.strangers -= 1;
            return;
        };
        if let Some(count) = taken.by_user.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                taken.by_user.remove(&uid);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Nothing panics while it is held.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Slots, uid: u32) -> Vec<Slot> {
        std::iter::from_fn(|| slots.take(uid)).collect()
    }

    #[test]
    fn nobody_takes_the_place_of_root() {
        let slots = Slots::default();
        let users: Vec<_> = (1000..1010).map(|uid| take(&slots, uid)).collect();
        assert_eq!(users[0].len(), EACH_MAX);
        assert_eq!(users.iter().map(Vec::len).sum::<usize>(), SLOTS_MAX - FOR_ROOT);
        let root = take(&slots, 0);
        assert_eq!(root.len(), FOR_ROOT);
        drop(users);
        assert_eq!(take(&slots, 0).len(), SLOTS_MAX - FOR_ROOT);
        drop(root);
        assert!(lock(&slots.taken).by_user.is_empty());
    }

    #[test]
    fn root_takes_all_but_not_more() {
        let slots = Slots::default();
        let root = take(&slots, 0);
        assert_eq!(root.len(), SLOTS_MAX);
        assert!(slots.take(1000).is_none());
    }

    #[test]
    fn strangers_are_beside_the_others() {
        let slots = Slots::default();
        let strangers: Vec<_> = std::iter::from_fn(|| slots.take_stranger()).collect();
        assert_eq!(strangers.len(), STRANGERS_MAX);
        assert!(slots.take(1000).is_some());
        drop(strangers);
        assert!(slots.take_stranger().is_some());
    }
}
