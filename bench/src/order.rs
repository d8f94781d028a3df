//! Whose turn it is: an order for each round in which, over as many rounds as there are takers, everybody comes at every
//! place once and right after every other once.
//!
//! Turns that only rotate would not do: the same one would always follow the one whose end costs the machine most, and pay
//! for what that leaves behind (lists that are torn down later, cold caches).

/// Whose turn it is at each place of this round, of `takers`, an even number: a square of Williams, balanced for what the
/// turn before leaves (E. J. Williams, "Experimental designs balanced for the estimation of residual effects of
/// treatments", 1949).
pub(crate) fn order(takers: usize, round: usize) -> impl Iterator<Item = usize> {
    debug_assert!(takers.is_multiple_of(2), "an odd number needs two squares");
    // 0, 1, n - 1, 2, n - 2, ...: all steps from one to the next are different.
    (0..takers).map(move |place| {
        let base = if place % 2 == 1 {
            place.div_ceil(2)
        } else {
            takers - place / 2
        };
        (base + round) % takers
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_comes_at_every_place_and_after_every_other() {
        for takers in [2, 4, 10] {
            let (mut places, mut pairs) = (BTreeSet::new(), BTreeSet::new());
            for round in 0..takers {
                let order: Vec<usize> = order(takers, round).collect();
                places.extend(order.iter().copied().enumerate());
                pairs.extend(order.windows(2).map(|pair| (pair[0], pair[1])));
            }
            assert_eq!(places.len(), takers * takers);
            assert_eq!(pairs.len(), takers * (takers - 1));
            assert!(pairs.iter().all(|(before, after)| before != after));
        }
    }
}
