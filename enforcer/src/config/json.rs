//! Walks over JSON where it stands: nothing is built of it, and every value has its place.
//!
//! Trailing commas are let pass, since people and tools write them. Everything else is JSON (RFC 8259), except that
//! numbers are not looked at closely.

use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting that is followed.
const DEPTH_MAX: u32 = 64;

/// Where and why a text is no JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// Offset of the byte.
    pub(super) at: usize,
    /// What is wrong there.
    pub(super) what: &'static str,
}

/// A string where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Str<'a> {
    /// Between its quotes, escapes as they are written.
    raw: &'a str,
    /// With its quotes.
    pub(super) range: Range<usize>,
    has_escapes: bool,
}

impl<'a> Str<'a> {
    /// What it says.
    pub(super) fn value(&self) -> Cow<'a, str> {
        if !self.has_escapes {
            return Cow::Borrowed(self.raw);
        }
        // An escape that means nothing is shown as it is written.
        let value = serde_json::from_str::<String>(&format!("\"{}\"", self.raw));
        value.map_or(Cow::Borrowed(self.raw), Cow::Owned)
    }
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    /// A number, `true`, `false`.
    Scalar,
    Null,
    /// The end of the text, or nothing that a value begins with.
    None,
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// At the value that stands at `at`.
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, depth: 0 }
    }

    /// Where the next value begins.
    pub(super) fn place(&mut self) -> usize {
        const INDENT: [u8; 8] = [b' '; 8];
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(self.at) {
            self.at += 1;
            // Files that people can read are a third of indentation.
            while bytes[self.at..].first_chunk() == Some(&INDENT) {
                self.at += INDENT.len();
            }
        }
        self.at
    }

    fn peek(&mut self) -> Option<u8> {
        let at = self.place();
        self.text.as_bytes().get(at).copied()
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        let what = if self.at < self.text.len() {
            what
        } else {
            "the text ends too early"
        };
        Err(Fault { at: self.at, what })
    }

    /// What comes next.
    pub(super) fn kind(&mut self) -> Kind {
        match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'n') => Kind::Null,
            Some(b't' | b'f' | b'-' | b'0'..=b'9') => Kind::Scalar,
            _ => Kind::None,
        }
    }

    /// The string that comes next.
    pub(super) fn string(&mut self) -> Result<Str<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return self.fault("a string is expected here");
        }
        let start = self.at;
        let bytes = self.text.as_bytes();
        let (mut at, mut has_escapes) = (start + 1, false);
        loop {
            at += plain_count(bytes.get(at..).unwrap_or_default());
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    at += 2;
                }
                Some(_) => {
                    self.at = at;
                    return self.fault("a string can not have control characters");
                }
                None => {
                    self.at = bytes.len();
                    return self.fault("");
                }
            }
        }
        self.at = at + 1;
        Ok(Str {
            raw: &self.text[start + 1..at],
            range: start..at + 1,
            has_escapes,
        })
    }

    /// Goes through the object that comes next; `member` walks over each value.
    pub(super) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Str<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.nested(b'{', b'}', "`,` or `}` is expected here", |cursor| {
            let key = cursor.string()?;
            if cursor.peek() != Some(b':') {
                return cursor.fault("`:` is expected here");
            }
            cursor.at += 1;
            member(cursor, key)
        })
    }

    /// Goes through the array that comes next; `item` walks over each value.
    pub(super) fn items(&mut self, item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.nested(b'[', b']', "`,` or `]` is expected here", item)
    }

    /// Goes through the array that comes next as long as everything in it is a string of which `read`, which is given the
    /// text behind the quote, tells how long it is. Returns whether it came to the end; then the cursor stands behind it,
    /// and nowhere otherwise: on another copy of it the array is to be looked at closely.
    pub(super) fn strings(&mut self, mut read: impl FnMut(&'a [u8]) -> Option<usize>) -> bool {
        let bytes = self.text.as_bytes();
        if self.peek() != Some(b'[') {
            return false;
        }
        self.at += 1;
        loop {
            match self.peek() {
                Some(b']') => break,
                Some(b'"') => {}
                _ => return false,
            }
            let behind = &bytes[self.at + 1..];
            match read(behind) {
                Some(length) if behind.get(length) == Some(&b'"') => self.at += length + 2,
                _ => return false,
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return false,
            }
        }
        self.at += 1;
        true
    }

    fn nested(
        &mut self,
        open: u8,
        close: u8,
        expected: &'static str,
        mut part: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() != Some(open) {
            return self.fault("a value of another kind is expected here");
        }
        if self.depth == DEPTH_MAX {
            return self.fault("it is nested too deep");
        }
        self.depth += 1;
        self.at += 1;
        while self.peek() != Some(close) {
            part(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {}
                _ => return self.fault(expected),
            }
        }
        self.depth -= 1;
        self.at += 1;
        Ok(())
    }

    /// Walks over the value that comes next, and tells where it stands.
    pub(super) fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.place();
        match self.kind() {
            Kind::Object => self.members(|cursor, _| cursor.skip().map(drop))?,
            Kind::Array => self.items(|cursor| cursor.skip().map(drop))?,
            Kind::String => {
                self.string()?;
            }
            Kind::Scalar | Kind::Null => {
                let rest = &self.text[start..];
                let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
                let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
                let is_value = match word {
                    "true" | "false" | "null" => true,
                    _ => {
                        word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                            && word.parse::<f64>().is_ok()
                    }
                };
                if !is_value {
                    return self.fault("this is no value");
                }
                self.at += word.len();
            }
            Kind::None => return self.fault("a value is expected here"),
        }
        Ok(start..self.at)
    }

    /// The number that comes next, if it is one without sign and fraction.
    pub(super) fn number(mut self) -> Option<u64> {
        let range = self.skip().ok()?;
        self.text[range].parse().ok()
    }

    /// That nothing follows any more.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("nothing more is expected here"),
        }
    }
}

