//! Ending the sockets of denied sessions, on real sockets of hosts of the lab: the right one, wherever it is, and no
//! other. Needs root.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use enforcer::kernel::ender::{Cookie, SocketName};
use enforcer::kernel::{EndError, Ended, Ender, Victim};
use enforcer_lab::caller::Caller;
use enforcer_lab::{Cgroup, Namespace};
use rustix::net::sockopt::socket_cookie;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use socket2::{Domain, Protocol, Socket, Type};

/// A read that nothing ends fails after this long, so that a test fails and says where.
const LIMIT: Duration = Duration::from_secs(10);

fn host() -> Namespace {
    Namespace::new("ender").expect("the hosts need root and `cargo xtask setup`")
}

/// The two ends of a connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    /// On the host of the calling thread: the listener at `at`, the client a socket that `open` has made.
    fn with(at: &str, protocol: Protocol, client: Socket) -> Self {
        let at: SocketAddr = at.parse().unwrap();
        let listener = Socket::new(Domain::for_address(at), Type::STREAM, Some(protocol)).unwrap();
        listener.bind(&at.into()).unwrap();
        listener.listen(1).unwrap();
        let mut to = listener.local_addr().unwrap().as_socket().unwrap();
        if client.domain().unwrap() == Domain::IPV6 && to.is_ipv4() {
            to = format!("[::ffff:{}]:{}", to.ip(), to.port()).parse().unwrap();
        }
        client.connect(&to.into()).unwrap();
        let (server, _) = listener.accept().unwrap();
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(LIMIT)).unwrap();
        }
        Self {
            client: client.into(),
            server: server.into(),
        }
    }

    fn new(at: &str, domain: Domain) -> Self {
        Self::with(
            at,
            Protocol::TCP,
            Socket::new(domain, Type::STREAM, None).unwrap(),
        )
    }

    fn v4() -> Self {
        Self::new("127.0.0.1:0", Domain::IPV4)
    }

    /// The client as an event names it: IPv4 in its own form.
    fn victim(&self) -> Victim {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Victim {
            socket: SocketName {
                cookie: cookie(&self.client),
                source: canonical(self.client.local_addr().unwrap()),
                destination: canonical(self.client.peer_addr().unwrap()),
            },
            pid: None,
            cgroup: 0,
        }
    }

    #[track_caller]
    fn expect_alive(&mut self) {
        self.client.write_all(b"x").unwrap();
        self.server.read_exact(&mut [0]).unwrap();
        self.server.write_all(b"x").unwrap();
        self.client.read_exact(&mut [0]).unwrap();
    }

    /// Ends the client while it reads: it is told that it was aborted, its server of a reset.
    #[track_caller]
    fn expect_ended(&mut self, ender: &mut Ender, victim: &Victim) {
        let client = &mut self.client;
        let outcome = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let outcome = client.read(&mut [0]);
                (outcome, Instant::now())
            });
            let start = Instant::now();
            let ended = ender.end(victim).unwrap();
            let returned = start.elapsed();
            let (outcome, end) = reader.join().unwrap();
            println!(
                "end() returned after {returned:?}, the reader was told after {:?}",
                end.saturating_duration_since(start)
            );
            assert_eq!(ended, Ended::Yes);
            outcome
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        let server = self.server.read(&mut [0]);
        assert_eq!(server.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(
            ender.end(victim).unwrap(),
            Ended::Gone,
            "it can not be ended twice"
        );
    }
}

fn cookie(socket: &TcpStream) -> Cookie {
    Cookie::new(socket_cookie(socket).unwrap()).unwrap()
}

#[test]
fn a_blocked_reader_is_told_at_once() {
    host()
        .run(|| {
            let mut ender = Ender::new().unwrap();
            for (at, domain) in [
                ("127.0.0.1:0", Domain::IPV4),
                ("[::1]:0", Domain::IPV6),
                // The packets of this one are IPv4.
                ("127.0.0.1:0", Domain::IPV6),
            ] {
                let mut pair = Pair::new(at, domain);
                let victim = pair.victim();
                pair.expect_ended(&mut ender, &victim);
            }
        })
        .unwrap();
}

#[test]
fn a_connect_that_waits_is_ended() {
    let host = host();
    // Packets to this address go nowhere.
    host.ip("route add 198.51.100.0/24 dev lo").unwrap();
    host.run(|| {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let to: SocketAddr = "198.51.100.1:443".parse().unwrap();
        assert!(client.connect(&to.into()).is_err(), "it waits for an answer");
        let client = TcpStream::from(client);
        let victim = Victim {
            socket: SocketName {
                cookie: cookie(&client),
                source: client.local_addr().unwrap(),
                destination: to,
            },
            pid: None,
            cgroup: 0,
        };
        assert_eq!(Ender::new().unwrap().end(&victim).unwrap(), Ended::Yes);
        let error = client.take_error().unwrap().expect("an error");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    })
    .unwrap();
}

