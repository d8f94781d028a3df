//! Text for a screen: what others chose is made harmless, and everything is cut to the columns that there are.

use ratatui::text::Span;

use crate::daemon::attempt::printable;

/// No text of others is longer.
const CHARS_MAX: usize = 255;
/// Stands where text was cut off. ASCII, as everything that is written here: it is right on any terminal.
pub(super) const CUT: &str = "~";

/// Text that somebody else chose: names of threads, cgroups, what a session asked for.
///
/// What moves text around or is not to be seen is replaced as everywhere else; what is neither ASCII nor a letter or digit is
/// escaped, since some of it takes no column, or more than are known of (U+0301, U+1F600).
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (position, character) in printable(text).chars().enumerate() {
        if position == CHARS_MAX {
            out.push_str(CUT);
            break;
        }
        match character {
            ' '..='~' | char::REPLACEMENT_CHARACTER => out.push(character),
            _ if character.is_alphanumeric() => out.push(character),
            _ => out.extend(character.escape_unicode()),
        }
    }
    out
}

/// The columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The first `columns` columns of `text`; where something is missing, the last of them says so.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut taken = 0;
    for character in text.chars() {
        let wide = width(character.encode_utf8(&mut [0; 4]));
        if taken + wide + 1 > columns {
            break;
        }
        taken += wide;
        out.push(character);
    }
    if columns > 0 {
        out.push_str(CUT);
    }
    out
}

/// `text` in exactly `columns` columns, at their left end.
pub(super) fn left(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    let missing = columns.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

/// `text` in exactly `columns` columns, at their right end.
pub(super) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// A count in at most six columns: `99999`, `123k`, `4567M`.
pub(super) fn count(count: u64) -> String {
    match count {
        0..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1_000),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        _ => format!("{}G", count / 1_000_000_000),
    }
}

/// `1 denial`, `2 denials`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// `text` in lines of at most `columns` columns, broken at spaces where it can be.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let needed = width(&line) + usize::from(!line.is_empty()) + width(word);
        if needed > columns && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        while width(&line) > columns {
            let mut head = String::new();
            let mut rest = line.chars();
            let mut taken = 0;
            for character in rest.by_ref() {
                let wide = width(character.encode_utf8(&mut [0; 4]));
                head.push(character);
                taken += wide;
                if taken >= columns {
                    break;
                }
            }
            line = rest.collect();
            lines.push(head);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_can_not_act_on_a_terminal() {
        assert_eq!(shown("curl"), "curl");
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(shown("\u{202e}exe\u{301}"), "\u{fffd}exe\\u{301}");
        assert_eq!(shown("gr\u{fc}n"), "gr\u{fc}n");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), CHARS_MAX + 1);
    }

    #[test]
    fn text_fits_its_columns() {
        assert_eq!(
            (left("abc", 5), right("abc", 5)),
            ("abc  ".into(), "  abc".into())
        );
        assert_eq!((left("abcdef", 4), cut("abc", 0)), ("abc~".into(), String::new()));
        // Two columns each.
        assert_eq!(left("\u{6f22}\u{5b57}", 3), "\u{6f22}~");
        assert_eq!(width(&left("\u{6f22}\u{5b57}", 2)), 2);
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("\u{6f22}\u{5b57}", 1), ["\u{6f22}", "\u{5b57}"]);
    }

    #[test]
    fn counts_stay_short() {
        let shown = [0, 99_999, 100_000, 9_999_999, 10_000_000, u64::MAX].map(count);
        assert_eq!(shown[..5], ["0", "99999", "100k", "9999k", "10M"]);
        assert!(count(9_999_999_999_999).len() <= 6);
    }
}
