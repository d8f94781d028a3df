//! Section 4: the addresses of one name change in a policy of many entries.
//!
//! The clock runs from when the new addresses are known until a packet to one of them passes the program, which is tried
//! (`BPF_PROG_TEST_RUN`): what that takes is part of the figure, and shown as well. `path` is the way that the daemon
//! goes with an answer.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::{Result, ensure};
use enforcer::config::RuleId;
use enforcer::endpoints::Condition;
use enforcer::policy::table::Grant;
use ipnet::IpNet;

use crate::policy::Policy;
use crate::prefixes::Prefixes;
use crate::report::{Figure, Report, Unit};
use crate::sizes::Sizes;
use crate::statistics::nanoseconds;
use crate::targets::ENFORCER;

mod path;

const SECTION: u8 = 4;
/// Addresses of the name that changes.
const ADDRESSES: usize = 8;
/// Any number: the same changes each time.
const SEED: u64 = 4;

/// Adds the figures.
///
/// # Errors
/// When a change does not come into force.
pub(crate) fn run(report: &mut Report, sizes: &Sizes) -> Result<()> {
    report.note(format!(
        "one name changes: all of its {ADDRESSES} addresses, each time; the time includes one run of the program by which the \
         change is seen"
    ));
    for &entries in &sizes.entries {
        of_size(report, entries, sizes.changes)?;
        path::of_size(report, entries, sizes.changes)?;
    }
    Ok(())
}

fn of_size(report: &mut Report, entries: u32, changes: usize) -> Result<()> {
    let mut policy = Policy::load()?;
    let prefixes = Prefixes::new(entries, SEED);
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut current = name(&prefixes, &mut random);
    let mut grants = prefixes.grants();
    grants.extend(&current);
    policy.replace(&grants)?;

    let figure = |what| Figure::new(SECTION, what, ENFORCER, Some(entries.into()), Unit::Nanoseconds);
    let (mut change, mut trial) = (figure("one name changes"), figure("of which the trial"));
    // One more, since what comes first is cold.
    for at in 0..=changes {
        let next = name(&prefixes, &mut random);
        let (new, old) = (address(&next), address(&current));
        ensure!(!policy.passes(new)?, "{new} passes before it is granted");
        let begin = Instant::now();
        policy.exchange(&current, &next)?;
        let tried = Instant::now();
        ensure!(policy.passes(new)?, "{new} is granted and the kernel drops it");
        let end = Instant::now();
        ensure!(
            !policy.passes(old)?,
            "{old} is no longer granted and still passes"
        );
        if at > 0 {
            change.samples.push(nanoseconds(end - begin));
            trial.samples.push(nanoseconds(end - tried));
        }
        current = next;
    }
    report.add(change);
    report.add(trial);
    Ok(())
}

/// Addresses of a name, none of them in a prefix.
fn name(prefixes: &Prefixes, random: &mut fastrand::Rng) -> Vec<Grant> {
    let mut grants = Vec::with_capacity(ADDRESSES);
    while grants.len() < ADDRESSES {
        let address = Ipv4Addr::from_bits(random.u32(0x0100_0000..0xdfff_ffff));
        if !prefixes.contains(address) && !address.is_loopback() {
            grants.push(Grant {
                net: IpNet::from(std::net::IpAddr::V4(address)),
                rule: RuleId(1),
                condition: Condition::Unconditional,
            });
        }
    }
    grants
}

/// The last of the addresses: what is written last is seen last.
fn address(grants: &[Grant]) -> Ipv4Addr {
    match grants.last().map(|grant| grant.net.addr()) {
        Some(std::net::IpAddr::V4(address)) => address,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}
