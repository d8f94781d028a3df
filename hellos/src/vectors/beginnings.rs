//! Beginnings of hellos: what is told of one before the rest is there.

use enforcer_common::Reason;

use super::{Expected, List, NAME, RECORD_MAX, bare, hello, long};
use crate::hello::{Extension, Level, kind};

/// A length that can not be true is told as soon as it can be read, whatever comes behind it.
pub(super) fn lies(list: &mut List) {
    use Reason::{HelloInRecords, HelloLengths};
    let built = hello().build();
    for (what, level, length, reason) in [
        ("the record's length", Level::Record, 0, HelloInRecords),
        ("the message's length", Level::Handshake, 4000, HelloInRecords),
        (
            "the session identifier's length",
            Level::SessionId,
            33,
            HelloLengths,
        ),
        ("the cipher suites' length", Level::Ciphers, 4000, HelloLengths),
        (
            "the compression methods' length",
            Level::Compressions,
            255,
            HelloLengths,
        ),
        (
            "the length of all extensions",
            Level::Extensions,
            4000,
            HelloLengths,
        ),
        ("an extension's length", Level::Extension(0), 4000, HelloLengths),
        (
            "the server name extension's length",
            Level::Extension(1),
            4000,
            HelloLengths,
        ),
    ] {
        let bytes = built.with_length(level, |_| length);
        let behind = built
            .lengths
            .iter()
            .find(|(of, ..)| *of == level)
            .map_or(0, |(_, at, width)| at + width);
        list.wrong(
            format!("{what} lies, nothing behind it yet"),
            &bytes[..behind],
            reason,
        );
    }
    list.wrong(
        "a record that ends in the message's header, nothing behind it yet",
        [22, 3, 1, 0, 3, 1, 0, 0],
        HelloInRecords,
    );
    let empty = hello().with_extensions([
        Extension::new(kind::SERVER_NAME, []),
        Extension::new(kind::PADDING, [0; 20]),
    ]);
    let bytes = empty.bytes();
    list.wrong(
        "an empty server name extension, nothing behind it yet",
        &bytes[..bytes.len() - 24],
        HelloLengths,
    );
}

pub(super) fn parts(list: &mut List) {
    use Expected::Part;
    let built = bare().and(Extension::new(kind::PADDING, [0; 9])).build();
    let bytes = &built.bytes;
    let behind_name = built
        .lengths
        .iter()
        .find(|(level, ..)| *level == Level::Name)
        .map_or(0, |(_, at, width)| at + width + NAME.len());
    list.add("nothing", [], Part(None));
    for (what, length) in [
        ("one byte", 1),
        ("the record's type and version", 3),
        ("the record's header", 5),
        ("the record's header and the message's type", 6),
        ("the headers", 9),
        ("half the random bytes", 25),
        ("all but the name's last byte", behind_name - 1),
    ] {
        list.add(what, &bytes[..length], Part(None));
    }
    list.add(
        "all up to the name",
        &bytes[..behind_name],
        Part(Some(NAME.into())),
    );
    list.add(
        "all but the last byte",
        &bytes[..bytes.len() - 1],
        Part(Some(NAME.into())),
    );
    let long = long(RECORD_MAX as usize).bytes();
    list.add(
        "a first part of a long hello",
        &long[..7240],
        Part(Some(NAME.into())),
    );
}
