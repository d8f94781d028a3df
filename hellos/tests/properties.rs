//! Properties of the parser, over generated ClientHellos: however one is cut, changed or placed.

use enforcer_common::Reason;
use enforcer_common::client_hello::Parsed;
use enforcer_hellos::faults::{Fault, with_faults};
use enforcer_hellos::hello::{in_records, kind};
use enforcer_hellos::oracles::{self, Reading};
use enforcer_hellos::proof::{check, name_in, read, read_at};
use enforcer_hellos::recorded::RECORDINGS;
use enforcer_hellos::{Extension, Hello, Level};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

/// A name that every reader takes for one.
fn name() -> impl Strategy<Value = String> {
    // A last label with a letter first can not be taken for an address.
    "[a-zA-Z0-9]{1,20}(\\.[a-z0-9]{1,12}){0,4}\\.[a-zA-Z][a-z]{1,8}"
}

/// Extensions that any reader understands, in any order and number, with the server name among them.
fn extensions(name: String) -> impl Strategy<Value = Vec<Extension>> {
    let known = Hello::asking_for("a").extensions.unwrap_or_default();
    let signatures = known
        .iter()
        .filter(|extension| extension.kind == kind::SIGNATURES);
    // rustls wants the signature algorithms.
    let needed: Vec<_> = signatures
        .cloned()
        .chain([Extension::server_name(name)])
        .collect();
    let optional: Vec<_> = known
        .into_iter()
        .filter(|extension| ![kind::SERVER_NAME, kind::SIGNATURES].contains(&extension.kind))
        .collect();
    // Types that nobody knows, each once.
    let unknown = proptest::collection::btree_map(0x4000_u16..0x9000, vec(any::<u8>(), 0..120), 0..30);
    (subsequence(optional, 0..=7), unknown).prop_flat_map(move |(optional, unknown)| {
        let unknown = unknown
            .into_iter()
            .map(|(kind, content)| Extension::new(kind, content));
        let all: Vec<_> = needed.iter().cloned().chain(optional).chain(unknown).collect();
        Just(all).prop_shuffle()
    })
}

/// A good hello and its name.
fn good() -> impl Strategy<Value = (Hello, String)> {
    (
        name(),
        0_usize..=32,
        vec(any::<u16>(), 1..200),
        vec(1_u8.., 0..10),
        0_u8..=4,
    )
        .prop_flat_map(|(name, session, ciphers, others, minor)| {
            extensions(name.clone()).prop_map(move |extensions| {
                let hello = Hello {
                    record_version: [3, minor],
                    session_id: vec![0x11; session],
                    ciphers: ciphers.clone(),
                    // Every server wants the method 0, which is none.
                    compressions: [&[0], others.as_slice()].concat(),
                    ..Hello::asking_for("")
                };
                (hello.with_extensions(extensions), name.clone())
            })
        })
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

fn fault() -> impl Strategy<Value = Fault> {
    let kinds = prop_oneof![Just(kind::SERVER_NAME), 0_u16..60, any::<u16>()];
    let by = prop_oneof![-8_i16..8, any::<i16>()];
    let of_fields = prop_oneof![
        (any::<u8>(), any::<u8>()).prop_map(|(extension, to)| Fault::Repeat { extension, to }),
        any::<u8>().prop_map(|extension| Fault::Remove { extension }),
        (any::<u8>(), any::<u8>()).prop_map(|(extension, to)| Fault::Move { extension, to }),
        (any::<u8>(), kinds.clone()).prop_map(|(extension, kind)| Fault::Retype { extension, kind }),
        (any::<u8>(), kinds, bytes(20)).prop_map(|(to, kind, content)| Fault::Add { to, kind, content }),
        (any::<u8>(), bytes(20)).prop_map(|(to, name)| Fault::SecondName { to, name }),
        (any::<u8>(), any::<u16>(), any::<u8>()).prop_map(|(extension, at, byte)| Fault::Grow {
            extension,
            at,
            byte
        }),
        (any::<u8>(), any::<u16>()).prop_map(|(extension, at)| Fault::Shrink { extension, at }),
        (any::<u8>(), any::<u16>(), any::<u8>()).prop_map(|(extension, at, byte)| Fault::Change {
            extension,
            at,
            byte
        }),
        Just(Fault::NoExtensions),
        (0_u8..40).prop_map(|length| Fault::Session { length }),
        vec(any::<u16>(), 0..20).prop_map(|suites| Fault::Ciphers { suites }),
        bytes(5).prop_map(|methods| Fault::Compressions { methods }),
    ];
    let of_bytes = prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, bit)| Fault::Flip { at, bit }),
        (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Fault::Insert { at, byte }),
        (any::<u16>(), 1_u8..9).prop_map(|(at, count)| Fault::Delete { at, count }),
        any::<u16>().prop_map(|at| Fault::Cut { at }),
        bytes(40).prop_map(|bytes| Fault::Append { bytes }),
        any::<u16>().prop_map(|size| Fault::Records { size }),
        (20_u8..25, bytes(6)).prop_map(|(kind, content)| Fault::Before { kind, content }),
        (any::<u16>(), any::<u16>()).prop_map(|(at, from)| Fault::Splice { at, from }),
    ];
    prop_oneof![
        3 => of_fields,
        3 => (any::<u8>(), by).prop_map(|(level, by)| Fault::Length { level, by }),
        2 => of_bytes,
    ]
}

