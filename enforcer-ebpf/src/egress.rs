//! Every packet that a socket below the cgroup sends: the authority.

use aya_ebpf::bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_sk_storage_get, bpf_skb_cgroup_id};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::Reason;
use enforcer_common::abi::{Hook, Owner};
use enforcer_common::packet::{self, Family};
use enforcer_common::verdict::{Judgement, Transport, Verdict, deny, judge_packet};

use crate::maps::{OWNERS, Ports};
use crate::report::{Denial, tell};
use crate::skb::Skb;
use crate::tables::Maps;

const PASS: i32 = 1;
const DROP: i32 = 0;

/// `ETH_P_IP` and `ETH_P_IPV6` (Linux `include/uapi/linux/if_ether.h`), in the network order of `__sk_buff::protocol`.
const IPV4: u32 = (0x0800_u16).to_be() as u32;
const IPV6: u32 = (0x86dd_u16).to_be() as u32;

#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_egress(context: SkBuffContext) -> i32 {
    let context = context.skb.skb;
    // SAFETY: the context is valid for the program's run.
    let (family, (judgement, told)) = match unsafe { (*context).protocol } {
        IPV4 => (
            Some(Family::V4),
            judge_packet(&Skb { context }, Family::V4, &Ports, &Maps),
        ),
        IPV6 => (
            Some(Family::V6),
            judge_packet(&Skb { context }, Family::V6, &Ports, &Maps),
        ),
        _ => (None, (deny(Reason::NotIp, &Maps), Transport::default())),
    };
    match judgement.verdict {
        Verdict::Ignored | Verdict::Granted(_) => PASS,
        Verdict::Denied(reason) => on_denial(context, family, &judgement, reason, told),
    }
}

#[inline(always)]
fn on_denial(
    context: *mut __sk_buff,
    family: Option<Family>,
    judgement: &Judgement,
    reason: Reason,
    told: Transport,
) -> i32 {
    let audit = judgement.settings.audit();
    let outcome = if audit { PASS } else { DROP };
    // SAFETY: the context is valid for the program's run; a null socket is handled.
    let owner = unsafe { owner_of((*context).__bindgen_anon_2.sk, audit) };
    let (mut pid, mut comm) = (0, [0; 16]);
    if !owner.is_null() {
        // SAFETY: not null, and alive as long as the socket, which the packet holds.
        let owner = unsafe { &mut *owner };
        if audit && !owner.is_untold(judgement.generation) {
            return outcome;
        }
        (pid, comm) = (owner.pid, owner.comm);
    }
    // Read once more, so that a packet which passes does not pay for what only a denial tells.
    let (source, destination) = family
        .and_then(|family| packet::addresses(&Skb { context }, family))
        .unwrap_or_default();
    tell(&Denial {
        reason,
        hook: Hook::Egress,
        audit,
        protocol: told.protocol,
        source,
        source_port: told.ports.source,
        destination,
        destination_port: told.ports.destination,
        // SAFETY: the helper takes the context of this program.
        cgroup: unsafe { bpf_skb_cgroup_id(context) },
        pid,
        comm,
    });
    outcome
}

/// Who connected the socket. Nobody, or null, for a raw socket, and for one that was connected before the programs were
/// attached; with `remember` such a socket gets a place where audit mode notes what it has told.
///
/// # Safety
/// `socket` is the `sk` field of a valid context.
#[inline(always)]
unsafe fn owner_of(socket: *mut bpf_sock, remember: bool) -> *mut Owner {
    if socket.is_null() {
        return core::ptr::null_mut();
    }
    // SAFETY: not null, as the helper asks.
    let full = unsafe { bpf_sk_fullsock(socket) };
    if full.is_null() {
        return core::ptr::null_mut();
    }
    let map = (&raw const OWNERS).cast_mut().cast();
    let flags = if remember {
        u64::from(BPF_SK_STORAGE_GET_F_CREATE)
    } else {
        0
    };
    // SAFETY: the map is a socket storage and `full` a full socket; without a first value it is all zero.
    unsafe { bpf_sk_storage_get(map, full.cast(), core::ptr::null_mut(), flags) }.cast()
}
