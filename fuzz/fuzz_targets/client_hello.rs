//! Any bytes as the beginning of a connection: the parser agrees with the other readers, or denies; it never changes
//! its mind when more bytes come; and it never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(fault) = enforcer_hellos::proof::check(bytes) {
        panic!("{fault}");
    }
});
