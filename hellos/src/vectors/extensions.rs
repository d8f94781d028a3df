//! Extensions that are there twice, and too many of them.

use enforcer_common::Reason;
use enforcer_common::client_hello::EXTENSIONS_MAX;

use super::{List, NAME, hello, many};
use crate::hello::{Extension, kind};

pub(super) fn vectors(list: &mut List) {
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
