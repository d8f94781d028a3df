//! The process that sends: it reads orders, a line each, and answers each with the time that a packet took.

use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::prefixes::Prefixes;
use crate::process::own_time;
use crate::statistics::{median, nanoseconds};

/// Packets between two looks at the clock: few enough that what else happens on the machine, a timer or an interrupt, falls
/// into few of many batches.
const BATCH: u32 = 64;
/// Packets before the clock starts: what has changed is cold.
const WARM: usize = 2000;
/// Bytes of a packet's payload.
const PAYLOAD: [u8; 64] = [0; 64];

/// What it sends to: the addresses are drawn again from the same seed.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Arguments {
    /// How many prefixes there are
    size: u32,
    /// What chance begins with
    seed: u64,
    /// The port
    port: u16,
}

/// Whether each packet goes elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Destinations {
    One,
    Random,
}

impl Destinations {
    pub(super) const BOTH: [Self; 2] = [Self::One, Self::Random];

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::One => "one destination",
            Self::Random => "random destinations",
        }
    }

    pub(super) const fn order(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Random => "random",
        }
    }
}

impl Arguments {
    pub(super) const fn new(size: u32, seed: u64, port: u16) -> Self {
        Self { size, seed, port }
    }

    /// As words of a command line.
    pub(super) fn as_words(self) -> [String; 4] {
        [
            "send".to_owned(),
            self.size.to_string(),
            self.seed.to_string(),
            self.port.to_string(),
        ]
    }
}

/// Serves orders until there are no more.
///
/// # Errors
/// When a packet can not be sent.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let mut prefixes = Prefixes::new(arguments.size, arguments.seed);
    let destinations: Vec<SocketAddrV4> = prefixes
        .addresses(arguments.size as usize)
        .into_iter()
        .map(|address| SocketAddrV4::new(address, arguments.port))
        .collect();
    let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("no socket can be made");
    let (connected, free) = (bind()?, bind()?);
    let one = destinations.first().context("there is nowhere to send to")?;
    connected.connect(one).context("the socket cannot be connected")?;
    let mut next = destinations.iter().cycle();
    for order in std::io::stdin().lock().lines() {
        let order = order?;
        let (kind, milliseconds) = order.split_once(' ').context("an order of two words")?;
        let slice = Duration::from_millis(milliseconds.parse()?);
        let each = match kind {
            "one" => slice_of(slice, || connected.send(&PAYLOAD).map(drop))?,
            "random" => slice_of(slice, || {
                let to = next.next().unwrap_or(one);
                free.send_to(&PAYLOAD, to).map(drop)
            })?,
            other => bail!("no order `{other}`"),
        };
        println!("{each}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Sends for this long; nanoseconds of processor time for a packet, as in the middle one of all batches.
fn slice_of(slice: Duration, mut send: impl FnMut() -> std::io::Result<()>) -> Result<f64> {
    for _ in 0..WARM {
        send().context("a granted packet is refused")?;
    }
    let until = Instant::now() + slice;
    let mut batches = Vec::new();
    while Instant::now() < until {
        let begin = own_time();
        for _ in 0..BATCH {
            send().context("a granted packet is refused")?;
        }
        batches.push(nanoseconds(own_time().saturating_sub(begin)) / f64::from(BATCH));
    }
    median(&batches).context("a slice in which nothing was sent")
}
