//! What nobody can do without: addresses in order and copied once, the bytes of a text looked at once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use enforcer::policy::table::Grant;
use enforcer_common::table::BLOCKS;
use ipnet::IpNet;

/// Takes the prefixes out of `grants`, sorts them, and writes as much as a half of the kernel's table takes; how long that
/// took. `half` is where to, and large enough from the second time on.
pub(super) fn of_parsed(grants: &[Grant], half: &mut Vec<u64>) -> Duration {
    let begin = Instant::now();
    let word = |grant: &Grant| match grant.net {
        IpNet::V4(net) => u64::from(net.network().to_bits()) << 32 | u64::from(net.prefix_len()),
        IpNet::V6(_) => u64::MAX,
    };
    let mut words: Vec<u64> = grants.iter().map(word).collect();
    words.sort_unstable();
    half.clear();
    half.extend_from_slice(&words);
    half.resize(words.len() + BLOCKS as usize, 0);
    black_box(half);
    begin.elapsed()
}

/// Counts the strings of `text`; how long that took.
pub(super) fn of_text(text: &str) -> Duration {
    let begin = Instant::now();
    black_box(text.bytes().filter(|byte| *byte == b'"').count());
    begin.elapsed()
}
