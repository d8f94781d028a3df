//! Lookups in the kernel while policies change as fast as they can: no lookup may see a mixture of two policies.
//!
//! The policy is large, and each publication exchanges a few of its grants. One address of each family is granted in every
//! policy, in a block whose run of intervals is another one each time: other addresses, at other positions, where other
//! blocks had theirs a moment before. One beside it is never granted. A lookup that mixed two policies would miss the
//! first or find the second.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use enforcer::config::{Capacity, RuleId};
use enforcer::endpoints::Condition;
use enforcer::kernel::{CounterReader, Enforcement, Probe, Settings};
use enforcer::policy::table::{Grant, Table};
use enforcer_common::Reason;
use ipnet::IpNet;

use crate::packets;

/// Lookups of one address in a row.
const RUNS: u32 = 20_000;
/// The blocks that change, of each family: `10.0`, `10.1`, ...
const MOVING: u16 = 3;

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Force {
    /// Policies that are published.
    pub publications: u32,
    /// Grants in blocks that never change.
    pub others: u32,
    /// Grants in each block that changes.
    pub own: u16,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hammered {
    /// Lookups.
    pub lookups: u64,
    /// Those that met a change each time they tried, and denied.
    pub gave_up: u64,
}

/// Hammers at programs that are loaded.
///
/// # Errors
/// A lookup saw a policy that never was.
pub fn hammer(enforcement: &mut Enforcement, force: Force) -> Result<Hammered> {
    let mut table = Table::new(Capacity::default());
    table.fill(&first(force), &[])?;
    enforcement.publish(&table, Settings::default());
    let probe = enforcement.probe()?;
    let counters = enforcement.counter_reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| look_up(&probe, &counters, &done));
        for step in 0..force.publications {
            if let Err(error) = table.exchange(&moving(step), &moving(step + 1)) {
                done.store(true, Ordering::Relaxed);
                return Err(error.into());
            }
            enforcement.publish(&table, Settings::default());
            if reader.is_finished() {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        reader
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the reader panicked")))
    })
}

fn look_up(probe: &Probe, counters: &CounterReader, done: &AtomicBool) -> Result<Hammered> {
    let frames = [
        (packets::tcp4(v4(0, 0x8001), 443).frame(), true),
        (packets::tcp4(v4(0, 0x8003), 443).frame(), false),
        (packets::tcp6(v6(0, 0x8001), 443).frame(), true),
        (packets::tcp6(v6(0, 0x8003), 443).frame(), false),
    ];
    let mut hammered = Hammered::default();
    while !done.load(Ordering::Relaxed) {
        for (frame, is_granted) in &frames {
            let before = counters.read()?;
            probe.repeat(frame, RUNS)?;
            let after = counters.read()?;
            let counted = |reason| after.get(reason).denied - before.get(reason).denied;
            let (denied, gave_up) = (
                counted(Reason::AddressNotGranted),
                counted(Reason::PolicyChanging),
            );
            ensure!(
                after.denied() - before.denied() == denied + gave_up,
                "a lookup was denied for another reason"
            );
            let expected = if *is_granted { 0 } else { u64::from(RUNS) - gave_up };
            ensure!(
                denied == expected,
                "lookups saw a policy that never was: {denied} of {RUNS} denied, not {expected}"
            );
            hammered.lookups += u64::from(RUNS);
            hammered.gave_up += gave_up;
        }
    }
    Ok(hammered)
}

fn v4(block: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | u32::from(block) << 16 | u32::from(low))
}

fn v6(block: u16, low: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001 + block, 0xdb8, 0, 0, 0, 0, 0, low)
}

fn grant(address: impl Into<IpAddr>, rule: u32) -> Grant {
    Grant {
        net: IpNet::from(address.into()),
        rule: RuleId(rule),
        condition: Condition::Unconditional,
    }
}

/// What is granted before the first change.
fn first(force: Force) -> Vec<Grant> {
    let mut grants = moving(0);
    // Far from each other, in blocks from 16.0 on.
    grants.extend((0..force.others).map(|at| grant(Ipv4Addr::from_bits(0x1000_0000 + at * 37 * 16), 1)));
    for block in 0..MOVING {
        for at in 0..force.own {
            grants.push(grant(v4(block, at * 8), 2));
            grants.push(grant(v6(block, at * 8), 2));
        }
        grants.push(grant(v4(block, 0x8001), 1));
        grants.push(grant(v6(block, 0x8001), 1));
    }
    grants
}

/// What is there after `step` changes and goes with the next: in each block another number of addresses, so that one
/// grows where the other shrinks.
fn moving(step: u32) -> Vec<Grant> {
    let mut grants = Vec::new();
    for block in 0..MOVING {
        let count = 4 + 16 * ((step + u32::from(block)) % u32::from(MOVING));
        for at in 0..u16::try_from(count).unwrap_or_default() {
            // Also behind the address that is looked for.
            let low = (at * 1024).wrapping_add(4);
            grants.push(grant(v4(block, low), 3 + step % 2));
            grants.push(grant(v6(block, low), 3 + step % 2));
        }
    }
    grants
}
