//! How much of everything: a whole run, or one that only shows that everything works.

use std::time::Duration;

use crate::hello::NAMES_MOST;

/// The sizes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// Whether it is a smoke test.
    pub(crate) quick: bool,
    /// Prefixes of a policy, ascending.
    pub(crate) prefixes: Vec<u32>,
    /// Entries of the policy in which one name changes.
    pub(crate) entries: Vec<u32>,
    /// Changes of one name for each size.
    pub(crate) changes: usize,
    /// Samples of what takes long.
    pub(crate) samples: usize,
    /// How often everybody on the send path has had every place in a round, and how long a slice is.
    pub(crate) squares: usize,
    pub(crate) slice: Duration,
    /// Names that a policy grants, ascending, when connections ask for them.
    pub(crate) granted: [u32; 3],
    /// Names that are followed, few and many, and the addresses of each.
    pub(crate) names: [u32; 2],
    pub(crate) addresses_each: u32,
    /// How long names are followed, and how long nothing happens.
    pub(crate) following: Duration,
    pub(crate) idle: Duration,
}

impl Sizes {
    /// Those of a whole run, or `quick`.
    pub(crate) fn new(quick: bool) -> Self {
        if quick {
            Self {
                quick,
                prefixes: vec![100, 1000],
                entries: vec![10, 1000],
                changes: 20,
                samples: 2,
                squares: 1,
                slice: Duration::from_millis(5),
                granted: [1, 10, 100],
                names: [5, 20],
                addresses_each: 5,
                following: Duration::from_secs(4),
                idle: Duration::from_secs(2),
            }
        } else {
            Self {
                quick,
                prefixes: vec![100, 10_000, 100_000],
                entries: vec![10, 1000, 100_000],
                changes: 1000,
                samples: 9,
                squares: 3,
                slice: Duration::from_millis(40),
                granted: [1, 1000, NAMES_MOST],
                names: [100, 5000],
                addresses_each: 50,
                following: Duration::from_secs(60),
                idle: Duration::from_secs(60),
            }
        }
    }

    /// The most prefixes.
    pub(crate) fn most_prefixes(&self) -> u32 {
        self.prefixes.last().copied().unwrap_or(1)
    }
}