/// Any hello: a generated one, or one that was recorded.
fn any_hello() -> impl Strategy<Value = Hello> {
    let recorded: Vec<_> = RECORDINGS
        .iter()
        .filter_map(|(_, bytes)| Hello::read(bytes))
        .collect();
    prop_oneof![
        good().prop_map(|(hello, _)| hello),
        proptest::sample::select(recorded),
    ]
}

/// Offset behind the server name extension.
fn behind_the_name(hello: &Hello) -> usize {
    let built = hello.build();
    let (_, at, width) = *built
        .lengths
        .iter()
        .find(|(level, ..)| *level == Level::Name)
        .expect("a good hello has a name");
    at + width + usize::from(u16::from_be_bytes([built.bytes[at], built.bytes[at + 1]]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_good_hello_is_read_by_all_alike((hello, name) in good()) {
        let bytes = hello.bytes();
        let parsed = read(&bytes);
        prop_assert!(matches!(parsed, Parsed::Whole(_)), "{parsed:?}");
        prop_assert_eq!(name_in(&bytes, &parsed), Some(name.as_bytes()));
        let expected = Reading::Names(vec![name.to_ascii_lowercase().into_bytes()]);
        prop_assert_eq!(oracles::rustls(&bytes), expected.clone());
        prop_assert_eq!(oracles::tls_parser(&bytes), expected);
    }

    #[test]
    fn at_every_cut_a_good_hello_is_a_part((hello, name) in good()) {
        let bytes = hello.bytes();
        let readable = behind_the_name(&hello);
        for cut in 0..bytes.len() {
            let parsed = read(&bytes[..cut]);
            prop_assert!(matches!(parsed, Parsed::Part { .. }), "{parsed:?} at {cut}");
            let expected = (cut >= readable).then_some(name.as_bytes());
            prop_assert_eq!(name_in(&bytes, &parsed), expected, "at {}", cut);
        }
    }

    #[test]
    fn behind_anything_the_same_is_read((hello, _) in good(), before in bytes(300), behind in bytes(300)) {
        let alone = hello.bytes();
        let start = u32::try_from(before.len()).expect("short");
        let all = [before.as_slice(), &alone, &behind].concat();
        let (Parsed::Whole(here), Parsed::Whole(there)) = (read(&alone), read_at(&all, start)) else {
            return Err(TestCaseError::fail("not whole"));
        };
        prop_assert_eq!(here.name.at + start, there.name.at);
        prop_assert_eq!(here.name.length, there.name.length);
        prop_assert_eq!(here.end + start, there.end);
        prop_assert_eq!(here.early_data, there.early_data);
    }

    #[test]
    fn in_several_records_a_hello_is_never_let_through((hello, _) in good(), sizes in vec(0_usize..400, 1..4)) {
        let bytes = hello.bytes();
        prop_assume!(sizes[0] < bytes.len() - 5);
        let cut = in_records(&bytes, &sizes);
        prop_assert_eq!(read(&cut), Parsed::Wrong(Reason::HelloInRecords));
    }

    #[test]
    fn a_length_that_lies_is_never_let_through((hello, _) in good(), level in any::<prop::sample::Index>(), by in 1_usize..300, is_more: bool) {
        let built = hello.build();
        let (level, ..) = built.lengths[level.index(built.lengths.len())];
        let bytes = built.with_length(level, |length| if is_more { length + by } else { length.saturating_sub(by) });
        prop_assume!(bytes != built.bytes);
        // A list of extensions may by chance be another good one, where the content of one looks like several.
        if !matches!(level, Level::Extension(_) | Level::SessionId | Level::Ciphers | Level::Compressions) {
            let parsed = read(&bytes);
            prop_assert!(matches!(parsed, Parsed::Wrong(_)), "{level:?}: {parsed:?}");
        }
        check(&bytes).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_extension_may_be_there_twice((hello, _) in good(), which in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut extensions = hello.extensions.clone().expect("good hellos have some");
        let copy = extensions[which.index(extensions.len())].clone();
        extensions.insert(to.index(extensions.len() + 1), copy);
        prop_assume!(extensions.len() <= 64);
        let bytes = hello.with_extensions(extensions).bytes();
        prop_assert_eq!(read(&bytes), Parsed::Wrong(Reason::DuplicateExtension));
    }

    #[test]
    fn early_data_is_seen_wherever_it_is((hello, _) in good(), to in any::<prop::sample::Index>()) {
        let mut extensions = hello.extensions.clone().expect("good hellos have some");
        extensions.insert(to.index(extensions.len() + 1), Extension::new(kind::EARLY_DATA, []));
        let early = |hello: &Hello| match read(&hello.bytes()) {
            Parsed::Whole(hello) => Some(hello.early_data),
            _ => None,
        };
        prop_assert_eq!(early(&hello), Some(false));
        prop_assert_eq!(early(&hello.with_extensions(extensions)), Some(true));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_goes_wrong_no_reader_finds_another_name(
        hello in any_hello(),
        other in any_hello(),
        faults in vec(fault(), 1..5),
    ) {
        check(&with_faults(&hello, &faults, &other.bytes())).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in bytes(400), start in 0_u32..500) {
        let _ = read_at(&bytes, start);
        check(&bytes).map_err(TestCaseError::fail)?;
    }
}
