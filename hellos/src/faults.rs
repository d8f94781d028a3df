//! Changes that turn a good ClientHello into a strange one: in its fields, so that all lengths still agree; in its
//! lengths; and in its bytes.

use crate::hello::{Built, Extension, Hello, in_records};

/// One change. Numbers may be any: they are taken modulo what there is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[expect(missing_docs, reason = "the fields say where and what")]
pub enum Fault {
    /// An extension once more, at another place.
    Repeat { extension: u8, to: u8 },
    /// An extension less.
    Remove { extension: u8 },
    /// An extension elsewhere.
    Move { extension: u8, to: u8 },
    /// An extension of another type.
    Retype { extension: u8, kind: u16 },
    /// One more extension.
    Add { to: u8, kind: u16, content: Vec<u8> },
    /// A second server name extension.
    SecondName { to: u8, name: Vec<u8> },
    /// One more byte in an extension.
    Grow { extension: u8, at: u16, byte: u8 },
    /// One byte less in an extension.
    Shrink { extension: u8, at: u16 },
    /// Another byte in an extension.
    Change { extension: u8, at: u16, byte: u8 },
    /// No block of extensions.
    NoExtensions,
    /// Other bytes for the session identifier.
    Session { length: u8 },
    /// Other cipher suites, which look like the rest of a hello.
    Ciphers { suites: Vec<u16> },
    /// Other compression methods.
    Compressions { methods: Vec<u8> },
    /// A length that lies.
    Length { level: u8, by: i16 },
    /// A bit.
    Flip { at: u16, bit: u8 },
    /// One more byte.
    Insert { at: u16, byte: u8 },
    /// Bytes less.
    Delete { at: u16, count: u8 },
    /// An end that comes early.
    Cut { at: u16 },
    /// Bytes behind the end.
    Append { bytes: Vec<u8> },
    /// The hello in several records.
    Records { size: u16 },
    /// Another record before it.
    Before { kind: u8, content: Vec<u8> },
    /// From there on, the other hello.
    Splice { at: u16, from: u16 },
}

/// `hello` with all `faults`: those of fields first, then those of lengths, then those of bytes. `other` is a hello to
/// splice with.
#[must_use]
pub fn with_faults(hello: &Hello, faults: &[Fault], other: &[u8]) -> Vec<u8> {
    let mut hello = hello.clone();
    for fault in faults {
        in_fields(&mut hello, fault);
    }
    let mut built = hello.build();
    for fault in faults {
        in_lengths(&mut built, fault);
    }
    let mut bytes = built.bytes;
    for fault in faults {
        in_bytes(&mut bytes, fault, other);
    }
    // Longer ones tell nothing more, and take time.
    bytes.truncate(40_000);
    bytes
}

/// `at` as an index below `length`, and 0 when there is none.
fn index(at: impl Into<usize>, length: usize) -> usize {
    at.into() % length.max(1)
}

fn in_fields(hello: &mut Hello, fault: &Fault) {
    match fault {
        Fault::NoExtensions => hello.extensions = None,
        Fault::Session { length } => hello.session_id = vec![*length; (*length).into()],
        Fault::Ciphers { suites } => hello.ciphers.clone_from(suites),
        Fault::Compressions { methods } => hello.compressions.clone_from(methods),
        Fault::Add { to, kind, content } => {
            insert(hello, *to, Extension::new(*kind, content.clone()));
        }
        Fault::SecondName { to, name } => insert(hello, *to, Extension::server_name(name)),
        _ => {
            if let Some(extensions) = &mut hello.extensions {
                in_extensions(extensions, fault);
            }
        }
    }
}

fn insert(hello: &mut Hello, to: u8, extension: Extension) {
    let extensions = hello.extensions.get_or_insert_default();
    extensions.insert(index(to, extensions.len() + 1), extension);
}

fn in_extensions(extensions: &mut Vec<Extension>, fault: &Fault) {
    let count = extensions.len();
    if count == 0 {
        return;
    }
    match fault {
        Fault::Repeat { extension, to } => {
            let copy = extensions[index(*extension, count)].clone();
            extensions.insert(index(*to, count + 1), copy);
        }
        Fault::Remove { extension } => {
            extensions.remove(index(*extension, count));
        }
        Fault::Move { extension, to } => {
            let moved = extensions.remove(index(*extension, count));
            extensions.insert(index(*to, count), moved);
        }
        Fault::Retype { extension, kind } => extensions[index(*extension, count)].kind = *kind,
        Fault::Grow { extension, at, byte } => {
            let content = &mut extensions[index(*extension, count)].content;
            content.insert(index(*at, content.len() + 1), *byte);
        }
        Fault::Shrink { extension, at } => {
            let content = &mut extensions[index(*extension, count)].content;
            if !content.is_empty() {
                content.remove(index(*at, content.len()));
            }
        }
        Fault::Change { extension, at, byte } => {
            let content = &mut extensions[index(*extension, count)].content;
            let at = index(*at, content.len());
            if let Some(changed) = content.get_mut(at) {
                *changed = *byte;
            }
        }
        _ => {}
    }
}

fn in_lengths(built: &mut Built, fault: &Fault) {
    if let Fault::Length { level, by } = fault {
        let level = index(*level, built.lengths.len());
        built.change_length(level, |length| length.wrapping_add_signed((*by).into()));
    }
}

fn in_bytes(bytes: &mut Vec<u8>, fault: &Fault, other: &[u8]) {
    let length = bytes.len();
    match fault {
        Fault::Flip { at, bit } if length > 0 => bytes[index(*at, length)] ^= 1 << (bit & 7),
        Fault::Insert { at, byte } => bytes.insert(index(*at, length + 1), *byte),
        Fault::Delete { at, count } => {
            let from = index(*at, length + 1);
            bytes.drain(from..(from + usize::from(*count)).min(length));
        }
        Fault::Cut { at } => bytes.truncate(index(*at, length + 1)),
        Fault::Append { bytes: more } => bytes.extend_from_slice(more),
        // Of records below a size there are too many to tell anything.
        Fault::Records { size } => {
            let size = usize::from(*size).max(1);
            *bytes = in_records(bytes, &vec![size; (length / size).min(20)]);
        }
        Fault::Before { kind, content } => {
            let content = &content[..content.len().min(255)];
            #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
            let header = [*kind, 3, 3, 0, content.len() as u8];
            *bytes = [&header, content, bytes].concat();
        }
        Fault::Splice { at, from } => {
            bytes.truncate(index(*at, length + 1));
            bytes.extend_from_slice(&other[index(*from, other.len() + 1)..]);
        }
        _ => {}
    }
}
