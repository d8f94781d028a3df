//! Connections without a pause, while something is done to the daemon: what must be denied, and what must go on.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;

use super::client::{self, Session};
use super::control::{Request, ask};
use crate::lab::world;

/// How long a granted session may wait for an answer of this slow machine.
const GRANTED_LIMIT: Duration = Duration::from_secs(15);
/// How long a session under a foreign name is waited for. While the daemon is dead nobody ends its socket.
const FOREIGN_LIMIT: Duration = Duration::from_millis(700);
/// What is waited between two tries. A handshake takes a tenth of a second of the emulated processors, and the daemon that
/// starts meanwhile needs them too.
const PAUSE: Duration = Duration::from_millis(50);
/// The same between two sessions.
const SESSION_PAUSE: Duration = Duration::from_millis(1000);
/// Errors that are told, of each kind.
const ERRORS_TOLD: usize = 2;

/// What came of the connections.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Connections to addresses that are not granted.
    pub(super) denied: u64,
    /// Those that got through, as the client or as the server saw it.
    pub(super) leaked: u64,
    /// Sessions under a foreign name on a granted address.
    pub(super) foreign: u64,
    /// Those whose name reached the server.
    pub(super) foreign_leaked: u64,
    /// Requests in the one session that was open all the time.
    pub(super) requests: u64,
    /// The longest that one of them took.
    pub(super) slowest: Duration,
    /// Sessions that were opened under the granted name.
    pub(super) granted: u64,
    /// What went wrong under the granted name, in words.
    pub(super) broken: Vec<String>,
}

impl Tally {
    /// # Errors
    /// When something got through that must not, or was denied that must not be.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.leaked == 0 && self.foreign_leaked == 0, "LEAKED: {self}");
        ensure!(self.broken.is_empty(), "wrongly denied or cut: {self}");
        ensure!(
            self.denied > 0 && self.foreign > 0 && self.requests > 0 && self.granted > 0,
            "not everything was tried: {self}"
        );
        Ok(())
    }
}

impl Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} denied connects, {} leaked; {} foreign names, {} leaked; {} requests in an open session, the slowest \
             {} ms; {} granted sessions, {} broken",
            self.denied,
            self.leaked,
            self.foreign,
            self.foreign_leaked,
            self.requests,
            self.slowest.as_millis(),
            self.granted,
            self.broken.len()
        )?;
        for words in self.broken.iter().take(ERRORS_TOLD) {
            write!(out, "; {words}")?;
        }
        Ok(())
    }
}

/// Threads that connect until they are stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    denied: JoinHandle<(u64, u64)>,
    foreign: JoinHandle<u64>,
    steady: JoinHandle<Steady>,
    granted: JoinHandle<(u64, Vec<String>)>,
    before: Servers,
}

/// What the open session has seen.
#[derive(Default)]
struct Steady {
    requests: u64,
    slowest: Duration,
    broken: Vec<String>,
}

/// What the servers have seen.
struct Servers {
    arrived: u64,
    foreign: u64,
}

impl Servers {
    fn ask() -> Result<Self> {
        let mut arrived = 0;
        for address in world::STORAGE_ADDRESSES {
            arrived += ask(&Request::Arrived(world::address(address)))?;
        }
        let foreign = ask(&Request::Visits(world::FABRIKAM.to_owned()))?;
        Ok(Self { arrived, foreign })
    }
}

impl Load {
    /// Starts; the session that stays open is open when it returns.
    ///
    /// # Errors
    /// When that one can not be opened, or the lab's network does not run.
    pub(super) fn start() -> Result<Self> {
        let config = client::config()?;
        let before = Servers::ask()?;
        let session = Session::open(
            config.clone(),
            world::CONTOSO,
            world::CONTOSO_ADDRESSES[0],
            GRANTED_LIMIT,
        )
        .context("the session that is to stay open can not be opened")?;
        let stop = Arc::new(AtomicBool::new(false));
        let spawn_stop = || stop.clone();
        let (one, two, three, four) = (spawn_stop(), spawn_stop(), spawn_stop(), spawn_stop());
        let (foreign_config, granted_config) = (config.clone(), config);
        Ok(Self {
            denied: std::thread::spawn(move || connect_to_denied(&one)),
            foreign: std::thread::spawn(move || visit_under_foreign(&two, &foreign_config)),
            steady: std::thread::spawn(move || keep_open(&three, session)),
            granted: std::thread::spawn(move || visit_granted(&four, &granted_config)),
            stop,
            before,
        })
    }

