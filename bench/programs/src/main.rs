//! The kernel programs that the enforcer is measured beside, and the enforcer itself under random keys.
//!
//! A test run repeats one packet. What comes out of a map then lies in the nearest cache, and a trie looks many times better
//! than it is. So the programs for random keys take the destination from a list, the next entry at every run, and put it in
//! the place of the packet's ([`redirected`]); everything else is the very code that judges packets. The list is long, in
//! random order, and read from its start to its end, which the processor foresees: what is measured is the look-up and not
//! the list. `bench_next` does that much and no more, and is what the others are compared with. What the least would be that
//! a program can do is in [`floors`], with all that the enforcer owes in [`whole`], and for the check of a server name in
//! [`hellos`].

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod floors;
mod hellos;
mod keys;
mod redirected;
mod whole;

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::macros::{cgroup_skb, map};
use aya_ebpf::maps::{HashMap, LpmTrie, lpm_trie};
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::at_once::AtOnce;
use enforcer_common::bytes::Bytes;
use enforcer_common::packet::{Address, Family, Packet, parse};
use enforcer_common::verdict::FilteredPorts as _;
use enforcer_ebpf::egress;
use enforcer_ebpf::maps::Ports;
use enforcer_ebpf::skb::Skb;

use crate::redirected::{Redirected, RedirectedV6};

const PASS: i32 = egress::PASS;
const DROP: i32 = 0;

/// Most prefixes that are compared.
const PREFIXES_MAX: u32 = 1 << 17;

/// Granted addresses, in network order.
#[map]
static HASH: HashMap<u32, u32> = HashMap::with_max_entries(PREFIXES_MAX, 0);
/// Granted prefixes, in network order.
#[map]
static TRIE: LpmTrie<u32, u32> = LpmTrie::with_max_entries(PREFIXES_MAX, 0);

#[cgroup_skb(egress)]
fn bench_empty(_program: SkBuffContext) -> i32 {
    PASS
}

#[cgroup_skb(egress)]
fn bench_hash(program: SkBuffContext) -> i32 {
    in_hash(&skb(&program))
}

#[cgroup_skb(egress)]
fn bench_trie(program: SkBuffContext) -> i32 {
    in_trie(&skb(&program))
}

#[cgroup_skb(egress)]
fn bench_next(_program: SkBuffContext) -> i32 {
    // No key is zero, which the compiler does not know.
    if keys::next() == 0 { DROP } else { PASS }
}

#[cgroup_skb(egress)]
fn bench_next_v6(_program: SkBuffContext) -> i32 {
    let [high, low] = keys::next_v6();
    if high | low == 0 { DROP } else { PASS }
}

#[cgroup_skb(egress)]
fn bench_hash_random(program: SkBuffContext) -> i32 {
    in_hash(&Redirected::new(skb(&program), keys::next()))
}

#[cgroup_skb(egress)]
fn bench_trie_random(program: SkBuffContext) -> i32 {
    in_trie(&Redirected::new(skb(&program), keys::next()))
}

#[cgroup_skb(egress)]
fn bench_enforcer_random(program: SkBuffContext) -> i32 {
    let bytes = Redirected::new(skb(&program), keys::next());
    in_enforcer(&bytes, context(&program), Family::V4)
}

#[cgroup_skb(egress)]
fn bench_enforcer_random_v6(program: SkBuffContext) -> i32 {
    let bytes = RedirectedV6::new(skb(&program), keys::next_v6());
    in_enforcer(&bytes, context(&program), Family::V6)
}

/// As [`egress`] does it.
#[inline(always)]
fn in_enforcer<B: Bytes>(bytes: &B, context: *mut __sk_buff, family: Family) -> i32 {
    let mut place = MaybeUninit::uninit();
    let known = match family {
        Family::V4 => egress::known_v4(bytes, &egress::Aside::new(&mut place, &Skb { context })),
        Family::V6 => egress::known_v6(bytes, context),
    };
    if matches!(known, AtOnce::Passes) || egress::judge(bytes, context, family).passes() {
        PASS
    } else {
        DROP
    }
}

#[inline(always)]
fn context(program: &SkBuffContext) -> *mut __sk_buff {
    program.skb.skb
}

#[inline(always)]
fn skb(program: &SkBuffContext) -> Skb {
    Skb {
        context: context(program),
    }
}

/// Where a packet to a filtered port goes, in network order, read by the enforcer's own parser.
#[inline(always)]
fn destination<B: Bytes>(bytes: &B) -> Option<u32> {
    let mut packet = Packet::default();
    parse(bytes, Family::V4, &mut packet).ok()?;
    if !packet.has_ports || !Ports.contains(packet.ports.destination) {
        return None;
    }
    match packet.destination {
        Address::V4(address) => Some(address.to_be()),
        Address::V6(..) => None,
    }
}

#[inline(always)]
fn in_hash<B: Bytes>(bytes: &B) -> i32 {
    match destination(bytes) {
        Some(address) if HASH.get_ptr(address).is_none() => DROP,
        _ => PASS,
    }
}

#[inline(always)]
fn in_trie<B: Bytes>(bytes: &B) -> i32 {
    match destination(bytes) {
        Some(address) if TRIE.get(lpm_trie::Key::new(32, address)).is_none() => DROP,
        _ => PASS,
    }
}

/// What the kernel asks for before it lends its GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The verifier rejects a program in which this could be reached.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
