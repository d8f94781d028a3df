//! Two hosts and the cable between them, with an ear at its far end: less than [`crate::Lab`], and made in no time.
//!
//! The far host has every address around those of [`crate::vectors`]. It takes TCP and UDP on all ports of [`PORTS`]
//! and on [`OPEN`], and echoes what comes by TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use enforcer_common::packet::{self, Family};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::lab::runtime_in;
use crate::namespace::{self, Namespace};
use crate::packets::{SOURCE_V4, SOURCE_V6};
use crate::vectors::PORTS;

/// A port that no policy filters, on which the far host listens as well.
pub const OPEN: u16 = 8080;
/// Where [`Wire::arrived`] sends its marks: the discard port.
const MARK: SocketAddr = SocketAddr::new(IpAddr::V4(FAR_V4), 9);
const FAR_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// What a socket of the family `AF_PACKET` takes for everything (Linux `include/uapi/linux/if_ether.h`, `ETH_P_ALL`).
const EVERYTHING: u16 = 3;
/// Room for what arrives between two looks, in bytes: a flood of 10,000 small frames is not lost.
const EAR_BYTES: usize = 32 * 1024 * 1024;

/// The hosts. Dropping it removes them.
pub struct Wire {
    _runtime: Runtime,
    near: Namespace,
    _far: Namespace,
    _sinks: Vec<UdpSocket>,
    ear: OwnedFd,
    marker: UdpSocket,
    marks: u32,
}

/// A frame that arrived at the far host.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it comes from, when there is a whole IP header.
    pub source: Option<IpAddr>,
    /// What its headers say, as far as they can be read.
    pub packet: packet::Packet,
    /// The IP packet.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Whether it was sent to `to`: the address, and the port where the frame has any.
    #[must_use]
    pub fn is_for(&self, to: SocketAddr) -> bool {
        IpAddr::from(self.packet.destination) == to.ip().to_canonical()
            && (!self.packet.has_ports || to.port() == 0 || self.packet.ports.destination == to.port())
    }
}

impl Wire {
    /// Makes the hosts.
    ///
    /// # Errors
    /// Without root.
    pub fn new() -> Result<Self> {
        crate::cleanup::sweep();
        let far = Namespace::new("far")?;
        let near = Namespace::new("near")?;
        namespace::join(&near, &far, "eth0")?;
        far.ip(&format!(
            "address add {FAR_V4}/24 dev eth0\naddress add 2001:db8:7::1/64 dev eth0 nodad\n\
             route add local 192.0.2.0/24 dev lo\nroute add local 203.0.113.0/24 dev lo\n\
             route add local 2001:db8::/64 dev lo\nroute add local 2001:db8:bad::/64 dev lo"
        ))?;
        near.ip(&format!(
            "address add {SOURCE_V4}/24 dev eth0\naddress add {SOURCE_V6}/64 dev eth0 nodad\n\
             route add default via {FAR_V4}\nroute add default via 2001:db8:7::1"
        ))?;
        let (listeners, sinks, ear) = far.run(|| Ok::<_, anyhow::Error>((listen()?, sinks()?, ear()?)))??;
        let runtime = runtime_in(&far)?;
        for listener in listeners {
            runtime.spawn(echo(listener));
        }
        let marker = near.run(|| UdpSocket::bind((SOURCE_V4, 0)))??;
        let mut wire = Self {
            _runtime: runtime,
            near,
            _far: far,
            _sinks: sinks,
            ear,
            marker,
            marks: 0,
        };
        // Neighbours are found now, so that no packet of a test waits for that.
        wire.arrived()?;
        let six = wire.near.run(|| UdpSocket::bind((SOURCE_V6, 0)))??;
        six.send_to(b"neighbour", "[2001:db8:7::1]:9")?;
        while !wire
            .arrived()?
            .iter()
            .any(|frame| frame.bytes.ends_with(b"neighbour"))
        {}
        Ok(wire)
    }

    /// The host of whoever is judged.
    #[must_use]
    pub fn near(&self) -> &Namespace {
        &self.near
    }

    /// Every frame that the near host has sent since the last look and that has arrived: nothing is still on its way.
    ///
    /// # Errors
    /// When the ear is deaf.
    pub fn arrived(&mut self) -> Result<Vec<Frame>> {
        self.marks += 1;
        let mark = self.marks.to_be_bytes();
        // From a process outside of every cgroup of a test. The cable keeps the order.
        self.marker.send_to(&mark, MARK).context("no mark can be sent")?;
        let mut frames = Vec::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let (_, size) = recv(&self.ear, &mut buffer[..], RecvFlags::empty())?;
            let Some(frame) = read(&buffer[..size]) else {
                continue;
            };
            if frame.is_for(MARK) && frame.bytes.ends_with(&mark) {
                return Ok(frames);
            }
            if frame
                .source
                .is_some_and(|source| source == SOURCE_V4 || source == SOURCE_V6)
            {
                frames.push(frame);
            }
        }
    }
}

/// A frame with IP in it.
fn read(frame: &[u8]) -> Option<Frame> {
    let (header, bytes) = frame.split_at_checked(14)?;
    let family = match header[12..] {
        [0x08, 0x00] => Family::V4,
        [0x86, 0xdd] => Family::V6,
        _ => return None,
    };
    let mut packet = packet::Packet::default();
    // What can not be read to its end arrived all the same.
    let _read = packet::parse(bytes, family, &mut packet);
    let source = packet::addresses(bytes, family).map(|(source, _)| IpAddr::from(source));
    Some(Frame {
        source,
        packet,
        bytes: bytes.to_vec(),
    })
}

fn ear() -> Result<OwnedFd> {
    let everything = rustix::net::Protocol::from_raw(
        std::num::NonZeroU32::new(u32::from(EVERYTHING.to_be())).context("not zero")?,
    );
    let ear = socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(everything),
    )?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&ear, EAR_BYTES)?;
    Ok(ear)
}

fn listen() -> Result<Vec<TcpListener>> {
    ports()
        .map(|port| {
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
                .with_context(|| format!("cannot listen on {port}"))
        })
        .collect()
}

/// Nobody reads them: without them the far host would answer that the port is closed.
fn sinks() -> Result<Vec<UdpSocket>> {
    ports()
        .chain([MARK.port()])
        .map(|port| {
            UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
                .with_context(|| format!("cannot bind UDP port {port}"))
        })
        .collect()
}

fn ports() -> impl Iterator<Item = u16> {
    PORTS.into_iter().chain([OPEN])
}

async fn echo(listener: TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(size @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..size]).await.is_err() {
                    break;
                }
            }
        });
    }
}
