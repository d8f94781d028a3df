//! `NETLINK_SOCK_DIAG` (sock_diag(7)): the request `SOCK_DESTROY`, and whether this kernel answers it.
//!
//! The kernel looks the socket up by addresses, ports and interface among those of the network namespace in which the
//! netlink socket was made, and takes it only if its cookie is the one of the request (`inet_diag_find_one_icsk` of
//! net/ipv4/inet_diag.c). An IPv6 socket that speaks IPv4 (`::ffff:a.b.c.d`) lies in the table under its IPv4
//! addresses, so packets of IPv4 always ask for IPv4.
//!
//! Two sockets are not found that way: one that is bound to an interface (`SO_BINDTODEVICE`, or a link-local address),
//! which lies under its number, and one whose packet was translated (NAT) before it came to egress. They are found in
//! the list of the sockets with the port that the packet came from, which takes longer: the kernel walks its whole table.
//!
//! The answer is there when the request has been sent: netlink works in the sender's context.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_TCP, SockDiagDestroy, SockDiagMessage};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, netlink, recv, send, socket_with,
};

/// Room for one batch of answers; the kernel makes no larger ones (`netlink_dump` of net/netlink/af_netlink.c).
const BATCH_SIZE: usize = 32 * 1024;
/// Most batches that are read for one request. Sockets that share a port fit into few.
const BATCHES_MAX: usize = 64;

/// What the kernel numbers sockets with (`SO_COOKIE`, `bpf_get_socket_cookie`): never used twice while it runs, in no
/// network namespace (Linux 5.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Cookie(NonZeroU64);

impl Cookie {
    /// `None` for 0, which no socket has, and for all ones, which stands for every socket (`INET_DIAG_NOCOOKIE`).
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number)
            .filter(|number| *number != NonZeroU64::MAX)
            .map(Self)
    }

    /// As `idiag_cookie` holds it: two words, the lower first, each in the machine's order.
    fn to_bytes(self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h] = self.0.get().to_le_bytes();
        let words = [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])];
        let mut bytes = [0; 8];
        for (field, word) in bytes.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// Which TCP socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketName {
    /// Its cookie.
    pub cookie: Cookie,
    /// Where its packets come from.
    pub source: SocketAddr,
    /// Whom it talks to.
    pub destination: SocketAddr,
}

/// Why sockets can not be ended on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// The kernel is built without it.
    #[error("the kernel is built without CONFIG_INET_DIAG_DESTROY")]
    NoDestroy,
    /// A module is missing and could not be loaded.
    #[error("the kernel modules inet_diag and tcp_diag are not there and could not be loaded")]
    NoModule,
    /// The kernel said something else.
    #[error("sock_diag does not answer: {0}")]
    Failed(#[from] io::Error),
}

/// A netlink socket for the network namespace in which it was made.
#[derive(Debug)]
pub(super) struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
}

