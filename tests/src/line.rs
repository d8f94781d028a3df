//! A long and lossy line between the client and the services, in user space: the kernel's own (netem) is often missing.
//!
//! Each of the two hosts gets a TUN device. A thread carries packets from the one to the other, holds each for a while,
//! and loses some. Names are still looked up over the cable, which neither delays nor loses.

mod tun;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::lab::world;
use crate::namespace::Namespace;

/// The interface on either host.
const INTERFACE: &str = "line0";
/// More than any packet of a device with the usual MTU.
const PACKET_BYTES_MAX: usize = 2048;
/// What lies on the line at a time, each way; more is lost, as on any line.
const PACKETS_MAX: usize = 10_000;

/// What the line does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// How long a packet takes, each way.
    pub delay: Duration,
    /// How many packets of a hundred are lost, each way.
    pub lost_percent: u32,
}

/// The line; dropping it takes it away, and packets take the cable again.
pub struct Line {
    // Its other end sees the hang-up.
    stop: Option<std::os::fd::OwnedFd>,
    carrier: Option<JoinHandle<()>>,
}

impl Line {
    /// Lays a line between two hosts that are joined by a cable.
    pub(crate) fn new(client: &Namespace, server: &Namespace, quality: Quality) -> Result<Self> {
        let client_end = client.run(|| tun::open(INTERFACE))?;
        let client_end = client_end.context("the client has no TUN device (is /dev/net/tun there?)")?;
        let server_end = server.run(|| tun::open(INTERFACE))?;
        let server_end = server_end.context("the servers have no TUN device")?;
        client.ip(world::LINE_CLIENT_SIDE)?;
        server.ip(world::LINE_SERVER_SIDE)?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let carrier = std::thread::Builder::new()
            .name("line".to_owned())
            .spawn(move || carry(client_end, server_end, stopped.as_fd(), quality))?;
        Ok(Self {
            stop: Some(stop),
            carrier: Some(carrier),
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(carrier) = self.carrier.take() {
            let _ended = carrier.join();
        }
    }
}

/// Packets on their way to one host, each with the time of its arrival.
struct Way {
    to: File,
    packets: VecDeque<(Instant, Vec<u8>)>,
}

impl Way {
    fn deliver(&mut self, now: Instant) {
        while let Some((_, packet)) = self.packets.pop_front_if(|(due, _)| *due <= now) {
            // A host that takes none right now loses it.
            let _taken = self.to.write(&packet);
        }
    }
}

/// Carries packets until the other end of `stopped` is closed.
fn carry(client: File, server: File, stopped: BorrowedFd<'_>, quality: Quality) {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut ways = [server, client].map(|to| Way {
        to,
        packets: VecDeque::new(),
    });
    loop {
        let now = Instant::now();
        ways.iter_mut().for_each(|way| way.deliver(now));
        let due = ways.iter().filter_map(|way| Some(way.packets.front()?.0)).min();
        let timeout =
            due.map(|due| Timespec::try_from(due.saturating_duration_since(now)).expect("delays are short"));
        let readable = {
            let ends = [ways[1].to.as_fd(), ways[0].to.as_fd(), stopped];
            let mut waited = ends.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN));
            match poll(&mut waited, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => waited.map(|end| end.revents()),
                Err(_) => return,
            }
        };
        // A host that is gone hangs up as well.
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if readable.iter().any(|events| events.intersects(gone)) {
            return;
        }
        for (from, events) in readable[..2].iter().enumerate() {
            if events.contains(PollFlags::IN) {
                take(&mut ways, from, quality, &mut dice);
            }
        }
    }
}

/// Takes what the host at the beginning of way `from` has sent.
fn take(ways: &mut [Way; 2], from: usize, quality: Quality, dice: &mut Dice) {
    let mut buffer = [0; PACKET_BYTES_MAX];
    while let Ok(bytes @ 1..) = (&ways[1 - from].to).read(&mut buffer) {
        let way = &mut ways[from];
        if way.packets.len() < PACKETS_MAX && dice.percent() >= quality.lost_percent {
            way.packets
                .push_back((Instant::now() + quality.delay, buffer[..bytes].to_vec()));
        }
    }
}

/// The same sequence every time (xorshift64*).
struct Dice(u64);

impl Dice {
    /// A number below 100.
    fn percent(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        u32::try_from(high % 100).expect("it is below 100")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_lose_about_as_many_as_they_should() {
        let mut dice = Dice(0x2545_F491_4F6C_DD1D);
        let lost = (0..10_000).filter(|_| dice.percent() < 5).count();
        assert!((400..600).contains(&lost), "{lost}");
    }
}
