//! Whose a cgroup is: from the id that the kernel tells to the path, and from the path to unit, container and pod.

mod parse;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

pub use parse::of_path;

use crate::control::model::Owner;
use crate::kernel::Cgroup;
use crate::kernel::cgroup::path_of_process;

/// Most owners that are remembered, and cgroups of earlier searches; then all are forgotten, and asked for again.
const OWNERS_MAX: usize = 4096;
/// After the hierarchy was looked through for a cgroup that no process leads to, so many times that time passes before the
/// next search: a twentieth of the run loop's time goes there at the most.
const PAUSE_FACTOR: u32 = 20;
/// Searches without a pause between them: a few containers that begin together are all found, though they end together.
const SEARCHES_MAX: u32 = 16;
/// The pause is at least so long.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The owners of the cgroups that were asked for.
#[derive(Debug, Default)]
pub struct Owners {
    known: HashMap<u64, Owner>,
    /// Where every cgroup is that a search has met: it stays there, and its id is given to no other. One search is enough for
    /// all that there were then, and for what was told of them when they have gone.
    paths: HashMap<u64, String>,
    /// When the pause after the searches so far is over.
    pause: Option<Instant>,
    /// How many searches were made since the last pause was over.
    searches: u32,
}

impl Owners {
    /// Whose the cgroup with this id is, of which `pid` was a process a moment ago. What can not be told is empty.
    pub fn of(&mut self, cgroup: u64, pid: Option<u32>) -> Owner {
        if let Some(known) = self.known.get(&cgroup) {
            return known.clone();
        }
        let by_process = pid.and_then(path_of_process).filter(|path| is_at(path, cgroup));
        let known = by_process.or_else(|| self.paths.get(&cgroup).cloned());
        let Some(path) = known.or_else(|| self.search(cgroup)) else {
            // It may be found the next time.
            return Owner::default();
        };
        if self.known.len() >= OWNERS_MAX {
            self.known.clear();
        }
        let owner = of_path(&path);
        self.known.insert(cgroup, owner.clone());
        owner
    }

    /// Looks through the hierarchy, but not for every event of a flood.
    fn search(&mut self, cgroup: u64) -> Option<String> {
        let begin = Instant::now();
        let is_rested = self.pause.is_none_or(|end| begin >= end);
        if is_rested {
            self.searches = 0;
        }
        if cgroup == 0 || self.searches == SEARCHES_MAX {
            return None;
        }
        self.searches += 1;
        if self.paths.len() >= OWNERS_MAX {
            self.paths.clear();
        }
        self.paths.extend(Cgroup::every().unwrap_or_default());
        let pause = (begin.elapsed() * PAUSE_FACTOR).max(PAUSE_MIN);
        // A search in a pause is paid for by a longer one.
        let from = self.pause.map_or(begin, |end| end.max(begin));
        self.pause = Some(from + pause);
        self.paths.get(&cgroup).cloned()
    }
}

/// Whether this is the path of the cgroup: the process may have gone elsewhere, or its id may be another's by now.
fn is_at(path: &str, cgroup: u64) -> bool {
    // Relative to the root of the hierarchy, wherever that is mounted.
    let below = Path::new(path.strip_prefix('/').unwrap_or(path));
    Cgroup::open(below).is_ok_and(|found| found.id() == cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_found_by_process_and_by_search() {
        let own = Cgroup::own().unwrap();
        let by_process = Owners::default().of(own.id(), Some(std::process::id()));
        assert_eq!(by_process.cgroup, path_of_process(std::process::id()));
        let mut owners = Owners::default();
        assert_eq!(owners.of(own.id(), None), by_process);
        assert_eq!(owners.known.len(), 1);
        // A process that is elsewhere proves nothing.
        assert_eq!(owners.of(u64::MAX, Some(std::process::id())), Owner::default());
        assert_eq!(owners.known.len(), 1);
    }
}