    /// Stops, and gives what was seen on both sides.
    ///
    /// # Errors
    /// When a thread panicked, or the lab's network does not run.
    pub(super) fn stop(self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let gone = |_| anyhow::anyhow!("a thread of the load panicked");
        let (denied, leaked) = self.denied.join().map_err(gone)?;
        let foreign = self.foreign.join().map_err(gone)?;
        let steady = self.steady.join().map_err(gone)?;
        let (granted, mut broken) = self.granted.join().map_err(gone)?;
        broken.extend(steady.broken);
        let after = Servers::ask()?;
        Ok(Tally {
            denied,
            // A connection that got through was counted on both sides.
            leaked: leaked.max(after.arrived - self.before.arrived),
            foreign,
            foreign_leaked: after.foreign - self.before.foreign,
            requests: steady.requests,
            slowest: steady.slowest,
            granted,
            broken,
        })
    }
}

/// Runs the connections while `work` does something.
///
/// # Errors
/// When `work` fails, and as [`Tally::check`].
pub(super) fn during(work: impl FnOnce() -> Result<String>) -> Result<String> {
    let load = Load::start()?;
    let outcome = work();
    let tally = load.stop()?;
    let words = outcome.with_context(|| format!("meanwhile: {tally}"))?;
    tally.check()?;
    Ok(format!("{words}; {tally}"))
}

/// Tries, and how many of them got through.
fn connect_to_denied(stop: &AtomicBool) -> (u64, u64) {
    let (mut tries, mut leaked) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        for address in world::STORAGE_ADDRESSES.map(world::address) {
            tries += 1;
            leaked += u64::from(is_reached(address));
        }
        std::thread::sleep(PAUSE);
    }
    (tries, leaked)
}

/// Whether a connection to `address` is made, within a short time.
pub(super) fn is_reached(address: IpAddr) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address, 443), FOREIGN_LIMIT).is_ok()
}

/// Tries; what arrived the servers know.
fn visit_under_foreign(stop: &AtomicBool, config: &Arc<ClientConfig>) -> u64 {
    let mut tries = 0;
    while !stop.load(Ordering::Relaxed) {
        tries += 1;
        let to = world::CONTOSO_ADDRESSES[if tries % 2 == 0 { 1 } else { 3 }];
        let _denied = client::visit(config, world::FABRIKAM, to, FOREIGN_LIMIT);
        std::thread::sleep(SESSION_PAUSE);
    }
    tries
}

fn keep_open(stop: &AtomicBool, mut session: Session) -> Steady {
    let mut steady = Steady::default();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        if let Err(error) = session.ask() {
            let words = format!("the open session after {} requests: {error:#}", steady.requests);
            steady.broken.push(words);
            break;
        }
        steady.requests += 1;
        steady.slowest = steady.slowest.max(begin.elapsed());
        std::thread::sleep(PAUSE);
    }
    steady
}

fn visit_granted(stop: &AtomicBool, config: &Arc<ClientConfig>) -> (u64, Vec<String>) {
    let (mut tries, mut broken) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        tries += 1;
        let to = world::CONTOSO_ADDRESSES[if tries % 2 == 0 { 0 } else { 2 }];
        if let Err(error) = client::visit(config, world::CONTOSO, to, GRANTED_LIMIT) {
            broken.push(format!("{} at {to}: {error:#}", world::CONTOSO));
        }
        std::thread::sleep(SESSION_PAUSE);
    }
    (tries, broken)
}
