//! ClientHellos that rustls' own client makes, in every way that it can be set up.

use std::sync::Arc;

use enforcer_common::client_hello::Parsed;
use enforcer_hellos::oracles::{self, Reading};
use enforcer_hellos::proof::{check, name_in, read};
use enforcer_hellos::vectors::NAME;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

/// The first bytes of a client that asks for `name`.
fn first_bytes(
    name: &'static str,
    versions: &[&'static SupportedProtocolVersion],
    protocols: usize,
) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring has them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = (0..protocols).map(|at| format!("protocol-{at}").into()).collect();
    config.resumption = Resumption::in_memory_sessions(1);
    let name = name.try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("a Vec takes everything");
    }
    bytes
}

#[test]
fn every_hello_of_rustls_is_read() {
    for versions in [&[&TLS13][..], &[&TLS12], &[&TLS13, &TLS12]] {
        for protocols in [0, 1, 2, 200] {
            // rustls sends its extensions in another order each time.
            for _ in 0..50 {
                let bytes = first_bytes(NAME, versions, protocols);
                let parsed = read(&bytes);
                assert!(matches!(parsed, Parsed::Whole(_)), "{parsed:?}");
                assert_eq!(name_in(&bytes, &parsed), Some(NAME.as_bytes()));
                assert_eq!(oracles::rustls(&bytes), Reading::Names(vec![NAME.into()]));
                assert_eq!(oracles::tls_parser(&bytes), Reading::Names(vec![NAME.into()]));
                check(&bytes).unwrap_or_else(|fault| panic!("{fault}"));
            }
        }
    }
}

#[test]
fn a_client_that_connects_by_address_sends_no_name() {
    let bytes = first_bytes("192.0.2.10", &[&TLS13], 1);
    assert_eq!(read(&bytes), Parsed::Wrong(enforcer_common::Reason::NoServerName));
    assert_eq!(oracles::rustls(&bytes), Reading::Names(Vec::new()));
}
