//! Sorting words in passes over their digits, a few for any number of them.

/// Bits of a digit: counts of 2,048 stay in the first cache.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
const VALUES: usize = 1 << DIGIT_BITS;
/// Fewer are sorted faster by comparing.
const WORTHWHILE: usize = 4096;

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
const fn digit(word: u64, at: usize) -> usize {
    (word >> (at as u32 * DIGIT_BITS)) as usize % VALUES
}

/// Sorts `words`, from the last digit to the first. Digits in which all are the same cost nothing.
pub(super) fn ascending(words: &mut Vec<u64>) {
    if words.len() < WORTHWHILE {
        words.sort_unstable();
        return;
    }
    if words.is_sorted() {
        return;
    }
    let mut counts = vec![[0_u32; VALUES]; DIGITS];
    for word in &*words {
        for (at, counts) in counts.iter_mut().enumerate() {
            counts[digit(*word, at)] += 1;
        }
    }
    let mut other = vec![0; words.len()];
    for (at, counts) in counts.iter_mut().enumerate() {
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
