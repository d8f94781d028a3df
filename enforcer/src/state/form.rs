//! The text of a saved file: one line that says what it is, then JSON; of a table, a line of JSON and words.
//!
//! ```text
//! enforcer answers 1 1234 89abcdef
//! {"save":17,...}
//! ```
//!
//! Format, version, bytes of what follows, and their CRC-32 (IEEE 802.3) in hexadecimal. There is one spelling of the line,
//! so that a changed bit in it is seen; one behind it changes the checksum. Whoever can write to the folder can make a
//! file that is right: the checksum is against accidents.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of a file: a configuration is saved with the files of service tags that it refers to.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// A first line is never as long.
pub(super) const HEADER_BYTES_MAX: usize = 128;

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Format {
    /// Also the name of the file: letters only.
    pub name: &'static str,
    /// Goes up by one when older readers would misunderstand it.
    pub version: u32,
}

/// Why what was read is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormError {
    /// It was written by something else, or its beginning was lost.
    #[error("it does not begin with the line that enforcer writes")]
    NoHeader,
    /// It is another one of enforcer's files.
    #[error("it holds `{found}`, not `{expected}`")]
    OtherFormat {
        /// What it says to be.
        found: String,
        /// What was looked for.
        expected: &'static str,
    },
    /// It was written by another enforcer, probably a newer one.
    #[error("it has version {found}, and this enforcer reads version {expected}")]
    OtherVersion {
        /// The version of the file.
        found: u32,
        /// The one that can be read.
        expected: u32,
    },
    /// It has another length than it says.
    #[error(
        "it has {found} bytes behind its first line, which promises {expected}: it was cut off or added to"
    )]
    Length {
        /// Bytes that are there.
        found: usize,
        /// Bytes that should be.
        expected: usize,
    },
    /// It ends before it is whole: whoever wrote it was killed. Only of what is written one behind the other.
    #[error("it was not finished")]
    Unfinished,
    /// Its bytes are not those that were written.
    #[error("its checksum is wrong: what it holds was damaged or changed")]
    Checksum,
    /// Its bytes are those that were written, and mean nothing here.
    #[error("it can not be understood: {0}")]
    Content(String),
    /// More than [`FILE_BYTES_MAX`].
    #[error("it is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
}

/// The bytes of a file.
///
/// # Errors
/// [`FormError::TooLarge`], or what can not be written as JSON as [`FormError::Content`].
pub fn encode(format: Format, content: &impl Serialize) -> Result<Vec<u8>, FormError> {
    let json = serde_json::to_vec(content).map_err(|error| FormError::Content(error.to_string()))?;
    encode_bytes(format, &json)
}

/// As [`encode`], for what is not JSON.
///
/// # Errors
/// [`FormError::TooLarge`]
pub fn encode_bytes(format: Format, content: &[u8]) -> Result<Vec<u8>, FormError> {
    let header = header(format, content.len(), crc32fast::hash(content));
    if header.len() + content.len() > FILE_BYTES_MAX {
        return Err(FormError::TooLarge);
    }
    Ok([header.as_bytes(), content].concat())
}

/// What the bytes of a file say: all of it, or why nothing of it counts.
///
/// # Errors
/// A [`FormError`].
pub fn decode<T: DeserializeOwned>(format: Format, bytes: &[u8]) -> Result<T, FormError> {
    from_json(decode_bytes(format, bytes)?)
}

/// As [`decode`], for what is not JSON: the bytes behind the first line, all of them as they were written.
///
/// # Errors
/// A [`FormError`].
pub fn decode_bytes(format: Format, bytes: &[u8]) -> Result<&[u8], FormError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(FormError::TooLarge);
    }
    let end = bytes
        .iter()
        .take(HEADER_BYTES_MAX)
        .position(|byte| *byte == b'\n');
    let (line, content) = bytes.split_at(end.ok_or(FormError::NoHeader)? + 1);
    let promised = read_header(format, line)?;
    if promised.length != content.len() {
        return Err(FormError::Length {
            found: content.len(),
            expected: promised.length,
        });
    }
    promised.checked(content)
}

/// What a content says that has its checksum.
pub(super) fn from_json<T: DeserializeOwned>(content: &[u8]) -> Result<T, FormError> {
    serde_json::from_slice(content).map_err(|error| FormError::Content(error.to_string()))
}

/// The first line of a file, without its end, when it is that of this format: it tells two contents apart. Whether the
/// content is what it promises is not looked at.
pub(super) fn first_line(format: Format, bytes: &[u8]) -> Option<&str> {
    let mut start = bytes.iter().take(HEADER_BYTES_MAX);
    let line = &bytes[..=start.position(|byte| *byte == b'\n')?];
    read_header(format, line).ok()?;
    std::str::from_utf8(line).ok().map(str::trim_end)
}

