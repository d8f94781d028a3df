//! Ending the socket of a session that was denied, so that its client learns at once.
//!
//! A packet that egress drops is lost to TCP, which sends it again for 15 minutes before it tells the client. Ways to
//! tell it earlier, on kernels from 5.10 on:
//!
//! - A cgroup_skb program can only drop. (Its `NET_XMIT_CN` makes TCP slow, never end.)
//! - `bpf_sock_destroy` (Linux 6.5) can be called from an iterator program alone, which visits every TCP socket of one
//!   network namespace, and the daemon has to start it: it saves nothing over asking for one socket.
//! - `TCP_USER_TIMEOUT`, set by a sockops program (`bpf_setsockopt`), would have to be set for every connection before it
//!   is known to be denied, gives seconds at best, and breaks allowed connections over a network that fails for a while.
//! - `SOCK_DESTROY` of sock_diag (Linux 4.5, [`super::sock_diag`]) ends one socket that is named exactly. It needs
//!   CONFIG_INET_DIAG_DESTROY, which distributions set. This is what is done here: the client's call fails with
//!   ECONNABORTED, and the server gets a reset.
//!
//! A socket is looked for in its network namespace: that of the process which made it, that of enforcer, and those of the
//! processes in its cgroup, in this order. A process id may have been given to another process, or be one of another
//! pid namespace: it only says where to look first. The cookie decides, and no two sockets of a machine share one.
//!
//! Another namespace is entered by a thread that lives for this alone. That takes CAP_SYS_ADMIN, and CAP_SYS_PTRACE for
//! processes of other users; ending takes CAP_NET_ADMIN.
//!
//! Multipath TCP: the subflow that was denied is ended. With a server that does not speak it, the session has fallen
//! back to plain TCP, and its client sees the error like any other. Otherwise the kernel keeps the session in case another
//! subflow comes, which would be judged as well, and its client waits for a minute (`net.mptcp.close_timeout`, then
//! ENOTCONN): nothing ends such a session from outside (`mptcp_diag_handler` of net/mptcp/mptcp_diag.c has no `destroy`).

mod namespace;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use enforcer_common::Reason;
use enforcer_common::abi::Hook;
use enforcer_common::packet::protocol;

use self::namespace::NetworkNamespace;
use super::cgroup::Cgroup;
use super::events::Event;
use super::sock_diag::SockDiag;
pub use super::sock_diag::{Cookie, SocketName, Unsupported};

/// Most network namespaces that are looked into for one socket.
const NAMESPACES_MAX: usize = 8;
/// Most processes of a cgroup whose namespaces are looked at.
const PROCESSES_MAX: usize = 256;

/// How many of the sockets that were looked for last are remembered.
const REMEMBERED_MAX: usize = 64;

/// A socket that is to be ended, and where it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Victim {
    /// Which one.
    pub socket: SocketName,
    /// The process that made it, if known.
    pub pid: Option<u32>,
    /// The id of its cgroup; 0 when unknown.
    pub cgroup: u64,
}

impl Victim {
    /// The socket behind a denial that its client would wait for: a packet of TCP that was dropped.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        // Denied calls have told their caller already.
        let attempt = &event.attempt;
        let is_silent = attempt.hook == Hook::Egress && attempt.protocol == protocol::TCP && !event.audit;
        if !is_silent || passes_by_itself(event.reason) {
            return None;
        }
        let (source, destination) = (attempt.source?, attempt.destination?);
        Some(Self {
            socket: SocketName {
                cookie: Cookie::new(event.cookie)?,
                source: without_scope(source),
                destination: without_scope(destination),
            },
            pid: attempt.pid,
            cgroup: attempt.cgroup,
        })
    }
}

/// Whether TCP's next attempt may well be let through: such a connection is worth waiting for.
const fn passes_by_itself(reason: Reason) -> bool {
    matches!(
        reason,
        // The client goes on without fast open.
        Reason::PayloadInSyn
            | Reason::NoMemory
            // The policy was being replaced, or is about to be published.
            | Reason::PolicyChanging
            | Reason::NoPolicy
            // The programs were just replaced.
            | Reason::StateMissing
    )
}

/// The addresses as they are on the wire: IPv4, where a socket calls it `::ffff:a.b.c.d`.
fn without_scope(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What became of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It was ended.
    Yes,
    /// It is nowhere: closed meanwhile, or in a namespace of which neither its process nor its cgroup tells, or its port was
    /// translated. It is not looked for again.
    Gone,
}

/// Why a socket could not be ended. Its client waits until its own time-out.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// It may be in a network namespace that enforcer can not enter.
    #[error("the network namespace of a denied session can not be entered")]
    Namespace(#[source] io::Error),
    /// It was found and not ended, or the kernel did not look.
    #[error("the kernel did not end the socket of a denied session")]
    Kernel(#[source] io::Error),
}

impl EndError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Namespace(_) => {
                "give enforcer CAP_SYS_ADMIN and CAP_SYS_PTRACE, with which it can end sessions in containers at once"
            }
            Self::Kernel(_) => "give enforcer CAP_NET_ADMIN over the network namespaces of what it judges",
        }
    }
}

/// Ends sockets. Blocks for as long as the kernel takes, about 50 microseconds, and milliseconds when it has to walk through
/// processes or cgroups: to be used from a thread of its own.
#[derive(Debug)]
pub struct Ender {
    home: NetworkNamespace,
    home_diag: SockDiag,
    /// Sockets that were ended or are gone, the latest last: a client that writes fast is told of more than once, and what
    /// is not there would be looked for everywhere again.
    remembered: VecDeque<Cookie>,
}

