//! Overlapping grants to disjoint segments, in one sweep over the sorted starts.

use crate::config::RuleId;
use crate::endpoints::Condition;

/// An address as a number: `u32` or `u128`.
pub(super) trait Number: Copy + Ord {
    /// The next address; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before; `None` before the first.
    fn previous(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// What lies behind an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Held {
    /// The rule that speaks for it.
    pub(super) rule: RuleId,
    pub(super) condition: Condition,
}

/// Granted addresses, both ends inclusive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segment<N> {
    pub(super) first: N,
    pub(super) last: N,
    pub(super) grant: Held,
}

/// What holds for an address that both cover. The order in which many are joined does not matter.
fn joined(a: Held, b: Held) -> Held {
    match (a.condition, b.condition) {
        (Condition::Unconditional, Condition::NameIn(_)) => a,
        (Condition::NameIn(_), Condition::Unconditional) => b,
        _ => Held {
            rule: a.rule.min(b.rule),
            condition: a.condition.or(b.condition),
        },
    }
}

/// Makes segments that come from prefixes disjoint and ascending, and joins neighbours with the same grant.
///
/// Two prefixes are disjoint or one contains the other, so the prefixes around an address form a stack.
pub(super) fn disjoint<N: Number>(mut nested: Vec<Segment<N>>) -> Vec<Segment<N>> {
    // Ascending; of those that start together the widest first, so that a container comes before what it contains.
    nested.sort_unstable_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
    let mut out: Vec<Segment<N>> = Vec::with_capacity(nested.len());
    // Open segments, outermost first; each grant is that of itself and all around it, joined.
    let mut open: Vec<Segment<N>> = Vec::new();
    // Where the part of the innermost open segment starts that has not been put out.
    let mut from: Option<N> = None;
    for segment in nested {
        close(&mut open, &mut from, Some(segment.first), &mut out);
        let grant = match open.last() {
            Some(around) => {
                if let (Some(start), Some(last)) = (from, segment.first.previous())
                    && start <= last
                {
                    put(
                        &mut out,
                        Segment {
                            first: start,
                            last,
                            grant: around.grant,
                        },
                    );
                }
                joined(around.grant, segment.grant)
            }
            None => segment.grant,
        };
        from = Some(segment.first);
        open.push(Segment { grant, ..segment });
    }
    close(&mut open, &mut from, None, &mut out);
    out
}

/// Puts out the rest of every open segment that ends before `next`.
fn close<N: Number>(
    open: &mut Vec<Segment<N>>,
    from: &mut Option<N>,
    next: Option<N>,
    out: &mut Vec<Segment<N>>,
) {
    while let Some(innermost) = open.last().copied() {
        if next.is_some_and(|next| innermost.last >= next) {
            break;
        }
        if let Some(start) = *from
            && start <= innermost.last
        {
            put(
                out,
                Segment {
                    first: start,
                    ..innermost
                },
            );
        }
        // Without an address behind it, nothing of what is around can be left either.
        *from = innermost.last.next();
        open.pop();
    }
}

fn put<N: Number>(out: &mut Vec<Segment<N>>, segment: Segment<N>) {
    if let Some(before) = out.last_mut()
        && before.grant == segment.grant
        && before.last.next() == Some(segment.first)
    {
        before.last = segment.last;
        return;
    }
    out.push(segment);
}
