//! Any bytes as an IP packet: the header parser never panics, finds ports only inside the packet, and tells of a cut
//! packet what it tells of the whole, or that it can not.

#![no_main]

use enforcer_common::packet::{self, Family, Packet, PacketError};
use libfuzzer_sys::fuzz_target;

fn parse(bytes: &[u8], family: Family) -> (Packet, Result<(), PacketError>) {
    let mut packet = Packet::default();
    let result = packet::parse(bytes, family, &mut packet);
    (packet, result)
}

fuzz_target!(|bytes: &[u8]| {
    for family in [Family::V4, Family::V6] {
        let (whole, result) = parse(bytes, family);
        let _ = packet::addresses(bytes, family);
        let _ = packet::check_options(bytes, whole.options);
        if result.is_ok() && whole.has_ports {
            let ports = whole.ports;
            let at = whole.transport as usize;
            let found = bytes.get(at..at + 4).expect("ports outside the packet");
            assert_eq!(found[..2], ports.source.to_be_bytes());
            assert_eq!(found[2..], ports.destination.to_be_bytes());
        }
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 40) {
            let (cut, part) = parse(&bytes[..length], family);
            match part {
                Ok(()) => assert_eq!((cut, part), (whole, result), "cut to {length} bytes"),
                Err(PacketError::Truncated) => {}
                // What is wrong does not become right with more bytes.
                Err(_) => assert_eq!(part, result, "cut to {length} bytes"),
            }
        }
    }
});
