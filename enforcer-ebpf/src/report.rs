//! Counters and events: every denial is counted, and told within the rate limit.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use enforcer_common::Reason;
use enforcer_common::abi::{Event, Hook, address_bytes};
use enforcer_common::packet::Address;

use crate::maps::{BUCKETS, COUNTERS, EVENTS};

/// What a hook knows about a denial.
pub(crate) struct Denial {
    pub(crate) reason: Reason,
    pub(crate) hook: Hook,
    pub(crate) audit: bool,
    pub(crate) protocol: u8,
    pub(crate) source: Address,
    pub(crate) source_port: u16,
    /// Unspecified when the packet could not be read that far.
    pub(crate) destination: Address,
    pub(crate) destination_port: u16,
    pub(crate) cgroup: u64,
    pub(crate) pid: u32,
    pub(crate) comm: [u8; 16],
}

/// Counts the denial and, within the rate limit, sends an event.
#[inline(always)]
pub(crate) fn tell(denial: &Denial) {
    let reason = denial.reason as u32;
    let Some(counter) = COUNTERS.get_ptr_mut(reason) else {
        return;
    };
    // SAFETY: the element is alive.
    unsafe { count(&raw mut (*counter).denied) };
    // SAFETY: as above.
    let suppress = || unsafe { count(&raw mut (*counter).suppressed) };
    let Some(bucket) = BUCKETS.get_ptr_mut(reason) else {
        return;
    };
    // SAFETY: the element is alive and belongs to this CPU. An interrupt may change it in between, which costs or
    // gives a token, never a count.
    let bucket = unsafe { &mut *bucket };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if !bucket.take(now) {
        bucket.suppressed = bucket.suppressed.wrapping_add(1);
        suppress();
        return;
    }
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        bucket.suppressed = bucket.suppressed.wrapping_add(1);
        suppress();
        return;
    };
    let (family, destination) = address_bytes(denial.destination);
    let (source_family, source) = address_bytes(denial.source);
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is an event's memory, not yet filled; every field is written. In place, one by one, since a
    // whole event beside everything else is too much for a stack of 512 bytes.
    unsafe {
        (&raw mut (*event).time_ns).write(now);
        (&raw mut (*event).cgroup).write(denial.cgroup);
        (&raw mut (*event).source).write(if source_family == family { source } else { [0; 16] });
        (&raw mut (*event).destination).write(destination);
        (&raw mut (*event).source_port).write(denial.source_port.to_be_bytes());
        (&raw mut (*event).destination_port).write(denial.destination_port.to_be_bytes());
        (&raw mut (*event).pid).write(denial.pid);
        (&raw mut (*event).suppressed).write(bucket.suppressed);
        (&raw mut (*event).family).write(if denial.destination.is_unspecified() {
            0
        } else {
            family
        });
        (&raw mut (*event).protocol).write(denial.protocol);
        (&raw mut (*event).reason).write(denial.reason as u8);
        (&raw mut (*event).hook).write(denial.hook as u8);
        (&raw mut (*event).audit).write(u8::from(denial.audit));
        (&raw mut (*event).padding).write([0; 7]);
        (&raw mut (*event).comm).write(denial.comm);
    }
    bucket.suppressed = 0;
    entry.submit(0);
}

/// Adds one, whole: an interrupt on this CPU may deny a packet in between. The target has no atomic types.
///
/// # Safety
/// `counter` points to an aligned and living map value.
#[inline(always)]
unsafe fn count(counter: *mut u64) {
    // SAFETY: as the caller promises.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1_u64) };
}
