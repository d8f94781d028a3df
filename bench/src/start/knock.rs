//! A process in the cgroup that sends to a foreign address until it is refused: only then enforcement has begun.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};

use crate::daemon::Place;
use crate::policy::PORT;

/// In no policy of the bench (RFC 5737), and in a namespace that has no way there.
const FOREIGN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// The process, and when it was started.
pub(super) struct Knocking {
    child: Child,
    told: BufReader<ChildStdout>,
    begin: Duration,
}

impl Knocking {
    /// Starts it, and waits until it sends.
    ///
    /// # Errors
    /// When it can not be started.
    pub(super) fn start(place: &Place) -> Result<Self> {
        let own = std::env::current_exe().context("this program does not know where it is")?;
        let mut command = Command::new(own);
        command.arg("knock").stdout(Stdio::piped());
        place.cgroup.hold(&mut command)?;
        place.host.hold(&mut command)?;
        let mut child = command
            .spawn()
            .context("the knocking process cannot be started")?;
        let told = child.stdout.take().context("it has no pipe")?;
        let mut knocking = Self {
            child,
            told: BufReader::new(told),
            begin: Duration::ZERO,
        };
        knocking.line()?;
        knocking.begin = now();
        Ok(knocking)
    }

    /// From its start until it was refused.
    ///
    /// # Errors
    /// When it was not.
    pub(super) fn refused(mut self) -> Result<Duration> {
        let text = self.line()?;
        let at = Duration::from_nanos(text.trim().parse().with_context(|| format!("it says `{text}`"))?);
        Ok(at.saturating_sub(self.begin))
    }

    fn line(&mut self) -> Result<String> {
        let mut text = String::new();
        self.told.read_line(&mut text)?;
        Ok(text)
    }
}

impl Drop for Knocking {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The process itself: says that it begins, then when it was refused.
///
/// # Errors
/// When it has no socket, or is not refused for a long time.
pub(crate) fn run() -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("no socket can be made")?;
    println!("begins");
    // A minute at least, and it never outlives whoever started it by more.
    for _ in 0..600_000 {
        match socket.send_to(b"?", (FOREIGN, PORT)) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                println!("{}", now().as_nanos());
                return Ok(());
            }
            _ => std::thread::sleep(Duration::from_micros(100)),
        }
    }
    bail!("nobody refuses")
}

/// The same clock in every process.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
