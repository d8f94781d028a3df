//! ClientHellos and what must be read in each: good ones of every shape, and one for every way to be wrong.
//!
//! The parser is held against this list on the host, and the kernel's program on a real connection.

use enforcer_common::Reason;
use enforcer_common::client_hello::{EXTENSIONS_MAX, HELLO_MAX, RECORD_HEADER};

use crate::hello::{Extension, Hello, Level, in_records, kind};

/// Most bytes of a record that are looked at.
const RECORD_MAX: u32 = HELLO_MAX - RECORD_HEADER;

/// The name that most of them ask for.
pub const NAME: &str = "contoso.azurecr.io";

/// What must be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    /// A whole hello that asks for this name.
    Name(Vec<u8>),
    /// A whole hello that asks for this name, which is none that may be granted, for this reason.
    BadName(Vec<u8>, Reason),
    /// The beginning of a hello, with the name when that can be read already.
    Part(Option<Vec<u8>>),
    /// None that is let through under any name.
    Wrong(Reason),
}

/// Some first bytes of a connection, and what must be read in them.
#[derive(Clone, Debug)]
pub struct Vector {
    /// What it shows.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What must be read.
    pub expected: Expected,
}

/// The list while it is written.
struct List(Vec<Vector>);

impl List {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>, expected: Expected) {
        self.0.push(Vector {
            name: name.into(),
            bytes: bytes.into(),
            expected,
        });
    }

    fn reads(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.add(name, bytes, Expected::Name(NAME.into()));
    }

    fn wrong(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>, reason: Reason) {
        self.add(name, bytes, Expected::Wrong(reason));
    }
}

/// Every vector.
#[must_use]
pub fn vectors() -> Vec<Vector> {
    let mut list = List(Vec::new());
    good(&mut list);
    names(&mut list);
    server_name_extensions(&mut list);
    extensions(&mut list);
    lengths(&mut list);
    vectors_out_of_range(&mut list);
    records(&mut list);
    other_protocols(&mut list);
    lies_of_beginnings(&mut list);
    parts(&mut list);
    list.0
}

fn hello() -> Hello {
    Hello::asking_for(NAME)
}

/// A hello with the server name alone.
fn bare() -> Hello {
    hello().with_extensions([Extension::server_name(NAME)])
}