/// How many bytes stand before the first quote, backslash or control character. Eight at a time: most of a file of
/// service tags is strings.
#[inline]
fn plain_count(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    // Sets the highest bit of each byte that is below `limit`, and at times of bytes behind the first such one.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHEST;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below(word, b' ') | is(word, b'"') | is(word, b'\\');
        if found != 0 {
            return at * size_of::<u64>() + found.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, 0..b' ' | b'"' | b'\\');
    bytes.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skipped(text: &str) -> Result<Range<usize>, Fault> {
        let mut cursor = Cursor::new(text, 0);
        let range = cursor.skip()?;
        cursor.end()?;
        Ok(range)
    }

    #[test]
    fn says_where_and_why_a_text_is_no_json() {
        for (text, at, what) in [
            ("", 0, "the text ends too early"),
            ("[1", 2, "the text ends too early"),
            (r#"{"a": "b"#, 8, "the text ends too early"),
            (r#"{"a": "b\"#, 9, "the text ends too early"),
            (r#"{"a" 1}"#, 5, "`:` is expected here"),
            (r#"{"a": 1 "b": 2}"#, 8, "`,` or `}` is expected here"),
            ("[1 2]", 3, "`,` or `]` is expected here"),
            ("[,]", 1, "a value is expected here"),
            ("{1: 2}", 1, "a string is expected here"),
            ("[tru]", 1, "this is no value"),
            ("[1-2]", 1, "this is no value"),
            ("\"a\tb\"", 2, "a string can not have control characters"),
            ("{} x", 3, "nothing more is expected here"),
        ] {
            assert_eq!(skipped(text), Err(Fault { at, what }), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(skipped(&deep).unwrap_err().what, "it is nested too deep");
        for text in [
            " [1, -2.5e3, true, null, \"é\\n\",] ",
            "{\"a\": {}, \"b\": [[]],}",
        ] {
            assert!(skipped(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_string_says_what_it_means() {
        let value = |text| Cursor::new(text, 0).string().unwrap().value().into_owned();
        assert_eq!(value(r#""plain""#), "plain");
        assert_eq!(value(r#""a\u0062\"c""#), "ab\"c");
        assert_eq!(value(r#""a\qb""#), r"a\qb");
    }

    proptest! {
        #[test]
        fn whatever_serde_reads_is_read(text in "[\\[\\]{}:,\"0-9a-z\\\\ .-]{0,40}") {
            let expected = serde_json::from_str::<serde_json::Value>(&text);
            let found = skipped(&text);
            if expected.is_ok() {
                prop_assert!(found.is_ok(), "{text}: {found:?}");
            }
        }

        #[test]
        fn eight_bytes_at_a_time_are_each_of_them(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'!'), Just(b'a'), Just(0xa0)], 0..40)) {
            let is_plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
            prop_assert_eq!(plain_count(&bytes), bytes.iter().take_while(is_plain).count());
        }

        #[test]
        fn nothing_is_read_beyond_the_text(text in any::<String>()) {
            if let Err(fault) = skipped(&text) {
                prop_assert!(fault.at <= text.len());
            }
        }
    }
}
