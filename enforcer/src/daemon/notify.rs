//! What the service manager is told: that enforcement has begun, how it goes, and that the daemon is alive.
//!
//! The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Without that
//! variable (started by hand, or by another manager) nothing is sent. Telling is never worth more than enforcing: a
//! message that can not be sent is reported once, and the daemon goes on.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// The variables of the protocol. They are for this process alone: a child that inherited them would speak for it.
const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How long a message may wait for a manager that does not read. A run loop that is held up longer would look dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// How many signs of life the manager expects in the time after which it gives the daemon up: one may be late.
const SIGNS_OF_LIFE: u32 = 3;

/// Most bytes of a status; `systemctl status` shows it in one line.
const STATUS_BYTES_MAX: usize = 512;

/// The line to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<SocketAddr>,
    watchdog: Option<Duration>,
    has_failed: AtomicBool,
}

/// Why a message did not reach the manager.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the socket in NOTIFY_SOCKET is neither a path nor an abstract name")]
    Address,
    #[error("{0}")]
    Send(#[from] io::Error),
}

impl Notifier {
    /// Takes the manager's variables out of the environment. To be called before the first thread is started, since
    /// later they can be read but not taken out.
    #[must_use]
    pub fn from_environment() -> Self {
        let [socket, period, pid] = VARIABLES.map(env::var_os);
        let text = |value: &Option<std::ffi::OsString>| value.as_ref()?.to_str().map(str::to_owned);
        let notifier = Self::new(
            socket.as_deref(),
            text(&period).as_deref(),
            text(&pid).as_deref(),
            std::process::id(),
        );
        if is_only_thread() {
            for name in VARIABLES {
                // SAFETY: `is_only_thread` found no other thread in this process, and only this one could start any:
                // nobody reads or writes the environment meanwhile.
                unsafe { env::remove_var(name) };
            }
        }
        notifier
    }

    /// `socket`, `period` and `pid` are the values of [`VARIABLES`]; `own_pid` is who the watchdog must mean.
    fn new(socket: Option<&OsStr>, period: Option<&str>, pid: Option<&str>, own_pid: u32) -> Self {
        let socket = socket.filter(|socket| !socket.is_empty());
        let manager = socket.and_then(address);
        let is_meant = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
        let period = period
            .and_then(|micros| micros.parse().ok())
            .filter(|micros| *micros > 0 && is_meant);
        let notifier = Self {
            watchdog: period.map(Duration::from_micros),
            manager,
            has_failed: AtomicBool::new(false),
        };
        if socket.is_some() && notifier.manager.is_none() {
            notifier.tell_once(&Failed::Address);
        }
        notifier
    }

    /// Whether a manager listens at all.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.manager.is_some()
    }

    /// Enforcement is in place; also the end of what [`Notifier::reloading`] began, whatever became of the reload.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\n{}", status_line(status)));
    }

    /// A line for `systemctl status`.
    pub fn status(&self, text: &str) {
        self.send(&status_line(text));
    }

    /// A reload has begun. The manager waits until [`Notifier::ready`].
    pub fn reloading(&self) {
        // Managers from systemd 253 on compare this time with that of their own request.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// The daemon is about to end because it was asked to.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\n{}", status_line(status)));
    }

    /// How often [`Notifier::alive`] should be called: three times in the period of the watchdog (10 s for
    /// `WatchdogSec=30`). `None` when no manager waits for it.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.manager.as_ref()?;
        Some(self.watchdog? / SIGNS_OF_LIFE)
    }

    /// A sign of life. To be given after a check that went well, and by the run loop alone: what does not come in time
    /// has the daemon killed and started again.
    pub fn alive(&self) {
        self.send("WATCHDOG=1\n");
    }

    fn send(&self, message: &str) {
        let Some(manager) = &self.manager else {
            return;
        };
        if let Err(failed) = send(manager, message) {
            self.tell_once(&failed);
        }
    }

    fn tell_once(&self, failed: &Failed) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            warn!(
                "the service manager can not be told how the daemon is ({failed}): it may take it for dead and start it \
                 again; what is enforced stays in force"
            );
        }
    }
}

/// The manager's address: a path, or an abstract name behind an `@` (unix(7)). Others (`vsock:`) are for machines.
fn address(socket: &OsStr) -> Option<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(socket).ok(),
        _ => None,
    }
}

/// Sends one datagram on a socket of its own: the manager's may have been made anew since the last one.
fn send(manager: &SocketAddr, message: &str) -> Result<(), Failed> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.send_to_addr(message.as_bytes(), manager)?;
    Ok(())
}

