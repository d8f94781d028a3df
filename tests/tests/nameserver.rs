//! The scriptable name server, asked with plain sockets: what it says is what every other test builds on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use enforcer_lab::nameserver::{Fault, NameServer, RecordType};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::Name;

/// Far beyond what an answer on loopback takes; only a failing test waits for it.
const LONG: Duration = Duration::from_secs(10);
/// How long the absence of an answer is watched.
const SHORT: Duration = Duration::from_millis(100);

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

fn ask_udp(server: SocketAddr, name: &str, kind: RecordType, patience: Duration) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(&question(name, kind), server).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(Message::from_vec(&buffer[..length]).unwrap())
}

fn ask_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let question = question(name, kind);
    let length = u16::try_from(question.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).unwrap();
    stream.write_all(&question).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

fn data(message: &Message) -> Vec<String> {
    message
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect()
}

#[test]
fn it_answers_over_udp_and_tcp_and_remembers_the_questions() {
    let server = NameServer::start(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    server.script(|zone| {
        zone.cname("a.example.com", 300, "b.example.com");
        zone.addresses("b.example.com", 10, &["198.51.100.1"]);
        zone.fault("b.example.com", RecordType::A, Fault::Truncate);
        zone.inject("a.example.com", "evil.test", 60, "203.0.113.66");
    });
    let answer = ask_udp(server.address(), "A.example.com.", RecordType::A, LONG).unwrap();
    assert!(answer.truncation);
    assert!(answer.answers.is_empty());
    let answer = ask_tcp(server.address(), "a.example.com.", RecordType::A);
    assert!(!answer.truncation);
    assert_eq!(data(&answer), ["b.example.com.", "198.51.100.1", "203.0.113.66"]);
    assert_eq!(server.count("a.example.com", RecordType::A), 2);
    assert_eq!(
        server.asked().iter().map(|asked| asked.tcp).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn faults_are_told_apart() {
    let server = NameServer::start(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let ask = |patience| ask_udp(server.address(), "a.example.com.", RecordType::A, patience);
    let code = || ask(LONG).unwrap().response_code;
    assert_eq!(code(), ResponseCode::NXDomain);
    server.script(|zone| zone.addresses("a.example.com", 10, &["2001:db8::1"]));
    let answer = ask(LONG).unwrap();
    assert_eq!(
        (answer.response_code, answer.authorities.len()),
        (ResponseCode::NoError, 1)
    );
    for (fault, expect) in [
        (Fault::ServFail, ResponseCode::ServFail),
        (Fault::Refused, ResponseCode::Refused),
        (Fault::NxDomain, ResponseCode::NXDomain),
        (Fault::NoData, ResponseCode::NoError),
    ] {
        server.script(|zone| zone.fault("a.example.com", RecordType::A, fault));
        assert_eq!(code(), expect);
    }
    server.script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
    assert!(ask(SHORT).is_none());
    server.script(|zone| zone.fault_everywhere(None));
    assert!(ask(LONG).is_some());
}

#[test]
fn two_addresses_and_both_families_are_served_until_it_is_dropped() {
    let server = NameServer::start(&["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]).unwrap();
    let [four, six] = server.addresses() else {
        panic!("two addresses were asked for");
    };
    assert!(ask_udp(*four, "a.example.com.", RecordType::A, LONG).is_some());
    ask_tcp(*six, "a.example.com.", RecordType::A);
    let four = *four;
    drop(server);
    assert!(TcpStream::connect(four).is_err());
}
