//! Lengths that lie, and fields with fewer or more bytes than they may have.

use enforcer_common::Reason;

use super::{List, NAME, bare, hello};
use crate::hello::{Extension, Hello, Level, kind};

pub(super) fn lengths(list: &mut List) {
    use Reason::{HelloInRecords, HelloLengths, HelloTooLong, TwoNames};
    // The name is the last extension, so that what follows it can not be taken for one.
    let last = hello().with_extensions([
        Extension::new(kind::VERSIONS, [4, 3, 4, 3, 3]),
        Extension::server_name(NAME),
    ]);
    for (shape, built) in [
        ("", hello().build()),
        (", the name last", last.build()),
        (", the name alone", bare().build()),
    ] {
        let mut change = |what: &str, level, by: isize, reason| {
            list.wrong(
                format!("{what} by {by:+}{shape}"),
                built.with_length(level, |length| length.wrapping_add_signed(by)),
                reason,
            );
        };
        change("the record's length", Level::Record, 1, HelloLengths);
        change("the record's length", Level::Record, 100, HelloLengths);
        change("the record's length", Level::Record, -1, HelloInRecords);
        change("the record's length", Level::Record, -60, HelloInRecords);
        change("the message's length", Level::Handshake, 1, HelloInRecords);
        change(
            "the message's length",
            Level::Handshake,
            0x01_0000,
            HelloInRecords,
        );
        change("the message's length", Level::Handshake, -1, HelloLengths);
        change("the message's length", Level::Handshake, -60, HelloLengths);
        for by in [1, -1, -32, 200] {
            change(
                "the session identifier's length",
                Level::SessionId,
                by,
                HelloLengths,
            );
        }
        for by in [1, -1, 2, -2, -12, 0x1000, 0xf000] {
            change("the cipher suites' length", Level::Ciphers, by, HelloLengths);
        }
        for by in [1, -1, 2, 254] {
            change(
                "the compression methods' length",
                Level::Compressions,
                by,
                HelloLengths,
            );
        }
        for by in [1, -1, 2, -2, 0x1000] {
            change(
                "the length of all extensions",
                Level::Extensions,
                by,
                HelloLengths,
            );
        }
        for by in [1, -1, 2, -2, 5, -5, 0x1000] {
            change("the list's length", Level::List, by, HelloLengths);
        }
        for by in [1, 2, 0x1000] {
            change("the name's length", Level::Name, by, HelloLengths);
        }
        for by in [-1, -5] {
            change("the name's length", Level::Name, by, TwoNames);
        }
        change("the name's length", Level::Name, -18, HelloLengths);
        let index = built
            .lengths
            .iter()
            .position(|(level, ..)| *level == Level::List)
            .and_then(|list| match built.lengths[list - 1].0 {
                Level::Extension(index) => Some(index),
                _ => None,
            })
            .unwrap_or_default();
        for by in [1, -1, 3, 0x4000] {
            change(
                "the server name extension's length",
                Level::Extension(index),
                by,
                HelloLengths,
            );
        }
    }
    // Of another extension, whose neighbours then seem to begin elsewhere.
    let middle = hello().with_extensions([
        Extension::server_name(NAME),
        Extension::new(kind::VERSIONS, [4, 3, 4, 3, 3]),
        Extension::new(kind::PADDING, [0xff; 20]),
    ]);
    for by in [1, 2, -1, 9, 0x2000] {
        list.wrong(
            format!("another extension's length by {by:+}"),
            middle
                .build()
                .with_length(Level::Extension(1), |length| length.wrapping_add_signed(by)),
            HelloLengths,
        );
    }
    for (what, level, length, reason) in [
        ("a record of 0 bytes", Level::Record, 0, HelloInRecords),
        (
            "a record that ends in the message's header",
            Level::Record,
            3,
            HelloInRecords,
        ),
        ("a record longer than can be", Level::Record, 16_385, HelloTooLong),
        ("a record of 65,535 bytes", Level::Record, 0xffff, HelloTooLong),
        ("a message of 0 bytes", Level::Handshake, 0, HelloLengths),
        ("a message of 16 MiB", Level::Handshake, 0xff_ffff, HelloInRecords),
    ] {
        list.wrong(what, hello().build().with_length(level, |_| length), reason);
    }
}

pub(super) fn out_of_range(list: &mut List) {
    use Reason::HelloLengths;
    list.wrong(
        "a session identifier of 33 bytes",
        Hello {
            session_id: vec![1; 33],
            ..hello()
        }
        .bytes(),
        HelloLengths,
    );
    list.wrong(
        "no cipher suites",
        Hello {
            ciphers: Vec::new(),
            ..hello()
        }
        .bytes(),
        HelloLengths,
    );
    list.wrong(
        "no compression methods",
        Hello {
            compressions: Vec::new(),
            ..hello()
        }
        .bytes(),
        HelloLengths,
    );
    let with = |level, more: &[u8]| {
        let mut built = hello().build();
        let around = [Level::Record, Level::Handshake, level];
        let (at, length) = built
            .lengths
            .iter()
            .find(|(of, ..)| *of == level)
            .map_or((0, 0), |(_, at, width)| (at + width, built.length(level)));
        for level in around {
            built.bytes = built.with_length(level, |length| length + more.len());
        }
        built.bytes.splice(at + length..at + length, more.iter().copied());
        built.bytes
    };
    list.wrong("half a cipher suite", with(Level::Ciphers, &[0x13]), HelloLengths);
    for size in 1..4 {
        list.wrong(
            format!("{size} bytes of an extension's header at the end"),
            with(Level::Extensions, &[0x77; 3][..size]),
            HelloLengths,
        );
    }
    // Every field that a hello may end with too early, the lengths around it being right.
    for (what, body) in [
        ("a hello without a body", 0),
        ("a hello that ends in its version", 1),
        ("a hello that ends in its random bytes", 20),
        ("a hello that ends before the session identifier", 34),
        ("a hello that ends in the session identifier", 40),
        ("a hello that ends before the cipher suites", 67),
        ("a hello that ends in the cipher suites' length", 68),
        ("a hello that ends in the cipher suites", 75),
        ("a hello that ends before the compression methods", 81),
        ("a hello that ends in the compression methods", 82),
        ("a hello that ends in the extensions' length", 84),
        ("a hello that ends behind the extensions' length", 85),
        ("a hello that ends in an extension's type", 86),
        ("a hello that ends in an extension's length", 88),
    ] {
        let mut bytes = hello().bytes();
        bytes.truncate(9 + body);
        let all = u8::try_from(body).unwrap_or(u8::MAX);
        bytes[3..5].copy_from_slice(&[0, all + 4]);
        bytes[6..9].copy_from_slice(&[0, 0, all]);
        list.wrong(what, bytes, HelloLengths);
    }
}
