//! Stands for what egress goes on with, until that is loaded.

use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;

use crate::egress::DROP;

/// Holds back what can not be judged yet, without a word: TCP sends it again, and by then it is judged. It is in the place of
/// the first of the programs for the time that the kernel takes to verify them, and only where a policy is enforced.
#[cgroup_skb(egress)]
pub(crate) fn enforcer_hold(_program: SkBuffContext) -> i32 {
    DROP
}
