//! The verdict by trying: a SYN, and where a server name is asked for a ClientHello, through the very code that the kernel
//! programs run.

use std::net::IpAddr;

use enforcer_common::Reason;
use enforcer_common::flow::Flow;
use enforcer_common::names::look_up_named;
use enforcer_common::packet::{Family, protocol};
use enforcer_common::session::{Step, judge, read};
use enforcer_common::table::PolicyWord;
use enforcer_common::verdict::{Verdict, judge_packet};

use crate::policy::table::HostTables;

/// The ways a connection is tried by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// A SYN, then a ClientHello.
    Tcp,
    /// One datagram.
    Udp,
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Nobody judged it.
    Ignored,
    /// It passed.
    Granted,
    /// The address passed, and no session was tried there, where a server name is asked for.
    GrantedUnderNames,
    /// It was denied.
    Denied(Reason),
}

/// Bytes of a name that go into a hello; more than any name that can be granted has.
const NAME_BYTES_MAX: usize = 1024;
/// Looks at one hello. It has one record, so that two are enough.
const STEPS_MAX: usize = 8;
/// Sequence number of the SYN.
const FIRST: u32 = 1;
/// A source port; nothing looks at it.
const SOURCE_PORT: u16 = 50_000;
const SYN: u8 = 0x02;
const PSH_ACK: u8 = 0x18;

/// Tries a connection to `address` and `port`, and there a session that asks for `server_name`: `None` tries no session,
/// an empty name one that asks for none.
pub(super) fn run(
    tables: &HostTables<'_>,
    ports: &[u16],
    protocol: Protocol,
    address: IpAddr,
    port: u16,
    server_name: Option<&str>,
) -> Outcome {
    let (family, header) = match address {
        IpAddr::V4(_) => (Family::V4, 20_u32),
        IpAddr::V6(_) => (Family::V6, 40),
    };
    let mut flow = Flow::default();
    let opening = match protocol {
        Protocol::Tcp => segment(port, FIRST, SYN, &[]),
        Protocol::Udp => datagram(port),
    };
    let opening = packet(address, protocol, &opening);
    let (judgement, _) = judge_packet(opening.as_slice(), family, ports, tables, &mut flow);
    match judgement.verdict {
        Verdict::Ignored => return Outcome::Ignored,
        Verdict::Denied(reason) => return Outcome::Denied(reason),
        Verdict::Granted | Verdict::Session => {}
    }
    if protocol == Protocol::Udp || judgement.grant.condition() == 0 {
        return Outcome::Granted;
    }
    let Some(server_name) = server_name else {
        return Outcome::GrantedUnderNames;
    };
    let payload = hello(server_name);
    let bytes = packet(address, protocol, &segment(port, FIRST + 1, PSH_ACK, &payload));
    let (judgement, _) = judge_packet(bytes.as_slice(), family, ports, tables, &mut flow);
    match judgement.verdict {
        Verdict::Session => {}
        Verdict::Denied(reason) => return Outcome::Denied(reason),
        Verdict::Ignored | Verdict::Granted => return Outcome::Granted,
    }
    debug_assert_eq!(flow.segment.payload, header + 20, "the hello follows the headers");
    let mut step = Step::Read;
    for _ in 0..STEPS_MAX {
        step = match step {
            Step::Read => read(
                bytes.as_slice(),
                &mut flow,
                PolicyWord::new(judgement.generation, judgement.settings),
            ),
            // The hello is whole, so there is nothing to gather: what is read of it is judged.
            Step::Gather | Step::Judge => {
                let mut name = flow.name;
                let answer = look_up_named(tables, flow.destination(), &mut name);
                let (judgement, next) = judge(&mut flow, &answer);
                if let Verdict::Denied(reason) = judgement.verdict {
                    return Outcome::Denied(reason);
                }
                next
            }
            Step::Pass => return Outcome::Granted,
        };
    }
    Outcome::Denied(Reason::TooManyRecords)
}

/// The IP header in front of a transport header and what follows it (RFC 791, RFC 8200).
fn packet(destination: IpAddr, protocol: Protocol, transport: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40 + transport.len());
    match destination {
        IpAddr::V4(destination) => {
            bytes.extend([0x45, 0]);
            bytes.extend(two(20 + transport.len()));
            bytes.extend([0, 0, 0x40, 0, 64, protocol.number(), 0, 0]);
            bytes.extend([192, 0, 2, 1]);
            bytes.extend(destination.octets());
        }
        IpAddr::V6(destination) => {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(two(transport.len()));
            bytes.extend([protocol.number(), 64]);
            bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            bytes.extend(destination.octets());
        }
    }
    bytes.extend(transport);
    bytes
}

/// A TCP segment (RFC 9293 section 3.1).
fn segment(port: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + payload.len());
    bytes.extend(SOURCE_PORT.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

/// A UDP datagram without content (RFC 768).
fn datagram(port: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8);
    bytes.extend(SOURCE_PORT.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 8, 0, 0]);
    bytes
}

/// The shortest honest ClientHello (RFC 8446 section 4.1.2) that asks for `server_name` (RFC 6066 section 3), in one record.
fn hello(server_name: &str) -> Vec<u8> {
    let bytes = server_name.as_bytes();
    let name = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let extensions = if name.is_empty() {
        Vec::new()
    } else {
        let entry = [&[0][..], &two(name.len()), name].concat();
        let list = [&two(entry.len())[..], &entry].concat();
        [&[0, 0][..], &two(list.len()), &list].concat()
    };
    let mut body = vec![3, 3];
    body.extend([0x5a; 32]);
    // No session, one suite (TLS_AES_128_GCM_SHA256), no compression.
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(two(extensions.len()));
    body.extend(extensions);
    let message = [&[1, 0][..], &two(body.len()), &body].concat();
    [&[22, 3, 1][..], &two(message.len()), &message].concat()
}

/// A length of two bytes; what is built here is far shorter than they can say.
fn two(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
