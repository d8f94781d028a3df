//! Bytes to server name: the one parser of a TLS ClientHello.
//!
//! It reads the record that holds the hello, checks every length against every length around it, and finds the server
//! name without judging it. What it does not need it steps over by its length. It works on what there is: of a hello that
//! is not whole yet it says so, together with the name when that can be read already.
//!
//! Sources: RFC 8446 sections 4.1.2, 4.2 and 5.1 (TLS 1.3), RFC 5246 section 7.4.1.2 (TLS 1.2), RFC 6066 section 3 (server
//! name). Nothing of the hello's content but the name and the types of the extensions has a say: an encrypted inner hello
//! is not looked for, the outer name counts.

use crate::bytes::{Bytes, Reader};
use crate::reason::Reason;

/// Bytes of a record header (RFC 8446 section 5.1).
pub const RECORD_HEADER: u32 = 5;
/// Most bytes of a ClientHello with the header of its record: a record may hold as many (RFC 8446 section 5.1).
pub const HELLO_MAX: u32 = 1 << 14;
/// Most extensions that are looked at. Chromium sends 18.
pub const EXTENSIONS_MAX: usize = 64;

/// The types of a record that are told apart (RFC 8446 section 5.1).
pub mod content {
    /// Change of cipher, which TLS 1.3 sends for appearance's sake.
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// An alert.
    pub const ALERT: u8 = 21;
    /// A handshake message, such as a hello.
    pub const HANDSHAKE: u8 = 22;
    /// Application data, and everything that is encrypted.
    pub const APPLICATION_DATA: u8 = 23;
}

/// The handshake type of a ClientHello (RFC 8446 section 4).
pub const CLIENT_HELLO: u8 = 1;

/// Types of extensions below this are numbered through; beyond it lie few that are in use.
const SMALL: u16 = 64;
const SERVER_NAME: u16 = 0;
pub(crate) const EARLY_DATA: u16 = 42;
/// The only name type there is (RFC 6066 section 3).
pub(crate) const HOST_NAME: u8 = 0;

/// Where something lies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    /// Offset of its first byte.
    pub at: u32,
    /// Number of its bytes.
    pub length: u32,
}

/// What a ClientHello says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientHello {
    /// The server name, 1 byte or more, as it was sent; nothing of its content has been checked.
    pub name: Span,
    /// Offset of the first byte behind the hello's record.
    pub end: u32,
    /// Whether the client wants to send data before the server's answer (RFC 8446 section 4.2.10).
    pub early_data: bool,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// There is all of it.
    Whole(ClientHello),
    /// Its end is not there yet, and all before is in order.
    Part {
        /// The server name, when all of its extension is there.
        name: Option<Span>,
    },
    /// It is none, or none that is let through under any name.
    Wrong(Reason),
}

/// The extension types of one hello that are not small, four in a word: what duplicates are found with. Of any content at
/// the start.
pub type Types = [u64; EXTENSIONS_MAX / 4];

/// Why reading stops before the end.
enum Stop {
    /// The bytes end here.
    End,
    Wrong(Reason),
}

const LENGTHS: Stop = Stop::Wrong(Reason::HelloLengths);

/// Reads the record that starts at `start`, and the ClientHello in it.
///
/// A server name extension that is there twice, or has two names in it, is no name: [`Parsed::Wrong`].
#[inline(always)]
pub fn parse<B: Bytes + ?Sized>(bytes: &mut Reader<'_, B>, start: u32, types: &mut Types) -> Parsed {
    // Nothing that the verifier could follow apart: it would walk through all of this once for every place that is known, and
    // for all that may have been found. Each is forgotten by itself, since it also follows what is equal to what.
    let start = bytes.forgotten(start);
    let mut found = Found {
        server_name: Span {
            at: bytes.forgotten(0),
            length: bytes.forgotten(0),
        },
        small: bytes.forgotten(0).into(),
        marks: bytes.forgotten(0).into(),
        others: bytes.forgotten(0),
    };
    // The end of a hello is never at 0.
    let end = match read(bytes, start, types, &mut found) {
        Ok(end) => end,
        Err(Stop::End) => 0,
        Err(Stop::Wrong(reason)) => return Parsed::Wrong(reason),
    };
    let end = bytes.forgotten(end);
    let is_whole = end != 0;
    if found.server_name.at == 0 {
        return if is_whole {
            Parsed::Wrong(Reason::NoServerName)
        } else {
            Parsed::Part { name: None }
        };
    }
    match server_name(bytes, found.server_name) {
        Ok(name) if is_whole => Parsed::Whole(ClientHello {
            name,
            end,
            early_data: found.small >> EARLY_DATA & 1 != 0,
        }),
        Ok(name) => Parsed::Part { name: Some(name) },
        Err(Stop::Wrong(reason)) => Parsed::Wrong(reason),
        // A hello that is whole has all of its extensions.
        Err(Stop::End) if is_whole => Parsed::Wrong(Reason::HelloLengths),
        Err(Stop::End) => Parsed::Part { name: None },
    }
}

