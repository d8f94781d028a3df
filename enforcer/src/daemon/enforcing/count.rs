//! How much two lists of ranges differ.

use std::net::IpAddr;

use crate::policy::table::Range;

/// How many spans of addresses are in `ranges` and not in `others`. Both are ascending and disjoint; whose they are does
/// not matter.
pub(super) fn spans_beyond(ranges: &[Range], others: &[Range]) -> usize {
    let mut others = others.iter().peekable();
    let mut count = 0;
    for range in ranges {
        // What is left of this range begins here.
        let mut first = Some(range.first);
        while let (Some(at), Some(other)) = (first, others.peek()) {
            if other.last < at {
                others.next();
                continue;
            }
            if other.first > range.last {
                break;
            }
            count += usize::from(at < other.first);
            first = after(other.last).filter(|next| *next <= range.last);
            if first.is_some() {
                others.next();
            }
        }
        count += usize::from(first.is_some());
    }
    count
}

/// The next address of the same family.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => address
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuleId;
    use crate::endpoints::Condition;

    fn ranges(texts: &[&str]) -> Vec<Range> {
        let range = |text: &&str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Range {
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
                rule: RuleId(1),
                condition: Condition::Unconditional,
            }
        };
        texts.iter().map(range).collect()
    }

    #[test]
    fn what_only_one_side_has_is_counted_by_address() {
        let table: [(&[&str], &[&str], usize); 9] = [
            (&[], &["192.0.2.1"], 0),
            (&["192.0.2.1"], &[], 1),
            (&["192.0.2.1"], &["192.0.2.1"], 0),
            // A neighbour came: what is new is one address.
            (&["192.0.2.1-192.0.2.2"], &["192.0.2.1"], 1),
            (&["192.0.2.1-192.0.2.3"], &["192.0.2.2"], 2),
            (&["192.0.2.2"], &["192.0.2.1-192.0.2.3"], 0),
            (
                &["192.0.2.1", "192.0.2.3", "192.0.2.9"],
                &["192.0.2.1-192.0.2.3"],
                1,
            ),
            (&["192.0.2.255", "2001:db8::1"], &["0.0.0.0-255.255.255.255"], 1),
            (
                &["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
                &["2001:db8::1"],
                2,
            ),
        ];
        for (one, other, expect) in table {
            assert_eq!(
                spans_beyond(&ranges(one), &ranges(other)),
                expect,
                "{one:?} {other:?}"
            );
        }
    }
}
