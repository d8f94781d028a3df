//! Counters and events: every denial is counted, and told within the rate limit.

use core::arch::asm;

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};
use enforcer_common::abi::{Event, address_words};
use enforcer_common::flow::Flow;
use enforcer_common::names::NAME_WORDS;
use enforcer_common::packet::Address;

use crate::maps::{COUNTERS, EVENTS};

/// What a hook knows about a denial, or about a granted connection.
pub(crate) struct Denial {
    /// Code of the [`enforcer_common::Reason`], or [`enforcer_common::abi::GRANTED`].
    pub(crate) reason: u8,
    /// Code of the [`enforcer_common::abi::Hook`].
    pub(crate) hook: u8,
    pub(crate) audit: bool,
    pub(crate) protocol: u8,
    pub(crate) source: Address,
    pub(crate) source_port: u16,
    /// Unspecified when the packet could not be read that far.
    pub(crate) destination: Address,
    pub(crate) destination_port: u16,
    pub(crate) cgroup: u64,
    pub(crate) cookie: u64,
    /// The rule that grants the address; 0 for none.
    pub(crate) rule: u32,
    pub(crate) pid: u32,
    pub(crate) comm: [u8; 16],
    /// Of the socket, with its server name. May be null.
    pub(crate) flow: *const Flow,
}

/// Counts the denial and, within the rate limit, sends an event.
#[inline(always)]
pub(crate) fn tell(denial: &Denial) {
    if has_turn(denial.reason, denial.audit, || true) {
        send(denial);
    }
}

/// Begins to fetch what [`has_turn`] needs for this code, as [`begin_names`](crate::tables::begin_names) does.
#[inline(always)]
pub(crate) fn begin_count(code: u8) {
    if let Some(counter) = COUNTERS.get_ptr(u32::from(code)) {
        // SAFETY: the element is alive and aligned. Volatile: it stays although nobody wants what it gives.
        let _ = unsafe { (&raw const (*counter).denied).read_volatile() };
    }
}

/// Counts what has this code, apart where audit mode lets it through; whether an event may tell of it, within the rate limit and
/// where there is `room`.
#[inline(always)]
pub(crate) fn has_turn(code: u8, is_audit: bool, room: impl FnOnce() -> bool) -> bool {
    let code = u32::from(code);
    let Some(counter) = COUNTERS.get_ptr_mut(code) else {
        return false;
    };
    // SAFETY: the element is alive.
    unsafe {
        count(if is_audit {
            &raw mut (*counter).audit
        } else {
            &raw mut (*counter).denied
        });
    };
    // SAFETY: the element is alive and belongs to this CPU. An interrupt may change it in between, which costs or
    // gives a token, never a count.
    let bucket = unsafe { &mut (*counter).bucket };
    // SAFETY: the helpers have no preconditions.
    let (tick, now) = unsafe { (bpf_jiffies64(), || bpf_ktime_get_ns()) };
    if bucket.take(tick, now) && room() {
        return true;
    }
    bucket.suppressed = bucket.suppressed.wrapping_add(1);
    // SAFETY: as above.
    unsafe { count(&raw mut (*counter).suppressed) };
    false
}

/// Sends an event, of which [`has_turn`] has said that it may be.
#[inline(always)]
pub(crate) fn send(denial: &Denial) {
    let code = u32::from(denial.reason);
    let Some(counter) = COUNTERS.get_ptr_mut(code) else {
        return;
    };
    // SAFETY: as there.
    let bucket = unsafe { &mut (*counter).bucket };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else {
        bucket.suppressed = bucket.suppressed.wrapping_add(1);
        // SAFETY: the element is alive.
        unsafe { count(&raw mut (*counter).suppressed) };
        return;
    };
    let (family, destination) = address_words(denial.destination);
    let (source_family, source) = address_words(denial.source);
    let event = entry.as_mut_ptr();
    // SAFETY: the entry is an event's memory, not yet filled; every field is written. In place, one by one, since a
    // whole event beside everything else is too much for a stack of 512 bytes.
    unsafe {
        (&raw mut (*event).time_ns).write(now);
        (&raw mut (*event).cgroup).write(denial.cgroup);
        // Two words for each address, which is as long and as aligned.
        let no_source = [0; 2];
        (&raw mut (*event).source)
            .cast::<[u64; 2]>()
            .write(if source_family == family {
                source
            } else {
                no_source
            });
        (&raw mut (*event).destination)
            .cast::<[u64; 2]>()
            .write(destination);
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
        (&raw mut (*event).reason).write(denial.reason);
        (&raw mut (*event).hook).write(denial.hook);
        (&raw mut (*event).audit).write(u8::from(denial.audit));
        (&raw mut (*event).padding).write([0; 2]);
        (&raw mut (*event).rule).write(denial.rule);
        (&raw mut (*event).comm).write(denial.comm);
        (&raw mut (*event).cookie).write(denial.cookie);
        // Volatile below, a word after the other: not by way of the stack, and not by a routine that copies or fills.
        let name = (&raw mut (*event).server_name).cast::<u64>();
        if denial.flow.is_null() {
            (&raw mut (*event).server_name_length).write(0);
            for at in 0..NAME_WORDS {
                name.add(at).write_volatile(0);
            }
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
            (&raw mut (*event).server_name_length).write((*denial.flow).name.length as u8);
            for at in 0..NAME_WORDS {
                name.add(at)
                    .write_volatile((&raw const (*denial.flow).name.words[at]).read_volatile());
            }
        }
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