/// `STATUS=` in one line: a line break in the text would begin an assignment of its own.
fn status_line(text: &str) -> String {
    let mut line = text.replace(|c: char| c.is_control(), " ");
    line.truncate(line.floor_char_boundary(STATUS_BYTES_MAX));
    format!("STATUS={line}\n")
}

fn is_only_thread() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager with a real socket in a folder of its own.
    struct Manager {
        folder: tempfile::TempDir,
        socket: UnixDatagram,
    }

    impl Manager {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
            // A message that does not come must fail the test instead of holding it up.
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Self { folder, socket }
        }

        fn notifier(&self) -> Notifier {
            let path = self.folder.path().join("notify");
            Notifier::new(Some(path.as_os_str()), Some("30000000"), Some("7"), 7)
        }

        fn message(&self) -> String {
            read(&self.socket)
        }
    }

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn the_life_of_a_service_as_the_manager_reads_it() {
        let manager = Manager::new();
        let notifier = manager.notifier();
        assert!(notifier.is_heard());
        notifier.ready("enforcing");
        assert_eq!(manager.message(), "READY=1\nSTATUS=enforcing\n");
        notifier.status("generation 7");
        assert_eq!(manager.message(), "STATUS=generation 7\n");
        notifier.alive();
        assert_eq!(manager.message(), "WATCHDOG=1\n");
        notifier.reloading();
        let reloading = manager.message();
        let micros = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap_or_else(|| panic!("{reloading}"));
        assert!(micros.trim().parse::<u64>().unwrap() > 0);
        notifier.stopping("enforcement stays");
        assert_eq!(manager.message(), "STOPPING=1\nSTATUS=enforcement stays\n");
        assert!(!notifier.has_failed.load(Ordering::Relaxed));
    }

    #[test]
    fn a_status_can_not_say_anything_else() {
        let manager = Manager::new();
        manager.notifier().status("denied evil.test\nWATCHDOG=1\r\x1b[2J");
        assert_eq!(manager.message(), "STATUS=denied evil.test WATCHDOG=1  [2J\n");
        manager.notifier().status(&"ä".repeat(1000));
        assert_eq!(
            manager.message().len(),
            "STATUS=".len() + STATUS_BYTES_MAX + "\n".len()
        );
    }

    #[test]
    fn an_abstract_socket_is_a_manager_too() {
        let name = format!("enforcer-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let variable = format!("@{name}");
        Notifier::new(Some(OsStr::new(&variable)), None, None, 7).ready("");
        assert_eq!(read(&socket), "READY=1\nSTATUS=\n");
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        for socket in [None, Some(""), Some("vsock:2:1234"), Some("relative")] {
            let notifier = Notifier::new(socket.map(OsStr::new), Some("30000000"), None, 7);
            assert!(!notifier.is_heard(), "{socket:?}");
            assert_eq!(notifier.watchdog_interval(), None, "{socket:?}");
            notifier.ready("");
            notifier.alive();
        }
    }

    #[test]
    fn a_manager_that_has_gone_ends_nothing_and_may_come_back() {
        let manager = Manager::new();
        let notifier = manager.notifier();
        let path = manager.folder.path().join("notify");
        fs::remove_file(&path).unwrap();
        notifier.ready("");
        assert!(notifier.has_failed.load(Ordering::Relaxed));
        let again = UnixDatagram::bind(&path).unwrap();
        again.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        notifier.alive();
        assert_eq!(read(&again), "WATCHDOG=1\n");
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up_for_long() {
        let manager = Manager::new();
        let notifier = manager.notifier();
        // The kernel queues `net.unix.max_dgram_qlen` datagrams; the one after waits for its time-out.
        let sent = (0..10_000)
            .take_while(|_| {
                notifier.alive();
                !notifier.has_failed.load(Ordering::Relaxed)
            })
            .count();
        assert!(sent < 10_000, "the queue never filled");
    }

    #[test]
    fn the_watchdog_must_mean_this_process() {
        let socket = Some(OsStr::new("/run/none"));
        let interval = |period, pid| Notifier::new(socket, period, pid, 7).watchdog_interval();
        assert_eq!(
            interval(Some("30000000"), Some("7")),
            Some(Duration::from_secs(10))
        );
        assert_eq!(interval(Some("30000000"), None), Some(Duration::from_secs(10)));
        assert_eq!(interval(Some("30000000"), Some("8")), None);
        assert_eq!(interval(Some("30000000"), Some("")), None);
        assert_eq!(interval(Some("0"), None), None);
        assert_eq!(interval(Some("-1"), None), None);
        assert_eq!(interval(Some("soon"), None), None);
        assert_eq!(interval(None, Some("7")), None);
    }
}