fn good(list: &mut List) {
    list.reads("a hello", hello().bytes());
    list.reads("the server name as the only extension", bare().bytes());
    list.reads(
        "no session identifier",
        Hello {
            session_id: Vec::new(),
            ..hello()
        }
        .bytes(),
    );
    list.reads(
        "one cipher suite",
        Hello {
            ciphers: vec![0x1301],
            ..hello()
        }
        .bytes(),
    );
    list.reads(
        "more ciphers than fit in 255 bytes",
        Hello {
            ciphers: (0..400).collect(),
            ..hello()
        }
        .bytes(),
    );
    list.reads(
        "255 compression methods",
        Hello {
            compressions: (0..255).collect(),
            ..hello()
        }
        .bytes(),
    );
    for minor in [0, 1, 2, 3, 4] {
        list.reads(
            format!("version 3.{minor} in the record"),
            Hello {
                record_version: [3, minor],
                ..hello()
            }
            .bytes(),
        );
    }
    let mut others = hello().extensions.unwrap_or_default();
    others.retain(|extension| extension.kind != kind::SERVER_NAME);
    let name = [Extension::server_name(NAME)];
    list.reads(
        "the server name first",
        hello().with_extensions([&name[..], &others].concat()).bytes(),
    );
    list.reads(
        "the server name last",
        hello().with_extensions([&others, &name[..]].concat()).bytes(),
    );
    list.reads(
        "empty extensions around the name",
        hello()
            .with_extensions([
                Extension::new(0x0a0a, []),
                Extension::server_name(NAME),
                Extension::new(0xfafa, [0]),
            ])
            .bytes(),
    );
    let grease = |kind| Extension::new(kind, []);
    list.reads(
        "GREASE in ciphers, extensions and versions (RFC 8701)",
        Hello {
            ciphers: vec![0x2a2a, 0x1301, 0x1302],
            ..hello()
        }
        .with_extensions(
            [
                &[grease(0x0a0a)][..],
                &hello().extensions.unwrap_or_default(),
                &[grease(0x1a1a)],
            ]
            .concat(),
        )
        .bytes(),
    );
    // config id, cipher, key and payload behind the type 0, which is the outer hello (RFC 9849 section 5).
    let encrypted = [&[0, 0, 1, 0, 1, 7, 0, 32][..], &[9; 32], &[0, 144], &[8; 144]].concat();
    list.reads(
        "an encrypted hello inside: the outer name counts",
        hello()
            .and(Extension::new(kind::ENCRYPTED_HELLO, encrypted))
            .bytes(),
    );
    let psk = [&[0, 22, 0, 16][..], &[7; 16], &[0; 4], &[0, 33, 32], &[6; 32]].concat();
    list.reads(
        "early data with a pre-shared key",
        hello()
            .and(Extension::new(kind::EARLY_DATA, []))
            .and(Extension::new(kind::PRE_SHARED_KEY, psk))
            .bytes(),
    );
    list.reads("post-quantum size", post_quantum().bytes());
    list.reads(
        "padding",
        hello().and(Extension::new(kind::PADDING, vec![0; 900])).bytes(),
    );
    list.reads(
        "a server name that looks like an extension's content, in padding",
        bare()
            .and(Extension::new(
                kind::PADDING,
                Extension::server_name("evil.example").content,
            ))
            .bytes(),
    );
    list.reads(
        "cipher suites that look like a server name extension",
        Hello {
            ciphers: Extension::server_name("evil.example..")
                .content
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], *pair.last().unwrap_or(&0)]))
                .collect(),
            ..hello()
        }
        .bytes(),
    );
    list.reads(
        "as many extensions as are looked at",
        many(EXTENSIONS_MAX).bytes(),
    );
    list.reads("as long as a record can be", long(RECORD_MAX as usize).bytes());
    list.reads(
        "change of cipher and early data behind it",
        [
            hello().bytes(),
            vec![20, 3, 3, 0, 1, 1],
            vec![23, 3, 3, 0, 3, 1, 2, 3],
        ]
        .concat(),
    );
    list.reads(
        "a second hello behind it, in a record of its own",
        [hello().bytes(), Hello::asking_for("evil.example").bytes()].concat(),
    );
}

/// A hello with a key share of X25519MLKEM768 (1,216 bytes), as Go and Chromium send it.
#[must_use]
pub fn post_quantum() -> Hello {
    // The list's length, X25519MLKEM768 with 1,216 bytes, x25519 with 32.
    let share = [
        &[0x04, 0xe8, 0x11, 0xec, 0x04, 0xc0][..],
        &[0x77; 1216],
        &[0, 29, 0, 32],
        &[0x5a; 32],
    ]
    .concat();
    let mut post_quantum = hello();
    for extension in post_quantum.extensions.iter_mut().flatten() {
        match extension.kind {
            kind::KEY_SHARE => extension.content.clone_from(&share),
            kind::GROUPS => extension.content = vec![0, 6, 0x11, 0xec, 0, 29, 0, 23],
            _ => {}
        }
    }
    post_quantum
}

/// A hello with this many extensions, the server name among them.
fn many(extensions: usize) -> Hello {
    let empty = (1..).map(|number: u16| Extension::new(0x4000 + number, []));
    let all: Vec<_> = [Extension::server_name(NAME)]
        .into_iter()
        .chain(empty)
        .take(extensions)
        .collect();
    hello().with_extensions(all)
}

/// A hello whose record has this many bytes of content.
fn long(content: usize) -> Hello {
    let padded = |length| hello().and(Extension::new(kind::PADDING, vec![0; length]));
    let without = padded(0).bytes().len() - 5;
    padded(content - without)
}