/// What the first of several contents says that were written one behind the other, and the bytes behind it.
///
/// # Errors
/// A [`FormError`]; [`FormError::Unfinished`] where the bytes end too early, and nothing else is wrong.
pub fn decode_first<T: DeserializeOwned>(format: Format, bytes: &[u8]) -> Result<(T, &[u8]), FormError> {
    let end = bytes
        .iter()
        .take(HEADER_BYTES_MAX)
        .position(|byte| *byte == b'\n');
    let Some(end) = end else {
        let is_start = bytes.len() < HEADER_BYTES_MAX;
        return Err(if is_start {
            FormError::Unfinished
        } else {
            FormError::NoHeader
        });
    };
    let (line, rest) = bytes.split_at(end + 1);
    let promised = read_header(format, line)?;
    let (json, rest) = rest
        .split_at_checked(promised.length)
        .ok_or(FormError::Unfinished)?;
    Ok((from_json(promised.checked(json)?)?, rest))
}

/// What the first line says of what follows it.
struct Promised {
    length: usize,
    checksum: u32,
}

impl Promised {
    fn checked<'a>(&self, content: &'a [u8]) -> Result<&'a [u8], FormError> {
        if self.checksum == crc32fast::hash(content) {
            Ok(content)
        } else {
            Err(FormError::Checksum)
        }
    }
}

fn header(format: Format, length: usize, checksum: u32) -> String {
    format!(
        "enforcer {} {} {length} {checksum:08x}\n",
        format.name, format.version
    )
}

fn read_header(format: Format, line: &[u8]) -> Result<Promised, FormError> {
    let line = std::str::from_utf8(line).map_err(|_| FormError::NoHeader)?;
    let words: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
    let ["enforcer", name, version, length, checksum] = words[..] else {
        return Err(FormError::NoHeader);
    };
    if name != format.name {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
        return Err(if is_name {
            FormError::OtherFormat {
                found: name.to_owned(),
                expected: format.name,
            }
        } else {
            FormError::NoHeader
        });
    }
    let version: u32 = version.parse().map_err(|_| FormError::NoHeader)?;
    if version != format.version {
        return Err(FormError::OtherVersion {
            found: version,
            expected: format.version,
        });
    }
    let length: usize = length.parse().map_err(|_| FormError::NoHeader)?;
    let checksum = u32::from_str_radix(checksum, 16).map_err(|_| FormError::NoHeader)?;
    if line != header(format, length, checksum) {
        return Err(FormError::NoHeader);
    }
    Ok(Promised { length, checksum })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        name: "answers",
        version: 1,
    };

    fn read(bytes: &[u8]) -> Result<Vec<u32>, FormError> {
        decode(FORMAT, bytes)
    }

    #[test]
    fn every_defect_has_its_words() {
        let good = encode(FORMAT, &[1, 2, 3]).unwrap();
        assert_eq!(good, b"enforcer answers 1 7 fd6db3e9\n[1,2,3]");
        assert_eq!(read(&good), Ok(vec![1, 2, 3]));
        let no_header: [&[u8]; 9] = [
            b"",
            b"[1,2,3]",
            b"enforcer answers 1 7 fd6db3e9",
            b"enforcer answers 1 7 FD6DB3E9\n[1,2,3]",
            b"enforcer answers 1 07 fd6db3e9\n[1,2,3]",
            b"enforcer answers +1 7 fd6db3e9\n[1,2,3]",
            b"enforcer  answers 1 7 fd6db3e9\n[1,2,3]",
            b"enforcer answers 1 7 fd6db3e9 \n[1,2,3]",
            b"enforcer \xff 1 7 fd6db3e9\n[1,2,3]",
        ];
        for bytes in no_header {
            assert_eq!(read(bytes), Err(FormError::NoHeader));
        }
        assert_eq!(
            read(b"enforcer configuration 1 7 fd6db3e9\n[1,2,3]"),
            Err(FormError::OtherFormat {
                found: "configuration".to_owned(),
                expected: "answers"
            })
        );
        assert_eq!(
            read(b"enforcer answers 2 who knows\n"),
            Err(FormError::OtherVersion {
                found: 2,
                expected: 1
            }),
            "what comes behind its version is for that version to say"
        );
        assert_eq!(
            read(b"enforcer answers 2 7 fd6db3e9\n[1,2,3]"),
            Err(FormError::OtherVersion {
                found: 2,
                expected: 1
            })
        );
        assert_eq!(
            read(b"enforcer answers 1 7 fd6db3e9\n[1,2"),
            Err(FormError::Length {
                found: 4,
                expected: 7
            })
        );
        assert_eq!(
            read(b"enforcer answers 1 7 fd6db3e9\n[1,2,3]\n"),
            Err(FormError::Length {
                found: 8,
                expected: 7
            })
        );
        assert_eq!(
            read(b"enforcer answers 1 7 fd6db3e9\n[1,2,4]"),
            Err(FormError::Checksum)
        );
        let not_json = header(FORMAT, 2, crc32fast::hash(b"[1")) + "[1";
        assert!(matches!(read(not_json.as_bytes()), Err(FormError::Content(_))));
        let other = encode(FORMAT, &"text").unwrap();
        assert!(matches!(read(&other), Err(FormError::Content(_))));
    }

    #[test]
    fn a_file_that_is_too_large_is_neither_written_nor_read() {
        let large = "x".repeat(FILE_BYTES_MAX);
        assert_eq!(encode(FORMAT, &large), Err(FormError::TooLarge));
        assert_eq!(read(&vec![b'x'; FILE_BYTES_MAX + 1]), Err(FormError::TooLarge));
    }
}