#[test]
fn only_the_socket_with_the_cookie_is_ended() {
    host()
        .run(|| {
            let mut ender = Ender::new().unwrap();
            let (mut pair, other) = (Pair::v4(), Pair::v4());
            let victim = pair.victim();
            for cookie in [cookie(&pair.server), cookie(&other.client)] {
                let wrong = Victim {
                    socket: SocketName {
                        cookie,
                        ..victim.socket
                    },
                    ..victim
                };
                assert_eq!(ender.end(&wrong).unwrap(), Ended::Gone);
                pair.expect_alive();
            }
        })
        .unwrap();
}

/// Two hosts with the same addresses: what looks alike from outside is another socket.
#[test]
fn a_twin_on_another_host_is_spared() {
    let (here, there) = (host(), host());
    let fixed = || {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let from: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        client.bind(&from.into()).unwrap();
        Pair::with("127.0.0.1:4001", Protocol::TCP, client)
    };
    let mut twin = there.run(fixed).unwrap();
    here.run(|| {
        let mut ender = Ender::new().unwrap();
        let mut pair = fixed();
        assert_eq!(ender.end(&twin.victim()).unwrap(), Ended::Gone);
        pair.expect_alive();
        let victim = pair.victim();
        pair.expect_ended(&mut ender, &victim);
    })
    .unwrap();
    twin.expect_alive();
}

/// Until the host of the calling thread has no IPv4 socket from `source` to end: a program that another test is just
/// starting may have a copy for a moment, and the last packets of a connection may still wait for their turn.
fn wait_until_closed(source: SocketAddr) {
    let SocketAddr::V4(source) = source else {
        panic!("{source} is not IPv4");
    };
    // As proc_pid_net(5) has it: the address as the machine keeps it, then the port, in hexadecimal.
    let address = u32::from_ne_bytes(source.ip().octets());
    let local = format!("{address:08X}:{:04X}", source.port());
    let open = || {
        let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        sockets
            .lines()
            .any(|line| line.split_whitespace().nth(1) == Some(&local))
    };
    let start = Instant::now();
    while open() {
        assert!(start.elapsed() < LIMIT, "{source} is still open");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_was_closed_is_gone() {
    host()
        .run(|| {
            let pair = Pair::v4();
            let victim = pair.victim();
            // Whoever closes last leaves nothing behind.
            drop(pair.server);
            drop(pair.client);
            wait_until_closed(victim.socket.source);
            assert_eq!(Ender::new().unwrap().end(&victim).unwrap(), Ended::Gone);
        })
        .unwrap();
}

/// A socket on another host than the ender is found through whoever lives there.
#[test]
fn another_host_is_found_by_process_and_by_cgroup() {
    let host = host();
    let cgroup = Cgroup::new("ender").unwrap();
    let inhabitant = Caller::start(&host, &cgroup).unwrap();
    let id = cgroup.path().metadata().unwrap().ino();
    let mut ender = Ender::new().unwrap();

    let mut pair = host.run(Pair::v4).unwrap();
    let by_process = Victim {
        pid: Some(inhabitant.pid()),
        ..pair.victim()
    };
    pair.expect_ended(&mut ender, &by_process);

    // Without a trace it is not found, and left alone.
    let mut pair = host.run(Pair::v4).unwrap();
    assert_eq!(ender.end(&pair.victim()).unwrap(), Ended::Gone);
    pair.expect_alive();

    for pid in [
        None,
        // Another process by now, or none: ids stay below 2^22.
        Some(std::process::id()),
        Some(4_194_999),
    ] {
        let mut pair = host.run(Pair::v4).unwrap();
        let by_cgroup = Victim {
            pid,
            cgroup: id,
            ..pair.victim()
        };
        pair.expect_ended(&mut ender, &by_cgroup);
    }
    // The ender has come back from there, or rather never left.
    let mut at_home = Pair::v4();
    let victim = at_home.victim();
    at_home.expect_ended(&mut ender, &victim);
}

/// The calling thread, and those that it starts, lose a capability for good.
fn give_up(capability: CapabilitySet) {
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(capability);
    sets.permitted.remove(capability);
    set_capabilities(None, sets).unwrap();
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    let host = host();
    let cgroup = Cgroup::new("ender").unwrap();
    let inhabitant = Caller::start(&host, &cgroup).unwrap();
    let mut there = host.run(Pair::v4).unwrap();
    let victim = Victim {
        pid: Some(inhabitant.pid()),
        ..there.victim()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            give_up(CapabilitySet::SYS_ADMIN);
            let mut ender = Ender::new().unwrap();
            let error = ender.end(&victim).unwrap_err();
            assert!(matches!(error, EndError::Namespace(_)), "{error:?}");
            assert!(error.hint().contains("CAP_SYS_ADMIN"));
            // At home it works all the same.
            let mut here = Pair::v4();
            let victim = Victim {
                pid: Some(inhabitant.pid()),
                ..here.victim()
            };
            here.expect_ended(&mut ender, &victim);
        });
    });
    host.run(|| {
        give_up(CapabilitySet::NET_ADMIN);
        let error = Ender::new().unwrap().end(&victim).unwrap_err();
        assert!(matches!(error, EndError::Kernel(_)), "{error:?}");
        assert!(error.hint().contains("CAP_NET_ADMIN"));
    })
    .unwrap();
    there.expect_alive();
}

