//! Memory that was needed for a moment only, and goes back to the system.
//!
//! A start reads programs, configuration and saved answers, which takes several times of what stays. The allocator keeps
//! what lies between things that stay, for a next time that does not come.

use std::time::{Duration, Instant};

/// Where changes never end, memory is given back all the same, but no more often than this.
const BUSY_INTERVAL: Duration = Duration::from_secs(60);

/// Gives back what is free, and the programs' object, which only loading reads. Costs a walk over the heap.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) asks for nothing but free memory of the allocator, and any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
    crate::kernel::let_go_of_object();
}

/// When memory is given back: once the policy has not changed from one look to the next.
#[derive(Debug)]
pub(super) struct Tidying {
    /// The generation at the last look.
    seen: u64,
    /// The generation for which memory was given back last, and when.
    tidied: u64,
    at: Instant,
}

impl Tidying {
    /// Memory was given back `now`, before the first generation.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: 0,
            tidied: 0,
            at: now,
        }
    }

    /// Whether it is time, at this look, with this generation in force.
    pub(super) fn is_due(&mut self, generation: u64, now: Instant) -> bool {
        let is_quiet = std::mem::replace(&mut self.seen, generation) == generation;
        let is_due = self.tidied != generation && (is_quiet || now >= self.at + BUSY_INTERVAL);
        if is_due {
            self.tidied = generation;
            self.at = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_when_it_is_quiet_and_sometimes_when_it_is_not() {
        let start = Instant::now();
        let mut tidying = Tidying::new(start);
        // Seconds, generation, and whether it is time.
        for (second, generation, is_due) in [
            (0, 0, false),
            (5, 3, false),
            (10, 3, true),
            (15, 3, false),
            (20, 4, false),
            (25, 5, false),
            (75, 6, true),
            (80, 7, false),
            (85, 7, true),
            (500, 7, false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(tidying.is_due(generation, now), is_due, "{second} s");
        }
    }
}
