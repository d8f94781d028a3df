//! Lookups in the kernel while policies change as fast as they can: no lookup may see a mixture of two policies.
//!
//! The policy is large, and each publication exchanges a few of its grants. One address of each family is granted in every
//! policy, in a block whose run of intervals is another one each time: other addresses, at other positions, where other
//! blocks had theirs a moment before. One beside it is never granted. A lookup that mixed two policies would miss the
//! first or find the second.
//!
//! That this would be seen is shown with a writer that breaks the protocol: [`hammer_and_break`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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
/// Times that every address is looked for before and after the protocol is broken: the first may have begun before.
const ROUNDS: u64 = 3;
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
    table.fill(&granted(force, 0), &[])?;
    enforcement.try_publish(&table, Settings::default())?;
    let reader = Reader::of(enforcement)?;
    reader.look_up_while(|is_over| change(enforcement, &mut table, force, is_over))
}

/// As [`hammer`], and then `breaks` writes what the protocol does not allow. Lookups go on for a few rounds, so
/// that they are certain to meet what it wrote, whoever has the processor when.
///
/// # Errors
/// What is to be expected: a lookup saw a policy that never was.
pub fn hammer_and_break(
    enforcement: &mut Enforcement,
    force: Force,
    breaks: impl FnOnce(&Enforcement) -> Result<()>,
) -> Result<Hammered> {
    let mut table = Table::new(Capacity::default());
    table.fill(&granted(force, 0), &[])?;
    enforcement.try_publish(&table, Settings::default())?;
    let reader = Reader::of(enforcement)?;
    reader.look_up_while(|is_over| {
        change(enforcement, &mut table, force, is_over)?;
        // What was wrong before would be taken for what is broken now.
        reader.wait(ROUNDS, is_over);
        ensure!(!is_over(), "lookups ended before anything was broken");
        breaks(enforcement)?;
        reader.wait(ROUNDS, is_over);
        Ok(())
    })
}

/// Publishes one change after the other.
fn change(
    enforcement: &mut Enforcement,
    table: &mut Table,
    force: Force,
    is_over: &dyn Fn() -> bool,
) -> Result<()> {
    for step in 0..force.publications {
        table.exchange(&moving(step), &moving(step + 1))?;
        enforcement.try_publish(table, Settings::default())?;
        if is_over() {
            break;
        }
    }
    Ok(())
}

/// Looks up in the kernel.
struct Reader {
    probe: Probe,
    counters: CounterReader,
    /// How often every address has been looked for.
    rounds: AtomicU64,
}

impl Reader {
    fn of(enforcement: &mut Enforcement) -> Result<Self> {
        Ok(Self {
            probe: enforcement.probe()?,
            counters: enforcement.counter_reader(),
            rounds: AtomicU64::new(0),
        })
    }

    /// Waits until every address has been looked for so many times more, or nothing is looked for any more.
    fn wait(&self, rounds: u64, is_over: &dyn Fn() -> bool) {
        let end = self.rounds.load(Ordering::Relaxed) + rounds;
        while self.rounds.load(Ordering::Relaxed) < end && !is_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn look_up(&self, done: &AtomicBool) -> Result<Hammered> {
        let frames = [
            (packets::tcp4(v4(0, 0x8001), 443).frame(), true),
            (packets::tcp4(v4(0, 0x8003), 443).frame(), false),
            (packets::tcp6(v6(0, 0x8001), 443).frame(), true),
            (packets::tcp6(v6(0, 0x8003), 443).frame(), false),
        ];
        let mut hammered = Hammered::default();
        while !done.load(Ordering::Relaxed) {
            for (frame, is_granted) in &frames {
                let before = self.counters.read()?;
                self.probe.repeat(frame, RUNS)?;
                let after = self.counters.read()?;
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
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
        Ok(hammered)
    }

    /// Looks up in a thread of its own until `write` ends, which is told when there is nothing more to see.
    fn look_up_while(
        &self,
        write: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<()>,
    ) -> Result<Hammered> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let seen = self.look_up(&done);
                done.store(true, Ordering::Relaxed);
                seen
            });
            let written = write(&|| done.load(Ordering::Relaxed));
            done.store(true, Ordering::Relaxed);
            let seen = reader.join();
            let seen = seen.unwrap_or_else(|_| Err(anyhow::anyhow!("the reader panicked")));
            written.and(seen)
        })
    }
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

/// What is granted after `step` changes.
fn granted(force: Force, step: u32) -> Vec<Grant> {
    let mut grants = moving(step);
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