fn names(list: &mut List) {
    let mut name = |what: &str, name: &[u8]| {
        list.add(
            what,
            Hello::asking_for(name).bytes(),
            Expected::Name(name.to_vec()),
        );
    };
    name("capitals", b"Contoso.AzureCR.IO");
    name("an A-label", b"xn--bcher-kva.example");
    name("one label", b"localhost");
    name("a name of one byte", b"a");
    name("an underscore", b"_contoso.azurecr.io");
    name("digits that are no address", b"1.2.3.example");
    name("a name of 253 bytes", &long_name(253));
    let mut bad = |what: &str, name: &[u8], reason| {
        list.add(
            what,
            Hello::asking_for(name).bytes(),
            Expected::BadName(name.to_vec(), reason),
        );
    };
    for (what, name) in [
        ("a slash", &b"evil.example/.azurecr.io"[..]),
        ("a space", b"contoso .azurecr.io"),
        ("a line feed", b"contoso\n.azurecr.io"),
        ("a letter beyond ASCII", b"b\xc3\xbccher.example"),
        ("an at sign", b"contoso@azurecr.io"),
        ("a backquote", b"contoso`.azurecr.io"),
        ("a dot at the start", b".azurecr.io"),
        ("two dots", b"contoso..azurecr.io"),
    ] {
        bad(what, name, Reason::NameNotGranted);
    }
    bad("a NUL at the end", b"contoso.azurecr.io\0", Reason::NameWithNul);
    bad(
        "a NUL and another name behind it",
        b"contoso.azurecr.io\0.evil.example",
        Reason::NameWithNul,
    );
    bad(
        "a NUL before a granted name",
        b"evil.example\0contoso.azurecr.io",
        Reason::NameWithNul,
    );
    bad("a NUL alone", b"\0", Reason::NameWithNul);
    bad("a trailing dot", b"contoso.azurecr.io.", Reason::NameTrailingDot);
    bad("a dot alone", b".", Reason::NameTrailingDot);
    bad("an IPv4 address", b"192.0.2.10", Reason::NameIsAddress);
    bad("an IPv6 address", b"2001:db8::10", Reason::NameIsAddress);
    bad("a name of 254 bytes", &long_name(254), Reason::NameTooLong);
    bad("a name of 255 bytes", &long_name(255), Reason::NameTooLong);
    bad("a name of 256 bytes", &long_name(256), Reason::NameTooLong);
    bad("a name of 300 bytes", &long_name(300), Reason::NameTooLong);
    bad("a name of 9,000 bytes", &long_name(9000), Reason::NameTooLong);
}

/// A name of `length` bytes in labels of at most 63.
fn long_name(length: usize) -> Vec<u8> {
    (1..=length)
        .map(|at| if at % 64 == 0 && at != length { b'.' } else { b'a' })
        .collect()
}

