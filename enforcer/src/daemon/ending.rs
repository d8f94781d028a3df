//! The thread that ends the sockets of denied sessions, and the queue in front of it.
//!
//! Finding a socket may take a walk through processes and cgroups, which the run loop must not wait for. The queue is
//! bounded: whoever makes denials faster than they are ended fills it, and what does not fit is dropped. Nothing is lost by
//! that: a socket that lives sends its packet again, which is denied and told again.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::kernel::{EndError, Ender, Event, Victim};

/// Sockets that wait to be ended. A burst of events of one reason and CPU is as large.
const QUEUE_LENGTH: usize = 256;

/// The queue. Dropping it ends the thread, once it has done what it was given.
pub(super) struct Ending {
    /// `None` where no socket can be ended.
    queue: Option<SyncSender<Victim>>,
}

impl Ending {
    /// Starts the thread. `tell` is given what keeps sockets from being ended, each kind once.
    pub(super) fn start(tell: impl Fn(fmt::Arguments<'_>) + Send + 'static) -> Self {
        let ender = match Ender::new() {
            Ok(ender) => ender,
            Err(error) => {
                tell(format_args!(
                    "denied sessions can not be ended: {error}; their clients wait until their own time-out"
                ));
                return Self { queue: None };
            }
        };
        let (queue, victims) = sync_channel(QUEUE_LENGTH);
        let started = thread::Builder::new()
            .name("ender".to_owned())
            .spawn(move || work(ender, &victims, tell));
        // Without a thread nobody receives, and every victim is dropped.
        drop(started);
        Self { queue: Some(queue) }
    }

    /// Ends the socket of a denial, if it has one whose client would wait. Never blocks.
    pub(super) fn take(&self, event: &Event) {
        if let (Some(queue), Some(victim)) = (&self.queue, Victim::of(event)) {
            let _is_full = queue.try_send(victim);
        }
    }
}

fn work(mut ender: Ender, victims: &Receiver<Victim>, tell: impl Fn(fmt::Arguments<'_>)) {
    let mut told = Vec::new();
    for victim in victims {
        let Err(error) = ender.end(&victim) else {
            continue;
        };
        let kind = std::mem::discriminant(&error);
        if !told.contains(&kind) {
            told.push(kind);
            tell(format_args!("{}", Words(&error)));
        }
    }
}

/// A failure, what it means, and what to do.
struct Words<'a>(&'a EndError);

impl fmt::Display for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)?;
        if let Some(cause) = std::error::Error::source(self.0) {
            write!(out, " ({cause})")?;
        }
        write!(
            out,
            ": clients of such sessions wait until their own time-out; {}",
            self.0.hint()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use enforcer_common::Reason;
    use enforcer_common::abi::Hook;
    use rustix::net::sockopt::socket_cookie;

    use super::*;
    use crate::kernel::Attempt;

    fn denial_of(client: &TcpStream) -> Event {
        Event {
            attempt: Attempt {
                time: Duration::ZERO,
                hook: Hook::Egress,
                protocol: 6,
                source: Some(client.local_addr().unwrap()),
                destination: Some(client.peer_addr().unwrap()),
                server_name: Vec::new(),
                rule: None,
                pid: Some(std::process::id()),
                comm: String::new(),
                cgroup: 0,
                suppressed: 0,
            },
            audit: false,
            reason: Reason::AddressNotGranted,
            cookie: socket_cookie(client).unwrap(),
        }
    }

    /// As root the session ends; without, it is told why not. The session is one of this machine with itself.
    #[test]
    fn a_denial_ends_its_session_and_no_other() {
        let (teller, told) = std::sync::mpsc::channel();
        let ending = Ending::start(move |words| teller.send(words.to_string()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut denied, other) = (
            TcpStream::connect(address).unwrap(),
            TcpStream::connect(address).unwrap(),
        );
        ending.take(&Event {
            audit: true,
            ..denial_of(&other)
        });
        ending.take(&denial_of(&denied));
        // Ends the thread once it has done everything.
        drop(ending);
        match told.recv() {
            Ok(words) => assert!(words.contains("CAP_NET_ADMIN"), "{words}"),
            Err(_) => {
                let error = denied.read(&mut [0]).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED));
            }
        }
        assert!(other.take_error().unwrap().is_none());
    }

    #[test]
    fn a_full_queue_drops_and_never_blocks() {
        let (queue, victims) = sync_channel(1);
        let ending = Ending { queue: Some(queue) };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for _ in 0..3 {
            ending.take(&denial_of(&client));
        }
        assert_eq!(victims.try_iter().count(), 1);
    }

    #[test]
    fn a_failure_says_what_it_means() {
        let error = EndError::Namespace(std::io::Error::from_raw_os_error(libc::EPERM));
        let words = Words(&error).to_string();
        assert!(words.contains("wait until their own time-out"), "{words}");
        assert!(words.contains("CAP_SYS_ADMIN"), "{words}");
    }
}
