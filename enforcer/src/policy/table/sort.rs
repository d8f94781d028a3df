//! Sorting words in passes over digits of their upper half, a few for any number of them.

/// Bits of a digit: counts of 2,048 stay in the first cache.
const DIGIT_BITS: u32 = 11;
const VALUES: usize = 1 << DIGIT_BITS;
/// Where the digits begin. What lies below is looked at only where all of the above is the same.
const BELOW: u32 = 32;
const DIGITS: usize = (u64::BITS - BELOW).div_ceil(DIGIT_BITS) as usize;
/// Fewer are sorted faster by comparing.
const WORTHWHILE: usize = 2048;

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
const fn digit(word: u64, at: usize) -> usize {
    (word >> (BELOW + at as u32 * DIGIT_BITS)) as usize % VALUES
}

/// Sorts `words`, digit by digit from the last one, and then those with the same upper half.
pub(super) fn ascending(words: &mut Vec<u64>) {
    if words.len() < WORTHWHILE {
        words.sort_unstable();
        return;
    }
    if words.is_sorted() {
        return;
    }
    let mut counts = [[0_u32; VALUES]; DIGITS];
    for word in &*words {
        for (at, counts) in counts.iter_mut().enumerate() {
            counts[digit(*word, at)] += 1;
        }
    }
    let mut other = vec![0; words.len()];
    for (at, counts) in counts.iter_mut().enumerate() {
        // All are the same in it.
        if counts[digit(words[0], at)] as usize == words.len() {
            continue;
        }
        let mut position = 0;
        for count in counts.iter_mut() {
            position += std::mem::replace(count, position);
        }
        for word in &*words {
            let position = &mut counts[digit(*word, at)];
            other[*position as usize] = *word;
            *position += 1;
        }
        std::mem::swap(words, &mut other);
    }
    let mut start = 0;
    for at in 1..=words.len() {
        let is_same = words
            .get(at)
            .is_some_and(|word| word >> BELOW == words[start] >> BELOW);
        if !is_same {
            if at - start > 1 {
                words[start..at].sort_unstable();
            }
            start = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

        #[test]
        fn it_sorts(seed: u64, mask: u64, count in 0_usize..3 * WORTHWHILE) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut words: Vec<u64> = (0..count).map(|_| random.u64(..) & mask).collect();
            let mut expected = words.clone();
            expected.sort_unstable();
            ascending(&mut words);
            prop_assert_eq!(words, expected);
        }
    }
}
