//! `connect` and `sendmsg`: the same verdict as for packets, given to the caller at once as EPERM.
//!
//! These hooks answer; they are not the authority. A routing header or a raw socket makes the packet go elsewhere than
//! the call said, which [`crate::egress`] sees. They also note who owns the socket, for the events about its packets.

use aya_ebpf::helpers::generated::bpf_get_current_cgroup_id;
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::abi::{Hook, Owner};
use enforcer_common::packet::{Address, protocol};
use enforcer_common::verdict::{FilteredPorts as _, Verdict, judge_destination};

use crate::maps::{OWNERS, Ports};
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
    // SAFETY: the helper has no preconditions.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    // The upper 32 bits are the process.
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let comm = bpf_get_current_comm().unwrap_or_default();
    if matches!(hook, Hook::Connect) && matches!(number, protocol::UDP | protocol::UDP_LITE) {
        // It sends nothing. The C library connects a UDP socket to every address of a name, to sort them (RFC 6724):
        // refusing that would report denials of harmless lookups. What is sent later is judged as a packet, and the
        // sender gets EPERM from there.
        note(context, pid, comm);
        return ALLOW;
    }
    let judgement = judge_destination(destination, number, &Maps);
    let Verdict::Denied(reason) = judgement.verdict else {
        note(context, pid, comm);
        return ALLOW;
    };
    let audit = judgement.settings.audit();
    if audit {
        let owner = note(context, pid, comm);
        // SAFETY: not null, and alive during the call. Another thread that uses the same socket may be telling as well,
        // which costs an event.
        if !owner.is_null() && !unsafe { (*owner).is_news(judgement.generation, destination, port) } {
            return ALLOW;
        }
    }
    tell(&Denial {
        reason,
        hook,
        audit,
        protocol: number,
        source: Address::default(),
        source_port: 0,
        destination,
        destination_port: port,
        cgroup,
        pid,
        comm,
    });
    if audit { ALLOW } else { REFUSE }
}

/// Keeps with the socket who uses it, and gives what is kept. Null without memory for it: then events about the socket's
/// packets name nobody.
#[inline(always)]
fn note(context: &SockAddrContext, pid: u32, comm: [u8; 16]) -> *mut Owner {
    let mut owner = Owner {
        pid,
        comm,
        ..Owner::default()
    };
    // SAFETY: the socket of the context is alive during the call; the map gives null or a value that lives as long.
    let stored = unsafe { OWNERS.get_or_insert_ptr_mut(context, Some(&mut owner)) };
    if !stored.is_null() {
        // SAFETY: not null. The value may be older than this call: a socket can be connected again by somebody else.
        unsafe {
            (*stored).pid = pid;
            (*stored).comm = comm;
        }
    }
    stored
}
