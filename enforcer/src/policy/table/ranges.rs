//! Back from the kernel's layout to ranges of addresses.

use std::net::IpAddr;

use enforcer_common::table::{BLOCKS, GrantWord, Index, IntervalV4, IntervalV6, WHOLE};

use super::family::{Family, Number, V4, V6};
use super::holdings::{Held, held};
use crate::config::RuleId;
use crate::endpoints::Condition;

/// Granted addresses, both ends inclusive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family.
    pub last: IpAddr,
    /// The rule that speaks for them.
    pub rule: RuleId,
    /// What is asked of sessions to them.
    pub condition: Condition,
}

/// Puts ranges behind each other, and joins neighbours with the same grant.
#[derive(Default)]
pub(super) struct RangesBuilder {
    ranges: Vec<Range>,
    /// Where a range begins that goes on with the last one.
    next: Option<IpAddr>,
}

impl RangesBuilder {
    /// One more range. What does not lie behind the one before is left out: only what was read from a kernel can be such.
    pub(super) fn put<F: Family>(&mut self, first: F::Number, last: F::Number, held: Held) {
        let next = last.next().map(Number::address);
        let (first, last) = (first.address(), last.address());
        if first > last {
            return;
        }
        if let Some(before) = self.ranges.last_mut() {
            if first <= before.last {
                return;
            }
            if self.next == Some(first) && (before.rule, before.condition) == (held.rule, held.condition) {
                before.last = last;
                self.next = next;
                return;
            }
        }
        self.next = next;
        self.ranges.push(Range {
            first,
            last,
            rule: held.rule,
            condition: held.condition,
        });
    }

    pub(super) fn finish(self) -> Vec<Range> {
        self.ranges
    }
}

/// What one half of a table grants. Positions that the index names and the arrays do not have are left out, and so is
/// what lies out of order: a table that was read from a running kernel may be of any content.
#[must_use]
pub fn decode(
    index_v4: &[Index],
    intervals_v4: &[IntervalV4],
    index_v6: &[Index],
    intervals_v6: &[IntervalV6],
    conditions: &[u64],
) -> Vec<Range> {
    let mut ranges = RangesBuilder::default();
    put::<V4>(index_v4, intervals_v4, conditions, &mut ranges);
    put::<V6>(index_v6, intervals_v6, conditions, &mut ranges);
    ranges.finish()
}

fn put<F: Family>(
    index: &[Index],
    intervals: &[F::Interval],
    conditions: &[u64],
    ranges: &mut RangesBuilder,
) {
    for (block, entry) in (0_u32..BLOCKS).zip(index) {
        if entry.count == WHOLE {
            let (first, last) = F::block_span(block);
            ranges.put::<F>(first, last, held(GrantWord(entry.first), conditions));
            continue;
        }
        let first = entry.first as usize;
        let run = intervals.get(first..first.saturating_add(entry.count as usize));
        for interval in run.unwrap_or_default() {
            let (first, last, grant) = F::parts(block, interval);
            ranges.put::<F>(first, last, held(grant, conditions));
        }
    }
}
