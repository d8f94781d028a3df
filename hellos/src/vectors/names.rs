//! The name that is asked for, and the extension that it is in.

use enforcer_common::Reason;

use super::{Expected, List, NAME, hello};
use crate::hello::{Extension, Hello, kind};

pub(super) fn names(list: &mut List) {
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

pub(super) fn extensions(list: &mut List) {
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
