//! The vectors, through the kernel's test run.

use anyhow::Result;
use enforcer::kernel::{Enforcement, Settings};
use enforcer_common::Reason;

use super::{Line, tell};
use crate::packets::Packet;
use crate::vectors::{Expected, policy, vectors};

/// Runs every vector and tells those that did not get their verdict.
pub(super) fn run(enforcement: &mut Enforcement) -> Result<()> {
    enforcement.publish(&policy()?, Settings::default());
    let vectors = vectors();
    let mut good = 0;
    for vector in &vectors {
        let expected = match vector.expected {
            Expected::Denied(reason) => Some(reason),
            Expected::Ignored | Expected::Granted(_) => None,
        };
        match denied_for(enforcement, &vector.packet) {
            Ok(found) if found == expected => good += 1,
            Ok(found) => tell(&Line::Failed(&format!(
                "vector `{}`: denied for {found:?}, not for {expected:?}",
                vector.name
            ))),
            Err(error) => tell(&Line::Failed(&format!("vector `{}`: {error:#}", vector.name))),
        }
    }
    tell(&Line::Vectors(good, vectors.len()));
    Ok(())
}

/// The reason for which a packet is dropped and counted; none when it passes.
fn denied_for(enforcement: &mut Enforcement, packet: &Packet) -> Result<Option<Reason>> {
    let before = enforcement.counters()?;
    let passed = enforcement.probe()?.passes(&packet.frame())?;
    let after = enforcement.counters()?;
    let reason = Reason::ALL
        .iter()
        .copied()
        .find(|&reason| after.get(reason).denied > before.get(reason).denied);
    anyhow::ensure!(
        passed == reason.is_none(),
        "passed: {passed}, and what was counted is {reason:?}"
    );
    Ok(reason)
}
