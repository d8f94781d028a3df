//! Before the network: what two connections come to while there is no interface but the loopback.
//!
//! The kernel asks the programs before it looks for a route. A denied connection is refused (`EPERM`), and one that is
//! granted finds that there is no network (`ENETUNREACH`).

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::FOLDER;
use crate::lab::world;

/// Nothing is asked that could take time.
const LIMIT: Duration = Duration::from_secs(1);
/// Between the words of a list.
const SPACE: &str = " ";

/// What was found before the network was there.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Early {
    /// The interfaces that there were.
    pub(super) interfaces: Vec<String>,
    /// The errors of connections to denied addresses, as `errno` has them; 0 for none.
    pub(super) denied: Vec<i32>,
    /// Those of connections to granted ones.
    pub(super) granted: Vec<i32>,
    /// Seconds since the kernel started.
    pub(super) uptime: f32,
}

/// Looks, and writes it down.
///
/// # Errors
/// When it can not be written.
pub(super) fn run() -> Result<()> {
    let interfaces = fs::read_dir("/sys/class/net")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let early = Early {
        interfaces,
        denied: world::STORAGE_ADDRESSES.map(connect).to_vec(),
        granted: [world::CONTOSO_ADDRESSES[0], world::CONTOSO_ADDRESSES[2]]
            .map(connect)
            .to_vec(),
        uptime: uptime()?,
    };
    fs::write(file(), early.write()).context("what was found can not be written down")
}

/// Seconds since the kernel started.
pub(super) fn uptime() -> Result<f32> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split_whitespace().next().context("/proc/uptime is empty")?;
    Ok(seconds.parse()?)
}

fn file() -> PathBuf {
    [FOLDER, "early"].iter().collect()
}

/// The error of a connection to `address`; 0 for none.
fn connect(address: &str) -> i32 {
    let address = SocketAddr::new(world::address(address), 443);
    match TcpStream::connect_timeout(&address, LIMIT) {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

impl Early {
    /// What [`run`] has written.
    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(file()).context("nobody looked before the network was there")?;
        Self::parse(&text).context("what was found before the network was there is not readable")
    }

    fn write(&self) -> String {
        let numbers = |list: &[i32]| list.iter().map(i32::to_string).collect::<Vec<_>>().join(SPACE);
        format!(
            "{}\n{}\n{}\n{}\n",
            self.interfaces.join(SPACE),
            numbers(&self.denied),
            numbers(&self.granted),
            self.uptime
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let numbers =
            |line: &str| -> Option<Vec<i32>> { line.split(SPACE).map(|word| word.parse().ok()).collect() };
        Some(Self {
            interfaces: lines.next()?.split(SPACE).map(str::to_owned).collect(),
            denied: numbers(lines.next()?)?,
            granted: numbers(lines.next()?)?,
            uptime: lines.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let early = Early {
            interfaces: vec!["lo".to_owned(), "eth0".to_owned()],
            denied: vec![1, 1],
            granted: vec![101, 0],
            uptime: 3.25,
        };
        assert_eq!(Early::parse(&early.write()), Some(early));
    }
}