impl Ender {
    /// Its home is the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Unsupported`]: no socket can be ended on this machine.
    pub fn new() -> Result<Self, Unsupported> {
        let home = NetworkNamespace::own()?;
        let mut home_diag = SockDiag::open()?;
        home_diag.check()?;
        Ok(Self {
            home,
            home_diag,
            remembered: VecDeque::with_capacity(REMEMBERED_MAX),
        })
    }

    /// Ends the socket, wherever it is.
    ///
    /// # Errors
    /// [`EndError`]: it was not ended, and may still be there.
    pub fn end(&mut self, victim: &Victim) -> Result<Ended, EndError> {
        let cookie = victim.socket.cookie;
        if self.remembered.contains(&cookie) {
            return Ok(Ended::Gone);
        }
        let ended = self.search(victim)?;
        if self.remembered.len() == REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.remembered.push_back(cookie);
        Ok(ended)
    }

    fn search(&mut self, victim: &Victim) -> Result<Ended, EndError> {
        let mut search = Search {
            ender: self,
            socket: &victim.socket,
            seen: Vec::new(),
            refused: None,
        };
        if search.look_at_process(victim.pid)?
            || search.look_at_home()?
            || search.look_at_cgroup(victim.cgroup)?
        {
            return Ok(Ended::Yes);
        }
        match search.refused {
            Some(error) => Err(EndError::Namespace(error)),
            None => Ok(Ended::Gone),
        }
    }
}

/// One socket and where it has been looked for.
struct Search<'a> {
    ender: &'a mut Ender,
    socket: &'a SocketName,
    seen: Vec<namespace::Id>,
    /// The first refusal to enter a namespace.
    refused: Option<io::Error>,
}

impl Search<'_> {
    fn look_at_process(&mut self, pid: Option<u32>) -> Result<bool, EndError> {
        match pid.map(NetworkNamespace::of_process) {
            Some(Ok(Some(namespace))) => self.look_into(&namespace),
            Some(Err(error)) => {
                self.refused.get_or_insert(error);
                Ok(false)
            }
            Some(Ok(None)) | None => Ok(false),
        }
    }

    fn look_at_home(&mut self) -> Result<bool, EndError> {
        if !self.is_new(self.ender.home.id()) {
            return Ok(false);
        }
        self.ender.home_diag.end(self.socket).map_err(EndError::Kernel)
    }

    fn look_at_cgroup(&mut self, id: u64) -> Result<bool, EndError> {
        // A cgroup that can not be found has been removed, or lies outside of enforcer's cgroup namespace.
        let Ok(Some(cgroup)) = Cgroup::find(id) else {
            return Ok(false);
        };
        for pid in cgroup
            .members()
            .unwrap_or_default()
            .into_iter()
            .take(PROCESSES_MAX)
        {
            if self.seen.len() >= NAMESPACES_MAX {
                break;
            }
            if self.look_at_process(Some(pid))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look_into(&mut self, namespace: &NetworkNamespace) -> Result<bool, EndError> {
        if namespace.id() == self.ender.home.id() {
            return self.look_at_home();
        }
        if !self.is_new(namespace.id()) {
            return Ok(false);
        }
        let socket = self.socket;
        let outcome = namespace.visit(|| SockDiag::open()?.end(socket));
        match outcome {
            Ok(found) => found.map_err(EndError::Kernel),
            Err(error) => {
                self.refused.get_or_insert(error);
                Ok(false)
            }
        }
    }

    fn is_new(&mut self, id: namespace::Id) -> bool {
        let is_new = !self.seen.contains(&id);
        if is_new {
            self.seen.push(id);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::events::Attempt;
    use super::*;

    fn event() -> Event {
        Event {
            attempt: Attempt {
                time: Duration::ZERO,
                hook: Hook::Egress,
                protocol: protocol::TCP,
                source: Some("[::ffff:192.0.2.1]:4000".parse().unwrap()),
                destination: Some("[::ffff:192.0.2.2]:443".parse().unwrap()),
                server_name: Vec::new(),
                rule: None,
                pid: Some(1),
                comm: String::new(),
                cgroup: 5,
                suppressed: 0,
            },
            audit: false,
            reason: Reason::AddressNotGranted,
            cookie: 9,
        }
    }

    fn with(change: impl FnOnce(&mut Attempt)) -> Event {
        let mut event = event();
        change(&mut event.attempt);
        event
    }

    #[test]
    fn the_socket_of_a_dropped_packet_is_ended_under_its_addresses_on_the_wire() {
        let victim = Victim::of(&event()).unwrap();
        assert_eq!(victim.socket.source, "192.0.2.1:4000".parse().unwrap());
        assert_eq!(victim.socket.destination, "192.0.2.2:443".parse().unwrap());
        assert_eq!((victim.pid, victim.cgroup), (Some(1), 5));
    }

    #[test]
    fn nothing_else_is_ended() {
        let spared = [
            (
                "audit lets it through",
                Event {
                    audit: true,
                    ..event()
                },
            ),
            (
                "the next packet may pass",
                Event {
                    reason: Reason::PayloadInSyn,
                    ..event()
                },
            ),
            ("the caller knows", with(|attempt| attempt.hook = Hook::Connect)),
            ("no connection", with(|attempt| attempt.protocol = protocol::UDP)),
            ("no socket", Event { cookie: 0, ..event() }),
            (
                "all sockets",
                Event {
                    cookie: u64::MAX,
                    ..event()
                },
            ),
            ("no address", with(|attempt| attempt.source = None)),
        ];
        for (why, event) in spared {
            assert_eq!(Victim::of(&event), None, "{why}");
        }
    }
}
