//! What a process uses, as /proc tells.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::raw;

/// What a process has used until now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Processor time of all threads.
    pub(crate) cpu: Duration,
    /// How often a thread that slept was woken.
    pub(crate) wakeups: u64,
}

/// What the process has used.
///
/// # Errors
/// When it has ended.
pub(crate) fn used(pid: u32) -> Result<Used> {
    let cpu = raw::processor_time(pid).with_context(|| format!("the process {pid} has ended"))?;
    let wakeups = fs::read_dir(format!("/proc/{pid}/task"))?
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("status")).ok())
        .filter_map(|status| field(&status, "voluntary_ctxt_switches"))
        .sum();
    Ok(Used { cpu, wakeups })
}

/// Bytes of a field of /proc/PID/status that is in kB, such as `VmRSS`.
///
/// # Errors
/// When the process has ended.
pub(crate) fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    field(&status, name)
        .map(|kib| kib * 1024)
        .with_context(|| format!("/proc/{pid}/status has no {name}"))
}

/// The processor time of the threads of this process that have this name.
pub(crate) fn thread_time(name: &str) -> Duration {
    let nanoseconds: u64 = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let comm = fs::read_to_string(path.join("comm")).ok()?;
            if comm.trim() != name {
                return None;
            }
            // The first number is the time on a processor (Documentation/scheduler/sched-stats.rst).
            let text = fs::read_to_string(path.join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// The processor time of the calling thread.
pub(crate) fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        if key != name {
            return None;
        }
        value.split_whitespace().next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_to_work() {
        let before = used(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while used(std::process::id()).unwrap().cpu <= before.cpu + Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(memory(std::process::id(), "VmRSS").unwrap() > 100_000);
        assert!(memory(std::process::id(), "VmNothing").is_err());
        assert!(used(u32::MAX / 4).is_err());
    }
}