fn server_name_extensions(list: &mut List) {
    use Reason::{DuplicateExtension, HelloLengths, NoServerName, TwoNames};
    let with = |content: &[u8]| hello().with_server_name_content(content).bytes();
    let entries = |entries: &[(u8, &[u8])]| with(&Extension::server_names(entries).content);
    let name = NAME.as_bytes();

    let mut none = hello();
    none.extensions
        .get_or_insert_default()
        .retain(|extension| extension.kind != kind::SERVER_NAME);
    list.wrong("no server name", none.bytes(), NoServerName);
    list.wrong(
        "no extensions in the block",
        hello().with_extensions([]).bytes(),
        NoServerName,
    );
    list.wrong(
        "no block of extensions",
        Hello {
            extensions: None,
            ..hello()
        }
        .bytes(),
        NoServerName,
    );
    list.wrong("two names", entries(&[(0, name), (0, b"evil.example")]), TwoNames);
    list.wrong("the same name twice", entries(&[(0, name), (0, name)]), TwoNames);
    list.wrong(
        "a name and one of another type",
        entries(&[(0, name), (1, b"x")]),
        TwoNames,
    );
    list.wrong(
        "one of another type and a name",
        entries(&[(1, b"x"), (0, name)]),
        TwoNames,
    );
    list.wrong(
        "a name and an empty one",
        entries(&[(0, name), (0, b"")]),
        TwoNames,
    );
    list.wrong("a name of another type", entries(&[(1, name)]), NoServerName);
    list.wrong("an empty name", entries(&[(0, b"")]), HelloLengths);
    list.wrong(
        "an empty name and another",
        entries(&[(0, b""), (0, name)]),
        HelloLengths,
    );
    list.wrong("an empty list", entries(&[]), HelloLengths);
    list.wrong("an empty server name extension", with(&[]), HelloLengths);
    list.wrong("half a length of a list", with(&[0]), HelloLengths);
    list.wrong(
        "a list that ends in a name's length",
        with(&[0, 2, 0, 0]),
        HelloLengths,
    );
    list.wrong(
        "one byte behind a name",
        {
            let mut content = Extension::server_name(name).content;
            content.push(0);
            content[1] += 1;
            with(&content)
        },
        TwoNames,
    );
    list.wrong(
        "one byte behind a list",
        {
            let mut content = Extension::server_name(name).content;
            content.push(0);
            with(&content)
        },
        HelloLengths,
    );
    list.wrong(
        "two server name extensions",
        hello().and(Extension::server_name("evil.example")).bytes(),
        DuplicateExtension,
    );
    list.wrong(
        "the same server name extension twice in a row",
        hello()
            .with_extensions([Extension::server_name(name), Extension::server_name(name)])
            .bytes(),
        DuplicateExtension,
    );
    list.wrong(
        "a server name extension and an empty one",
        hello().and(Extension::new(kind::SERVER_NAME, [])).bytes(),
        DuplicateExtension,
    );
    list.wrong(
        "an empty server name extension and another",
        hello()
            .with_extensions([
                Extension::new(kind::SERVER_NAME, []),
                Extension::server_name(name),
            ])
            .bytes(),
        DuplicateExtension,
    );
}

fn extensions(list: &mut List) {
    use Reason::{DuplicateExtension, TooManyExtensions};
    let twice = |kind| {
        hello()
            .with_extensions([
                Extension::new(kind, []),
                Extension::server_name(NAME),
                Extension::new(kind, []),
            ])
            .bytes()
    };
    for kind in [1, kind::PADDING, kind::KEY_SHARE, 0x0a0a, 0x8000, 0xffff] {
        list.wrong(
            format!("extension {kind:#06x} twice"),
            twice(kind),
            DuplicateExtension,
        );
    }
    // One in each place of a word, so that none is looked over.
    for first in 0..5_u16 {
        for second in first + 1..7 {
            let all: Vec<_> = [Extension::server_name(NAME)]
                .into_iter()
                .chain(
                    (0..7)
                        .map(|at| Extension::new(if at == second { 0x100 + first } else { 0x100 + at }, [])),
                )
                .collect();
            list.wrong(
                format!("extensions {first} and {second} of the same type"),
                hello().with_extensions(all).bytes(),
                DuplicateExtension,
            );
        }
    }
    let mut last = many(EXTENSIONS_MAX);
    for extension in last.extensions.iter_mut().flatten().skip(EXTENSIONS_MAX - 1) {
        extension.kind = 0x4001;
    }
    list.wrong(
        "the last of the most extensions again",
        last.bytes(),
        DuplicateExtension,
    );
    list.reads("types that differ in one bit", {
        let kinds = (0..16).map(|bit| Extension::new(1 << bit, []));
        let all: Vec<_> = kinds.chain([Extension::server_name(NAME)]).collect();
        hello().with_extensions(all).bytes()
    });
    list.wrong(
        "one extension more than are looked at",
        many(EXTENSIONS_MAX + 1).bytes(),
        TooManyExtensions,
    );
    list.wrong("200 extensions", many(200).bytes(), TooManyExtensions);
    list.wrong(
        "a server name behind too many extensions",
        {
            let mut late = many(EXTENSIONS_MAX + 1);
            late.extensions.get_or_insert_default().rotate_left(1);
            late.bytes()
        },
        TooManyExtensions,
    );
}

