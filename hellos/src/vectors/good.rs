//! Hellos that are right, in every shape that clients give them.

use enforcer_common::client_hello::EXTENSIONS_MAX;

use super::{List, NAME, RECORD_MAX, bare, hello, long, many};
use crate::hello::{Extension, Hello, kind};

pub(super) fn vectors(list: &mut List) {
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
