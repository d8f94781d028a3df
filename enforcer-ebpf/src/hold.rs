//! Egress until what reads server names is loaded.

use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;

use crate::egress::{DROP, egress};
use crate::maps::names;

/// Holds back what only a server name decides, without a word: TCP sends it again, and by then it is judged. All else it
/// judges as [`crate::egress`] does, in whose place it is for the time that the kernel takes to verify that.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn enforcer_hold(program: SkBuffContext) -> i32 {
    egress(program.skb.skb, |_| {
        // Who looks from outside finds the names by the maps of the program that is attached.
        let _ = names();
        DROP
    })
}
