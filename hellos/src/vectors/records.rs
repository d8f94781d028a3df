//! Hellos that lie in their records in a way that is not let through, and what is no TLS at all.

use enforcer_common::Reason;

use super::{List, RECORD_MAX, hello, long};
use crate::hello::{Hello, in_records};

pub(super) fn records(list: &mut List) {
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

pub(super) fn other_protocols(list: &mut List) {
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
