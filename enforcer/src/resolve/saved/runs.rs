//! Addresses as they are written: those with the same times together, which is most of an answer.
//!
//! `[30000,null,"198.51.100.1 198.51.100.2"]`: what is left of the TTL, of the grace period, and the addresses.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serializer};

use super::SavedAddress;

type Times = (u64, Option<u64>);

fn times(saved: &SavedAddress) -> Times {
    (saved.ttl_left_ms, saved.grace_left_ms)
}

pub(super) fn serialize<S: Serializer>(addresses: &[SavedAddress], serializer: S) -> Result<S::Ok, S::Error> {
    let runs = addresses.chunk_by(|one, next| times(one) == times(next));
    serializer.collect_seq(runs.map(|run| {
        let mut text = String::new();
        for saved in run {
            let space = if text.is_empty() { "" } else { " " };
            // Writing into a String can not fail.
            let _ = write!(text, "{space}{}", saved.address);
        }
        (run[0].ttl_left_ms, run[0].grace_left_ms, text)
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SavedAddress>, D::Error> {
    let runs = Vec::<(u64, Option<u64>, String)>::deserialize(deserializer)?;
    let mut addresses = Vec::new();
    for (ttl_left_ms, grace_left_ms, text) in runs {
        for word in text.split(' ') {
            let address: IpAddr = word.parse().map_err(serde::de::Error::custom)?;
            addresses.push(SavedAddress {
                address,
                ttl_left_ms,
                grace_left_ms,
            });
        }
    }
    Ok(addresses)
}