/// The kernel knows it under the number of the interface, of which an event does not tell.
#[test]
fn a_socket_that_is_bound_to_an_interface_is_ended() {
    host()
        .run(|| {
            let mut ender = Ender::new().unwrap();
            for (at, domain) in [
                ("127.0.0.1:0", Domain::IPV4),
                ("[::1]:0", Domain::IPV6),
                ("127.0.0.1:0", Domain::IPV6),
            ] {
                let client = Socket::new(domain, Type::STREAM, None).unwrap();
                client.bind_device(Some(b"lo")).unwrap();
                let mut pair = Pair::with(at, Protocol::TCP, client);
                let victim = pair.victim();
                pair.expect_ended(&mut ender, &victim);
            }
        })
        .unwrap();
}

/// The packet of an event goes where address translation has sent it, not where its socket thinks.
#[test]
fn a_socket_whose_packets_are_translated_is_ended() {
    host()
        .run(|| {
            let mut ender = Ender::new().unwrap();
            let mut pair = Pair::v4();
            let mut victim = pair.victim();
            victim.socket.destination = "192.0.2.7:8443".parse().unwrap();
            pair.expect_ended(&mut ender, &victim);
        })
        .unwrap();
}

/// The cookie of the client's TCP socket, which for multipath TCP is not the one that the process holds; `None` when there
/// is none any more.
fn subflow_cookie(pair: &Pair) -> Option<Cookie> {
    let ports = format!(
        "sport = {} and dport = {}",
        pair.client.local_addr().unwrap().port(),
        pair.client.peer_addr().unwrap().port()
    );
    let output = std::process::Command::new("ss")
        .args(["-Htne", &ports])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("sk:"))?;
    Cookie::new(u64::from_str_radix(number, 16).unwrap())
}

/// With a server that does not speak it, multipath TCP is plain TCP with a socket on top.
#[test]
fn multipath_tcp_that_has_fallen_back_is_ended_through_its_subflow() {
    host()
        .run(|| {
            let mut ender = Ender::new().unwrap();
            let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).unwrap();
            let mut pair = Pair::with("127.0.0.1:0", Protocol::TCP, client);
            let mut victim = pair.victim();
            assert_eq!(
                ender.end(&victim).unwrap(),
                Ended::Gone,
                "this is the socket on top"
            );
            pair.expect_alive();
            victim.socket.cookie = subflow_cookie(&pair).expect("a subflow");
            pair.expect_ended(&mut ender, &victim);
        })
        .unwrap();
}

/// What is known not to work: the session waits for another subflow, and nothing ends it from outside.
#[test]
fn multipath_tcp_with_a_server_that_speaks_it_loses_its_subflow_only() {
    host()
        .run(|| {
            let mut ender = Ender::new().unwrap();
            let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).unwrap();
            let mut pair = Pair::with("127.0.0.1:0", Protocol::MPTCP, client);
            // Until something has come back, it may still fall back.
            pair.expect_alive();
            let mut victim = pair.victim();
            victim.socket.cookie = subflow_cookie(&pair).expect("a subflow");
            assert_eq!(ender.end(&victim).unwrap(), Ended::Yes);
            assert_eq!(subflow_cookie(&pair), None);
            pair.client.set_nonblocking(true).unwrap();
            let read = pair.client.read(&mut [0]);
            assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
        })
        .unwrap();
}