impl SockDiag {
    /// For the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel is built without sock_diag, or a sandbox does not allow the call.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        // Connected to the kernel it takes answers from nobody else.
        connect(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Ends a socket: its owner sees ECONNABORTED, the other side a reset. `false` when there is no such socket.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN over the network namespace; EOPNOTSUPP when the kernel, or the kind of the socket, has
    /// no such function.
    pub(super) fn end(&mut self, name: &SocketName) -> io::Result<bool> {
        if self.destroy(id(name))? {
            return Ok(true);
        }
        match self.find(name)? {
            Some(id) => self.destroy(id),
            None => Ok(false),
        }
    }

    fn destroy(&mut self, id: SocketId) -> io::Result<bool> {
        let request = SockDiagDestroy::new(request(id, StateFlags::all()));
        match self.ask(request, NLM_F_ACK) {
            Ok(_) => Ok(true),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The socket with this cookie among those with this source port.
    fn find(&mut self, name: &SocketName) -> io::Result<Option<SocketId>> {
        let families: &[IpAddr] = match name.source.ip() {
            // IPv6 sockets that speak IPv4 are listed as IPv6.
            IpAddr::V4(_) => &[
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ],
            IpAddr::V6(_) => &[IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        };
        let cookie = name.cookie.to_bytes();
        for family in families {
            let any = SocketAddr::new(*family, 0);
            let filter = id_of(SocketAddr::new(*family, name.source.port()), any);
            // What listens has no peer, and what waits for its time to be over has no client.
            let states = StateFlags::all() - StateFlags::LISTEN - StateFlags::TIME_WAIT;
            let found = self.ask(request(filter, states), NLM_F_DUMP)?;
            if let Some(mut id) = found.into_iter().find(|id| id.cookie == cookie) {
                id.source_address = id.source_address.to_canonical();
                id.destination_address = id.destination_address.to_canonical();
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Whether the kernel can end TCP sockets at all, found without touching one.
    pub(super) fn check(&mut self) -> Result<(), Unsupported> {
        let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        // No socket has cookie 0, nor port 0.
        let nobody = SocketId {
            cookie: [0; 8],
            ..id_of(unspecified, unspecified)
        };
        // What cannot be is told before the lookup (`inet_diag_cmd_exact`), a module that is missing by ENOENT, and so
        // is a socket that is not there.
        let destroy = SockDiagDestroy::new(request(nobody.clone(), StateFlags::all()));
        match self
            .ask(destroy, NLM_F_ACK)
            .as_ref()
            .map_err(Errno::from_io_error)
        {
            Ok(_) | Err(Some(Errno::NOENT)) => {}
            Err(Some(Errno::OPNOTSUPP)) => return Err(Unsupported::NoDestroy),
            Err(error) => return Err(Unsupported::Failed(error.unwrap_or(Errno::IO).into())),
        }
        // A list of the sockets in no state is empty, unless nobody is there to make it.
        match self.ask(request(nobody, StateFlags::empty()), NLM_F_DUMP) {
            Ok(_) => Ok(()),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Err(Unsupported::NoModule),
            Err(error) => Err(Unsupported::Failed(error)),
        }
    }

    /// Sends a request, and reads the sockets that the kernel answers with and the status at their end.
    fn ask<M>(&mut self, request: M, flags: u16) -> io::Result<Vec<SocketId>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<M>>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answers = Answers::default();
        let mut batch = vec![0; BATCH_SIZE];
        for _ in 0..BATCHES_MAX {
            let (_, length) = recv(&self.socket, batch.as_mut_slice(), RecvFlags::DONTWAIT)?;
            if let Some(status) = answers.read(&batch[..length.min(BATCH_SIZE)], self.sequence)? {
                return status.map(|()| answers.sockets).map_err(io::Error::from);
            }
        }
        // What is left of them has another number, and the next request passes it over.
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// What came back so far.
#[derive(Default)]
struct Answers {
    sockets: Vec<SocketId>,
}

impl Answers {
    /// Reads a batch of messages; the status, once it has come. Answers to other requests are passed over.
    fn read(&mut self, mut batch: &[u8], sequence: u32) -> io::Result<Option<Result<(), Errno>>> {
        while !batch.is_empty() {
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(batch)
                .map_err(|error: DecodeError| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let length = (answer.header.length as usize).next_multiple_of(4);
            batch = batch.get(length..).unwrap_or_default();
            if answer.header.sequence_number != sequence {
                continue;
            }
            let code = match answer.payload {
                NetlinkPayload::Error(error) => error.raw_code(),
                NetlinkPayload::Done(done) => done.code,
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    self.sockets.push(response.header.socket_id);
                    continue;
                }
                _ => continue,
            };
            return Ok(Some(match code {
                0 => Ok(()),
                code => Err(Errno::from_raw_os_error(code.saturating_neg())),
            }));
        }
        Ok(None)
    }
}

fn request(socket_id: SocketId, states: StateFlags) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family: match socket_id.source_address {
            IpAddr::V4(_) => AF_INET,
            IpAddr::V6(_) => AF_INET6,
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    })
}

fn id(name: &SocketName) -> SocketId {
    SocketId {
        cookie: name.cookie.to_bytes(),
        ..id_of(name.source, name.destination)
    }
}

fn id_of(source: SocketAddr, destination: SocketAddr) -> SocketId {
    SocketId {
        source_port: source.port(),
        destination_port: destination.port(),
        source_address: source.ip(),
        destination_address: destination.ip(),
        interface_id: 0,
        cookie: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_mean_no_or_every_socket_are_none() {
        assert_eq!(Cookie::new(0), None);
        assert_eq!(Cookie::new(u64::MAX), None);
        assert!(Cookie::new(1).is_some());
        assert!(Cookie::new(u64::MAX - 1).is_some());
    }

    #[test]
    fn the_lower_word_of_a_cookie_comes_first() {
        let mut expected = [0; 8];
        expected[..4].copy_from_slice(&0x5566_7788_u32.to_ne_bytes());
        expected[4..].copy_from_slice(&0x1122_3344_u32.to_ne_bytes());
        assert_eq!(Cookie::new(0x1122_3344_5566_7788).unwrap().to_bytes(), expected);
    }

    #[test]
    fn a_request_is_what_the_kernel_reads() {
        let name = SocketName {
            cookie: Cookie::new(7).unwrap(),
            source: "192.0.2.1:4660".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        };
        let request = SockDiagDestroy::new(request(id(&name), StateFlags::all()));
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        // struct nlmsghdr, then struct inet_diag_req_v2 of include/uapi/linux/inet_diag.h.
        assert_eq!(bytes.len(), 16 + 56);
        assert_eq!(bytes[4..6], 21_u16.to_ne_bytes(), "SOCK_DESTROY");
        assert_eq!(bytes[16..18], [2, 6], "AF_INET, IPPROTO_TCP");
        assert_eq!(
            bytes[24..28],
            [0x12, 0x34, 0x01, 0xbb],
            "the ports in network order"
        );
        assert_eq!(bytes[28..32], [192, 0, 2, 1]);
        assert_eq!(bytes[44..48], [198, 51, 100, 2]);
        assert_eq!(bytes[60..64], [0; 4], "no interface");
        assert_eq!(bytes[64..72], Cookie::new(7).unwrap().to_bytes());
    }

    #[test]
    fn this_kernel_is_asked_without_harm() {
        SockDiag::open().unwrap().check().unwrap();
    }
}
