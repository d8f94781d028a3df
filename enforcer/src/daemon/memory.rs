//! Memory that was needed for a moment only, and goes back to the system.
//!
//! A start reads programs, configuration and saved answers, which takes several times of what stays. The allocator keeps
//! what lies between things that stay, for a next time that does not come.

/// Gives back what is free. Costs a walk over the heap.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) asks for nothing but free memory of the allocator, and any thread may call it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
