//! What the daemon's process takes of the machine.

use std::time::Duration;

/// The use of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time since the start.
    pub processor: Duration,
    /// Bytes of memory that are resident; `None` when the kernel does not tell.
    pub resident_bytes: Option<u64>,
}

impl Usage {
    /// Asks the kernel.
    #[must_use]
    pub fn read() -> Self {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Self {
            processor: Duration::new(
                used.tv_sec.try_into().unwrap_or_default(),
                used.tv_nsec.try_into().unwrap_or_default(),
            ),
            resident_bytes: std::fs::read_to_string("/proc/self/statm")
                .ok()
                .and_then(|statm| resident(&statm)),
        }
    }
}

/// The second number of proc(5)'s `statm`, which counts pages.
fn resident(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_something() {
        let usage = Usage::read();
        assert!(usage.processor > Duration::ZERO);
        assert!(usage.resident_bytes > Some(1 << 16));
        assert_eq!(resident("12 x"), None);
    }
}