/// What the walk over the extensions came by.
struct Found {
    /// The content of the server name extension; at 0 when there is none.
    server_name: Span,
    /// The types below [`SMALL`], a bit each: nearly all that are in use.
    small: u64,
    /// Of the others a bit each, which they may share: where it is not set, there is none of its types.
    marks: u64,
    /// Their number, in the list.
    others: u32,
}

/// Checks the hello up to its end, or to that of the bytes; the offset behind its record.
#[inline(always)]
fn read<B: Bytes + ?Sized>(
    bytes: &mut Reader<'_, B>,
    start: u32,
    types: &mut Types,
    found: &mut Found,
) -> Result<u32, Stop> {
    let available = bytes.length();
    // Of the first bytes each is checked as it comes, so that what is no TLS is told at once.
    let Some([kind]) = bytes.read::<1>(start) else {
        return Err(Stop::End);
    };
    if kind != content::HANDSHAKE {
        return Err(Stop::Wrong(Reason::NotTls));
    }
    let Some([major]) = bytes.read::<1>(start + 1) else {
        return Err(Stop::End);
    };
    if major != 3 {
        return Err(Stop::Wrong(Reason::NotTls));
    }
    let Some([high, low]) = bytes.read::<2>(start + 3) else {
        return Err(Stop::End);
    };
    let record = u32::from(u16::from_be_bytes([high, low]));
    if record > HELLO_MAX - RECORD_HEADER {
        return Err(Stop::Wrong(Reason::HelloTooLong));
    }
    let end = start + RECORD_HEADER + record;
    let mut at = start + RECORD_HEADER;
    // A record without content would have the hello in the next one.
    if record == 0 {
        return Err(Stop::Wrong(Reason::HelloInRecords));
    }
    let Some([message]) = bytes.read::<1>(at) else {
        return Err(Stop::End);
    };
    if message != CLIENT_HELLO {
        return Err(Stop::Wrong(Reason::NotTls));
    }
    if record < 4 {
        return Err(Stop::Wrong(Reason::HelloInRecords));
    }
    let Some(length) = bytes.read::<3>(at + 1) else {
        return Err(Stop::End);
    };
    let length = u32::from(length[0]) << 16 | u32::from(length[1]) << 8 | u32::from(length[2]);
    if length + 4 > record {
        return Err(Stop::Wrong(Reason::HelloInRecords));
    }
    if length + 4 < record {
        return Err(LENGTHS);
    }
    // Version and random (RFC 8446 section 4.1.2).
    at += 4 + 2 + 32;
    at = step_over::<B, 1>(
        bytes,
        at,
        end,
        Allowed {
            least: 0,
            most: 32,
            multiple_of: 1,
        },
    )?;
    // Cipher suites of two bytes each, one or more.
    at = step_over::<B, 2>(
        bytes,
        at,
        end,
        Allowed {
            least: 2,
            most: 0xfffe,
            multiple_of: 2,
        },
    )?;
    // Compression methods, one or more.
    at = step_over::<B, 1>(
        bytes,
        at,
        end,
        Allowed {
            least: 1,
            most: 255,
            multiple_of: 1,
        },
    )?;
    if at == end {
        return finished(end, available);
    }
    if at + 2 > end {
        return Err(LENGTHS);
    }
    let Some(length) = bytes.read::<2>(at) else {
        return Err(Stop::End);
    };
    at += 2;
    if at + u32::from(u16::from_be_bytes(length)) != end {
        return Err(LENGTHS);
    }
    extensions(bytes, at, end, types, found)?;
    finished(end, available)
}

/// The end of a hello, when the bytes reach it.
#[inline(always)]
const fn finished(end: u32, available: u32) -> Result<u32, Stop> {
    if end > available { Err(Stop::End) } else { Ok(end) }
}

/// What a vector's length may be.
struct Allowed {
    least: u32,
    most: u32,
    multiple_of: u32,
}

