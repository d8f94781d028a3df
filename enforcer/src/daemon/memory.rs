//! Memory that was needed for a moment only, and goes back to the system.
//!
//! A start reads programs, configuration and saved answers, which takes several times of what stays. The allocator keeps
//! what lies between things that stay, for a next time that does not come.

use std::time::{Duration, Instant};

/// Where changes never end, memory is given back all the same, but no more often than this.
const BUSY_INTERVAL: Duration = Duration::from_secs(60);
/// So long after the last change, what changed has been written to disk, and the copy that was written is free.
const SAVED_AFTER: Duration = Duration::from_secs(20);

/// Has all threads take memory from one place. Each has its own otherwise, and what it leaves there free, behind the last
/// thing that it holds, is never given back. To be called before there is another thread.
pub(super) fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two numbers, and no other thread is there to use the allocator meanwhile.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what is free, and the programs' object, which only loading reads. Costs a walk over the heap.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) asks for nothing but free memory of the allocator, and any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
    crate::kernel::let_go_of_object();
}

/// When memory is given back: when the policy has not changed from one look to the next, and once more when that was saved.
#[derive(Debug)]
pub(super) struct Tidying {
    /// The generation at the last look, and since when it is in force.
    seen: u64,
    since: Instant,
    /// How often memory was given back for it.
    times: u32,
    /// When memory was given back last.
    at: Instant,
}

impl Tidying {
    /// Memory was given back `now`, before the first generation.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: 0,
            since: now,
            times: 0,
            at: now,
        }
    }

    /// Whether it is time, at this look, with this generation in force.
    pub(super) fn is_due(&mut self, generation: u64, now: Instant) -> bool {
        let is_due = if self.seen != generation {
            self.seen = generation;
            self.since = now;
            self.times = 0;
            now >= self.at + BUSY_INTERVAL
        } else {
            let is_due = match self.times {
                0 => true,
                1 => now >= self.since + SAVED_AFTER,
                _ => false,
            };
            self.times += u32::from(is_due);
            is_due
        };
        if is_due {
            self.at = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_it_is_quiet_and_sometimes_when_it_is_not() {
        let start = Instant::now();
        let mut tidying = Tidying::new(start);
        // Seconds, generation, and whether it is time.
        for (second, generation, is_due) in [
            (5, 3, false),
            (10, 3, true),
            (15, 3, false),
            (25, 3, true),
            (30, 3, false),
            (500, 3, false),
            (505, 4, true),
            (510, 5, false),
            (560, 6, false),
            (565, 7, true),
            (570, 7, true),
            (580, 7, false),
            (590, 7, true),
            (900, 7, false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(tidying.is_due(generation, now), is_due, "{second} s");
        }
    }
}