fn lengths(list: &mut List) {
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

fn vectors_out_of_range(list: &mut List) {
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

fn records(list: &mut List) {
    use Reason::{HelloInRecords, HelloLengths, HelloTooLong, NotTls};
    let bytes = hello().bytes();
    for size in [1, 3, 4, 5, 40, 120, bytes.len() - 6] {
        list.wrong(
            format!("a hello in two records, the first with {size} bytes"),
            in_records(&bytes, &[size]),
            HelloInRecords,
        );
    }
    list.wrong(
        "a hello in records of one byte",
        in_records(&bytes, &vec![1; bytes.len() - 6]),
        HelloInRecords,
    );
    list.wrong("an empty record first", in_records(&bytes, &[0]), HelloInRecords);
    list.wrong(
        "a hello longer than a record",
        {
            let long = long(RECORD_MAX as usize + 100).bytes();
            in_records(&long, &[RECORD_MAX as usize])
        },
        HelloInRecords,
    );
    list.wrong(
        "a hello longer than a record, in one",
        long(RECORD_MAX as usize + 1).bytes(),
        HelloTooLong,
    );
    let content = &bytes[5..];
    let length = u16::try_from(content.len() * 2).unwrap_or_default().to_be_bytes();
    list.wrong(
        "two hellos in one record",
        [&[22, 3, 1], &length[..], content, content].concat(),
        HelloLengths,
    );
    list.wrong(
        "an alert first",
        [&[21, 3, 3, 0, 2, 1, 0][..], &bytes].concat(),
        NotTls,
    );
    list.wrong(
        "a change of cipher first",
        [&[20, 3, 3, 0, 1, 1][..], &bytes].concat(),
        NotTls,
    );
    list.wrong(
        "application data first",
        [&[23, 3, 3, 0, 5, 1, 2, 3, 4, 5][..], &bytes].concat(),
        NotTls,
    );
    list.wrong(
        "a heartbeat first",
        [&[24, 3, 3, 0, 3, 1, 0, 0][..], &bytes].concat(),
        NotTls,
    );
}

fn other_protocols(list: &mut List) {
    use Reason::NotTls;
    let mut not = |what: &str, bytes: &[u8]| list.wrong(what, bytes, NotTls);
    not("HTTP", b"GET / HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\n");
    not(
        "a proxy's CONNECT",
        b"CONNECT contoso.azurecr.io:443 HTTP/1.1\r\n\r\n",
    );
    not("HTTP/2 in plain", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    not("SSH", b"SSH-2.0-OpenSSH_9.2\r\n");
    not("the PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n");
    not(
        "the PROXY protocol, binary",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    );
    not("one byte that is no TLS", b"G");
    not("a NUL", b"\0");
    // Version 2 hello: length with its top bit, type 1, version (RFC 5246 appendix E.2).
    not(
        "an SSL 2.0 hello",
        &[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80],
    );
    not(
        "a DTLS hello",
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1],
    );
    for (what, message) in [
        ("a server's hello", 2),
        ("a hello request", 0),
        ("a finished message", 20),
    ] {
        let mut bytes = hello().bytes();
        bytes[5] = message;
        not(what, &bytes);
    }
    for major in [0, 2, 4, 0x7f] {
        let record = Hello {
            record_version: [major, 1],
            ..hello()
        };
        not(&format!("version {major}.1 in the record"), &record.bytes());
    }
}

/// A length that can not be true is told as soon as it can be read, whatever comes behind it.
fn lies_of_beginnings(list: &mut List) {
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

fn parts(list: &mut List) {
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
