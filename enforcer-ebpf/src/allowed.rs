//! Granted connections: each is counted, and told within a rate limit of its own.
//!
//! Where a connection begins, never where its packets pass: a call tells of what passes by its address, and the judgement
//! of a ClientHello of what passes by its server name. What is told here takes no denial's place: it has a bucket of its
//! own, and leaves half of the ring buffer alone.

use aya_ebpf::bindings::{__sk_buff, BPF_RB_AVAIL_DATA};
use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_socket_cookie, bpf_skb_cgroup_id};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use enforcer_common::abi::{GRANTED, Hook, RING_GRANTED_BYTES};
use enforcer_common::bytes::Bytes;
use enforcer_common::flow::Flow;
use enforcer_common::packet::{self, Address, Family, protocol};
use enforcer_common::table::GrantWord;
use enforcer_common::verdict::Flows as _;

use crate::maps::EVENTS;
use crate::report::{Denial, has_turn, send};
use crate::skb::Skb;
use crate::socket::Socket;

/// Whether a granted call begins something that is told of: a connection that passes by its address, or datagrams to
/// another destination than those before. `flow` is of its socket, and may be null.
#[inline(always)]
pub(crate) fn is_news(
    hook: Hook,
    number: u8,
    grant: GrantWord,
    flow: *mut Flow,
    destination: Address,
    port: u16,
) -> bool {
    match hook {
        // Its server name is judged later, and told then.
        Hook::Connect => number != protocol::TCP || grant.condition() == 0,
        // SAFETY: not null, and alive during the call. Another thread that uses the same socket may be telling as well,
        // which costs an event or gives one.
        _ => flow.is_null() || unsafe { (*flow).is_next_destination(destination, port) },
    }
}

/// What a call is told with, in one word: from the right a byte for the hook and the protocol, the port, the rule.
#[inline(always)]
pub(crate) fn call(hook: Hook, number: u8, port: u16, grant: GrantWord) -> u64 {
    hook as u64 | u64::from(number) << 8 | u64::from(port) << 16 | u64::from(grant.rule()) << 32
}

/// Counts and tells of a granted [`call`]. A function of its own, global, as those that tell of denials are; it has no use for
/// the context, and what is not used is not passed, which the verifier minds.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "the parts of the word")]
pub(crate) extern "C" fn enforcer_allow_call(what: u64, high: u64, low: u64) -> u32 {
    if !has_turn(GRANTED, false, has_room) {
        return 0;
    }
    send(&Denial {
        reason: GRANTED,
        hook: what as u8,
        audit: false,
        protocol: (what >> 8) as u8,
        source: Address::default(),
        source_port: 0,
        destination: Address::V6(high, low).canonical(),
        destination_port: (what >> 16) as u16,
        // SAFETY: the helper has no preconditions.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        cookie: 0,
        rule: (what >> 32) as u32,
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        comm: bpf_get_current_comm().unwrap_or_default(),
        flow: core::ptr::null(),
    });
    1
}

/// Counts and tells of the session that the packet of a context has just opened, under the name in its flow.
#[inline(always)]
pub(crate) fn allow_session(context: *mut __sk_buff, rule: u32) {
    // Of most nothing is told where many are opened: what only an event needs is not looked for.
    if has_turn(GRANTED, false, has_room) {
        enforcer_tell_session(context, rule);
    }
}

/// Tells of that session. A function of its own, global, as those that tell of denials are.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enforcer_tell_session(context: *mut __sk_buff, rule: u32) -> u32 {
    let packet = Skb { context };
    let mut socket = Socket::of(context);
    let Some(flow) = socket.kept() else {
        return 0;
    };
    let destination = flow.destination();
    let family = match destination {
        Address::V4(_) => Family::V4,
        Address::V6(..) => Family::V6,
    };
    let (source, _) = packet::addresses(&packet, family).unwrap_or_default();
    let ports: [u8; 4] = packet.read(flow.transport).unwrap_or_default();
    send(&Denial {
        reason: GRANTED,
        hook: Hook::Egress as u8,
        audit: false,
        protocol: protocol::TCP,
        source,
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination,
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
        // SAFETY: the helper takes the context of this program.
        cgroup: unsafe { bpf_skb_cgroup_id(context) },
        // SAFETY: as above.
        cookie: unsafe { bpf_get_socket_cookie(context.cast()) },
        rule,
        pid: flow.pid,
        comm: flow.comm,
        flow,
    });
    1
}

/// Whether granted connections have not yet filled their share of the ring buffer.
#[inline(always)]
fn has_room() -> bool {
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) < RING_GRANTED_BYTES
}
