//! What somebody may have meant to write.

/// Longer texts are no slip of a known word, and the distance costs the product of both lengths.
const COMPARED_BYTES_MAX: usize = 64;

/// The word of `known` that `text` is most likely a slip of, if it is near to any.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    nearest_few(text, known, 1).first().copied()
}

/// The words of `known` that `text` may be a slip of, the nearest first, at most `max`.
pub(super) fn nearest_few<'k>(
    text: &str,
    known: impl IntoIterator<Item = &'k str>,
    max: usize,
) -> Vec<&'k str> {
    if text.len() > COMPARED_BYTES_MAX {
        return Vec::new();
    }
    let folded = fold(text);
    let length = folded.chars().count();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|word| word.len() <= 2 * COMPARED_BYTES_MAX)
        .filter_map(|word| {
            let limit = (word.len() / 3).max(1);
            let other = fold(word);
            // The distance is the difference of the lengths at least.
            if other.chars().count().abs_diff(length) > limit {
                return None;
            }
            let distance = strsim::damerau_levenshtein(&folded, &other);
            (distance <= limit).then_some((distance, word))
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().take(max).map(|(_, word)| word).collect()
}

/// Case, hyphens and spaces are the commonest slips, and count for nothing.
fn fold(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["login_server", "data_regions", "private_link", "kind"];
        let nearest = |text| nearest(text, known);
        assert_eq!(nearest("login-server"), Some("login_server"));
        assert_eq!(nearest("loginServer"), Some("login_server"));
        assert_eq!(nearest("data_region"), Some("data_regions"));
        assert_eq!(nearest("knid"), Some("kind"));
        assert_eq!(nearest("password"), None);
        assert_eq!(nearest(&"x".repeat(1 << 20)), None);
    }

    #[test]
    fn the_nearest_come_first() {
        let known = [
            "Storage.EastUS2",
            "Storage.EastUS",
            "Sql.EastUS",
            "Storage.WestUS",
        ];
        assert_eq!(
            nearest_few("storage.eastus", known, 2),
            ["Storage.EastUS", "Storage.EastUS2"]
        );
        assert!(nearest_few("Bing", known, 3).is_empty());
    }
}
