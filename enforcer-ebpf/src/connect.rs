//! `connect` and `sendmsg`: the same verdict as for packets, given to the caller at once as EPERM.
//!
//! These hooks answer; they are not the authority. A routing header or a raw socket makes the packet go elsewhere than
//! the call said, which [`crate::egress`] sees. They also note who owns the socket, for the events about its packets.

use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::generated::bpf_get_current_cgroup_id;
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::abi::Hook;
use enforcer_common::at_once::datagram_passes_at_once;
use enforcer_common::flow::Flow;
use enforcer_common::packet::{Address, protocol};
use enforcer_common::table::Generation;
use enforcer_common::verdict::{FilteredPorts as _, Verdict, judge_destination};

use crate::allowed;
use crate::maps::{FLOWS, Ports};
use crate::report::{Denial, tell};
use crate::tables::Maps;

const ALLOW: i32 = 1;
const REFUSE: i32 = 0;

/// `IPPROTO_MPTCP` (Linux `include/uapi/linux/in.h`): on the wire it is TCP.
const MPTCP: u32 = 262;

#[cgroup_sock_addr(connect4)]
pub(crate) fn enforcer_connect4(context: SockAddrContext) -> i32 {
    judge(&context, destination_v4(&context), Hook::Connect)
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn enforcer_connect6(context: SockAddrContext) -> i32 {
    judge(&context, destination_v6(&context), Hook::Connect)
}

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn enforcer_sendmsg4(context: SockAddrContext) -> i32 {
    judge(&context, destination_v4(&context), Hook::Sendmsg)
}

#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn enforcer_sendmsg6(context: SockAddrContext) -> i32 {
    judge(&context, destination_v6(&context), Hook::Sendmsg)
}

#[inline(always)]
fn destination_v4(context: &SockAddrContext) -> Address {
    // SAFETY: the context is valid for the program's run; the verifier allows this field in these hooks.
    Address::V4(u32::from_be(unsafe { (*context.sock_addr).user_ip4 }))
}

#[inline(always)]
fn destination_v6(context: &SockAddrContext) -> Address {
    // SAFETY: as above.
    let words = unsafe { (*context.sock_addr).user_ip6 };
    let word = |high: u32, low: u32| (u64::from(u32::from_be(high)) << 32) | u64::from(u32::from_be(low));
    Address::V6(word(words[0], words[1]), word(words[2], words[3])).canonical()
}

#[inline(always)]
fn judge(context: &SockAddrContext, destination: Address, hook: Hook) -> i32 {
    // SAFETY: as above; the port's 16 bits are in network order.
    let (port, number) = unsafe { ((*context.sock_addr).user_port, (*context.sock_addr).protocol) };
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is always zero")]
    let port = u16::from_be(port as u16);
    if !Ports.contains(port) {
        return ALLOW;
    }
    // The kernel takes an unspecified destination for loopback.
    if destination.is_loopback() || destination.is_unspecified() {
        return ALLOW;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    let number = match number {
        MPTCP => protocol::TCP,
        number @ 0..=255 => number as u8,
        _ => return ALLOW,
    };
    if !matches!(
        number,
        protocol::TCP | protocol::UDP | protocol::DCCP | protocol::SCTP | protocol::UDP_LITE
    ) {
        // A ping or raw socket: what it sends as a port is none. Its packets are judged.
        return ALLOW;
    }
    if matches!(hook, Hook::Connect) && matches!(number, protocol::UDP | protocol::UDP_LITE) {
        // It sends nothing. The C library connects a UDP socket to every address of a name, to sort them (RFC 6724):
        // refusing that would report denials of harmless lookups. What is sent later is judged as a packet, and the
        // sender gets EPERM from there.
        note(context);
        return ALLOW;
    }
    // What is paid for every datagram of a socket that is not connected. One to be told of takes the long way.
    if matches!(hook, Hook::Sendmsg) && number == protocol::UDP && datagram_passes_at_once(destination, &Maps)
    {
        let flow = note_again(context);
        // SAFETY: not null, and alive during the call.
        if !flow.is_null() && unsafe { (*flow).has_told(destination, port) } {
            return ALLOW;
        }
    }
    let judgement = judge_destination(destination, number, &Maps);
    let Verdict::Denied(reason) = judgement.verdict else {
        let flow = note(context);
        if allowed::is_news(hook, number, judgement.grant, flow, destination, port) {
            let [high, low] = destination.mapped();
            let what = allowed::call(hook, number, port, judgement.grant);
            allowed::enforcer_allow_call(what, high, low);
        }
        return ALLOW;
    };
    let audit = judgement.settings.audit();
    let what = u64::from(reason as u8)
        | (hook as u64) << 8
        | u64::from(number) << 16
        | u64::from(audit) << 24
        | u64::from(port) << 32;
    let [high, low] = destination.mapped();
    enforcer_tell_call(context.sock_addr, what, high, low, judgement.generation.0);
    if audit { ALLOW } else { REFUSE }
}

/// Counts and tells of a denied call.
///
/// A function of its own, global, with numbers in and out: the verifier walks through it once by itself, and not once for
/// each reason on each path.
#[unsafe(no_mangle)]
#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "the parts of the word")]
pub(crate) extern "C" fn enforcer_tell_call(
    context: *mut bpf_sock_addr,
    what: u64,
    high: u64,
    low: u64,
    generation: u64,
) -> u32 {
    let audit = what >> 24 & 1 != 0;
    let port = (what >> 32) as u16;
    let destination = Address::V6(high, low).canonical();
    if audit {
        let flow = note(&SockAddrContext::new(context));
        // SAFETY: not null, and alive during the call. Another thread that uses the same socket may be telling as well,
        // which costs an event.
        if !flow.is_null() && !unsafe { (*flow).is_news(Generation(generation), destination, port) } {
            return 0;
        }
    }
    tell(&Denial {
        reason: what as u8,
        hook: (what >> 8) as u8,
        audit,
        protocol: (what >> 16) as u8,
        source: Address::default(),
        source_port: 0,
        destination,
        destination_port: port,
        // SAFETY: the helper has no preconditions.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        cookie: 0,
        rule: 0,
        pid: process(),
        comm: bpf_get_current_comm().unwrap_or_default(),
        flow: core::ptr::null(),
    });
    1
}

/// The process (thread group) that calls: the upper 32 bits.
#[inline(always)]
fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// As [`note`], for less where the same process has used the socket before. Its name is then that of the first time.
#[inline(always)]
fn note_again(context: &SockAddrContext) -> *mut Flow {
    // SAFETY: as in `note`.
    let stored = unsafe { FLOWS.get_ptr_mut(context) };
    // SAFETY: not null, and alive during the call.
    if stored.is_null() || unsafe { (*stored).pid } != process() {
        return note(context);
    }
    stored
}

/// Keeps with the socket who uses it, and gives what is kept. Null without memory for it: then events about the socket's
/// packets name nobody, and a connection that needs a server name is denied.
#[inline(always)]
fn note(context: &SockAddrContext) -> *mut Flow {
    // SAFETY: the socket of the context is alive during the call; the map gives null or a value that lives as long.
    let stored = unsafe { FLOWS.get_or_insert_ptr_mut(context, None) };
    if !stored.is_null() {
        // SAFETY: not null. The value may be older than this call: a socket can be connected again, by somebody else.
        unsafe { (*stored).connect(process(), bpf_get_current_comm().unwrap_or_default()) };
    }
    stored
}
