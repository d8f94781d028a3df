//! The load of the fault table: what is granted and must go on, what is denied and must not arrive, and counts of both.
//!
//! [`Load`] is a process in a cgroup on the client. It keeps long-lived flows busy, opens one short session after another,
//! sends single segments that are granted, and tries all the time what no policy grants. It counts what it sent and what
//! it was told. [`Server`] counts what arrived, with nothing of the enforcer in between: both together are a [`Tally`].

mod counts;
mod denied;
mod flow;
pub mod program;
mod segment;
mod server;
mod session;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cgroup::Cgroup;
use crate::daemon::LIMIT;
use crate::lab::{Lab, world};
use crate::programs;

pub use counts::{Counts, Denied};
pub use program::GRANTED_KINDS;
pub use server::{Server, Tally};

/// The name that a policy has to grant for the load to work.
pub const NAME: &str = "load.example.com";
/// A name of somebody else, on the same addresses.
pub const FOREIGN_NAME: &str = "foreign.example.com";
/// The addresses of [`NAME`].
pub const NAMED: [&str; 2] = ["198.51.100.70", "2001:db8:1::70"];
/// Addresses that a policy has to grant as such.
pub const PLAIN: [&str; 2] = ["198.51.100.80", "2001:db8:1::80"];
/// Addresses of somebody else.
pub const FOREIGN: [&str; 2] = world::BARE_ADDRESSES;
/// Everything of the load is on this port.
pub const PORT: u16 = 443;

/// The rules under which the load works as it should.
pub const RULES: &str = r#"mode = "enforce"

[[allow]]
name = "load.example.com"

[[allow]]
prefix = ["198.51.100.80/32", "2001:db8:1::80/128"]
"#;

/// An answer later than this is as good as none. TCP sends a lost segment again after 0.2, 0.6, 1.4, 3, 6.2 and 12.6 s.
pub const STALL: Duration = Duration::from_secs(20);

/// The address of one of the lists above, with the port.
fn at(address: &str) -> SocketAddr {
    SocketAddr::new(world::address(address), PORT)
}

/// The process; dropping it ends it.
pub struct Load {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it on the client of `lab`, in `cgroup`. An exchange that takes longer than `stall` counts as wrongly dropped.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn start(lab: &Lab, cgroup: &Cgroup, server: &Server, stall: Duration) -> Result<Self> {
        let mut command = lab.client_command(programs::load_program()?)?;
        command
            .arg(stall.as_millis().to_string())
            .env("SSL_CERT_FILE", server.certificates())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        cgroup.hold(&mut command)?;
        let mut child = command.spawn().context("the load cannot be started")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("its output was piped")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// What it has counted so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn counts(&mut self) -> Result<Counts> {
        self.ask("count")
    }

    /// Waits until every part of it has done something more than before.
    ///
    /// # Errors
    /// When one of them does not within [`LIMIT`].
    pub fn advance(&mut self) -> Result<()> {
        let (before, begin) = (self.counts()?, Instant::now());
        loop {
            let now = self.counts()?;
            let Some(part) = now.stuck_since(&before) else {
                return Ok(());
            };
            anyhow::ensure!(begin.elapsed() < LIMIT, "the load stands still: {part}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it, once every part is done with what it was at, and gives all that it has counted.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn stop(mut self) -> Result<Counts> {
        self.ask("stop")
    }

    fn ask(&mut self, what: &str) -> Result<Counts> {
        let input = self.input.as_mut().context("it is open until the drop")?;
        writeln!(input, "{what}").context("the load is gone")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the load answered `{}`", line.trim_end()))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.input = None;
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The addresses of the load's servers, which the lab does not have by itself.
fn own_addresses() -> impl Iterator<Item = IpAddr> {
    NAMED.into_iter().chain(PLAIN).map(world::address)
}