/// The offset behind a vector that starts at `at` with a length of `N` bytes.
#[inline(always)]
fn step_over<B: Bytes + ?Sized, const N: usize>(
    bytes: &mut Reader<'_, B>,
    at: u32,
    end: u32,
    allowed: Allowed,
) -> Result<u32, Stop> {
    #[expect(clippy::cast_possible_truncation, reason = "1 or 2")]
    let behind = at + N as u32;
    if behind > end {
        return Err(LENGTHS);
    }
    let Some(length) = bytes.read::<N>(at) else {
        return Err(Stop::End);
    };
    let mut value = 0;
    for byte in length {
        value = value << 8 | u32::from(byte);
    }
    if value < allowed.least || value > allowed.most || value & (allowed.multiple_of - 1) != 0 {
        return Err(LENGTHS);
    }
    if behind + value > end {
        return Err(LENGTHS);
    }
    Ok(behind + value)
}

/// Walks over the extensions from `at` to `end`.
#[inline(always)]
fn extensions<B: Bytes + ?Sized>(
    bytes: &mut Reader<'_, B>,
    at: u32,
    end: u32,
    types: &mut Types,
    found: &mut Found,
) -> Result<(), Stop> {
    types.fill(0);
    let mut at = bytes.forgotten(at);
    let end = bytes.forgotten(end);
    for _ in 0..EXTENSIONS_MAX {
        if at == end {
            return Ok(());
        }
        if at + 4 > end {
            return Err(LENGTHS);
        }
        let Some([high, low, length_high, length_low]) = bytes.read::<4>(at) else {
            return Err(Stop::End);
        };
        let kind = u16::from_be_bytes([high, low]);
        let content = Span {
            at: at + 4,
            length: u32::from(u16::from_be_bytes([length_high, length_low])),
        };
        if content.at + content.length > end {
            return Err(LENGTHS);
        }
        if kind < SMALL {
            let bit = 1 << kind;
            if found.small & bit != 0 {
                return Err(Stop::Wrong(Reason::DuplicateExtension));
            }
            found.small |= bit;
            if kind == SERVER_NAME {
                found.server_name = content;
            }
        } else {
            // The upper bits of a product depend on all of the type's (Knuth, volume 3, section 6.4).
            let mark = 1 << (kind.wrapping_mul(0x9e37) >> 10);
            if found.marks & mark != 0 && is_among(types, kind) {
                return Err(Stop::Wrong(Reason::DuplicateExtension));
            }
            found.marks |= mark;
            let others = bytes.forgotten(found.others);
            let slot = &mut types[(others >> 2) as usize & (EXTENSIONS_MAX / 4 - 1)];
            *slot |= u64::from(kind) << ((others & 3) * 16);
            found.others = found.others.wrapping_add(1);
        }
        at = content.at + content.length;
    }
    if at == end {
        Ok(())
    } else {
        Err(Stop::Wrong(Reason::TooManyExtensions))
    }
}

/// Whether `kind`, which is not 0, is one of the types. Four at a time: a lane that is equal is zero after the exclusive
/// or, and only a zero borrows from its top bit (Hacker's Delight, section 6-1). Lanes that are not taken yet are zero.
#[inline(always)]
fn is_among(types: &Types, kind: u16) -> bool {
    const EACH: u64 = 0x0001_0001_0001_0001;
    let wanted = u64::from(kind) * EACH;
    let mut equal = 0;
    for word in types {
        let lanes = word ^ wanted;
        equal |= lanes.wrapping_sub(EACH) & !lanes & (EACH << 15);
    }
    equal != 0
}

/// The one host name in the content of a server name extension.
#[inline(always)]
fn server_name<B: Bytes + ?Sized>(bytes: &mut Reader<'_, B>, content: Span) -> Result<Span, Stop> {
    if content.at + content.length > bytes.length() {
        return Err(Stop::End);
    }
    // The list's length, the type of its first entry, the name's length.
    if content.length < 5 {
        return Err(LENGTHS);
    }
    let Some([list_high, list_low, kind, high, low]) = bytes.read::<5>(content.at) else {
        return Err(Stop::End);
    };
    let list = u32::from(u16::from_be_bytes([list_high, list_low]));
    let length = u32::from(u16::from_be_bytes([high, low]));
    if list + 2 != content.length || length == 0 || length + 3 > list {
        return Err(LENGTHS);
    }
    if length + 3 < list {
        return Err(Stop::Wrong(Reason::TwoNames));
    }
    if kind != HOST_NAME {
        return Err(Stop::Wrong(Reason::NoServerName));
    }
    Ok(Span {
        at: content.at + 5,
        length,
    })
}
