//! The least that a program can do: what the enforcer is held against where a target is out of reach.
//!
//! Each has the shape of a packet that the enforcer knows at once, and nothing of what makes a verdict one: no packet of any
//! other shape is judged, the port is part of the code, no segment is looked into, no condition asked for, and a policy
//! that changes meanwhile goes unnoticed.

use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::bytes::Bytes as _;

use crate::{DROP, PASS, keys, skb};

/// The filtered port.
const PORT: u32 = 443;

/// Whether it is to the port.
#[cgroup_skb(egress)]
fn bench_floor_port(program: SkBuffContext) -> i32 {
    if destination(&program).is_none() {
        PASS
    } else {
        DROP
    }
}

/// Whether its destination is granted.
#[cgroup_skb(egress)]
fn bench_floor_granted(program: SkBuffContext) -> i32 {
    match destination(&program) {
        Some(destination) => search(destination),
        None => PASS,
    }
}

/// As above, for the next of the list.
#[cgroup_skb(egress)]
fn bench_floor_granted_random(program: SkBuffContext) -> i32 {
    match destination(&program) {
        Some(_) => search(keys::next()),
        None => PASS,
    }
}

/// Where a packet to the port goes.
#[inline(always)]
fn destination(program: &SkBuffContext) -> Option<u32> {
    /// `ETH_P_IP` (Linux `include/uapi/linux/if_ether.h`), in network order.
    const IPV4: u32 = (0x0800_u16).to_be() as u32;
    let skb = skb(program);
    // SAFETY: the context is valid for the program's run.
    if unsafe { (*skb.context).protocol } != IPV4 {
        return None;
    }
    let [start, fragment, _, _, destination, ports] = skb.near()?;
    if start >> 24 != 0x45 || fragment & 0x3fff != 0 || ports & 0xffff != PORT {
        return None;
    }
    Some(destination)
}

/// One read of the policy, one of the index, and the intervals of one block.
#[inline(always)]
fn search(destination: u32) -> i32 {
    if enforcer_ebpf::find_address(destination).is_granted() {
        PASS
    } else {
        DROP
    }
}
