//! Socket calls by text, one a line: what [`crate::caller`] has another process do, so that the calls are made in that
//! process's cgroup and by its user.
//!
//! `NAME` is what the caller calls a socket; bytes are hexadecimal, numbers decimal.
//!
//! | line | answers with |
//! | --- | --- |
//! | `socket NAME inet\|inet6 stream\|dgram\|raw\|dccp PROTOCOL` | 0 |
//! | `option NAME LEVEL NUMBER BYTES` | 0 |
//! | `nonblocking NAME` | 0 |
//! | `connect NAME ADDRESS` | 0 |
//! | `finish NAME` (the end of a connect that does not block) | 0 |
//! | `send NAME BYTES` | bytes sent |
//! | `sendto NAME ADDRESS FLAGS BYTES` | bytes sent |
//! | `flood NAME ADDRESS COUNT` | how many of COUNT datagrams were refused with EPERM |
//! | `control NAME ADDRESS LEVEL TYPE CONTROL BYTES` (ancillary data) | bytes sent |
//! | `exchange NAME COUNT` (an echo of so many bytes) | bytes that came back |
//! | `receive NAME COUNT` | bytes that came, which are COUNT unless the other side ended |
//! | `port NAME` (its own) | the port |
//! | `cookie NAME` | what the kernel knows the socket by |
//! | `disconnect NAME` (it can be connected again) | 0 |
//! | `close NAME` | 0 |
//! | `user ID` (for good) | 0 |

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{connect_unspec, sockopt};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_res_uid};
use socket2::{Domain, MsgHdr, Protocol, SockAddr, Socket, Type};

/// What came of a line: a number, or the error of the call.
pub type Answer = Result<u64, Errno>;

/// A call that hangs ends with an error after this long, so that a test fails and says which.
const LIMIT: Duration = Duration::from_secs(10);

/// The sockets of the process, by name.
#[derive(Default)]
pub struct Sockets(BTreeMap<String, Socket>);

impl Sockets {
    /// Does what `line` says.
    ///
    /// # Errors
    /// What the call said; EINVAL also for a line that is none.
    pub fn call(&mut self, line: &str) -> Answer {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.dispatch(&words)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    }

    fn dispatch(&mut self, words: &[&str]) -> io::Result<u64> {
        match *words {
            ["socket", name, family, kind, protocol] => {
                let socket = open(family, kind, number(protocol)?)?;
                self.0.insert(name.to_owned(), socket);
                Ok(0)
            }
            ["option", name, level, option, value] => {
                set_option(self.get(name)?, number(level)?, number(option)?, &bytes(value)?).map(|()| 0)
            }
            ["nonblocking", name] => self.get(name)?.set_nonblocking(true).map(|()| 0),
            ["connect", name, to] => self.get(name)?.connect(&address(to)?).map(|()| 0),
            ["finish", name] => finish(self.get(name)?).map(|()| 0),
            ["send", name, what] => self.get(name)?.send(&bytes(what)?).map(|sent| sent as u64),
            ["sendto", name, to, flags, what] => self
                .get(name)?
                .send_to_with_flags(&bytes(what)?, &address(to)?, number(flags)?)
                .map(|sent| sent as u64),
            ["flood", name, to, count] => flood(self.get(name)?, &address(to)?, number(count)?),
            ["control", name, to, level, kind, control, what] => {
                let control = ancillary(number(level)?, number(kind)?, &bytes(control)?);
                let (to, what) = (address(to)?, bytes(what)?);
                let buffers = [IoSlice::new(&what)];
                let message = MsgHdr::new()
                    .with_addr(&to)
                    .with_buffers(&buffers)
                    .with_control(&control);
                self.get(name)?.sendmsg(&message, 0).map(|sent| sent as u64)
            }
            ["exchange", name, count] => exchange(self.get(name)?, number(count)?),
            ["receive", name, count] => receive(self.get(name)?, number(count)?),
            ["port", name] => {
                let own = self.get(name)?.local_addr()?.as_socket();
                Ok(own.map_or(0, |own| own.port().into()))
            }
            ["cookie", name] => Ok(sockopt::socket_cookie(self.get(name)?)?),
            ["disconnect", name] => Ok(connect_unspec(self.get(name)?).map(|()| 0)?),
            ["close", name] => match self.0.remove(name) {
                Some(_) => Ok(0),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            ["user", id] => become_user(number(id)?).map(|()| 0),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn get(&self, name: &str) -> io::Result<&Socket> {
        self.0.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Bytes as [`Sockets::call`] reads them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> io::Result<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = str::from_utf8(pair).map_err(io::Error::other)?;
            u8::from_str_radix(pair, 16).map_err(io::Error::other)
        })
        .collect()
}

fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn address(text: &str) -> io::Result<SockAddr> {
    number::<SocketAddr>(text).map(SockAddr::from)
}

fn open(family: &str, kind: &str, protocol: i32) -> io::Result<Socket> {
    let domain = match family {
        "inet" => Domain::IPV4,
        "inet6" => Domain::IPV6,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let kind = match kind {
        "stream" => Type::STREAM,
        "dgram" => Type::DGRAM,
        "raw" => Type::RAW,
        "dccp" => Type::from(libc::SOCK_DCCP),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let socket = Socket::new(domain, kind, Some(Protocol::from(protocol)))?;
    socket.set_write_timeout(Some(LIMIT))?;
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(socket)
}

/// Waits until a connect that did not block has ended.
fn finish(socket: &Socket) -> io::Result<()> {
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], None)?;
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn flood(socket: &Socket, to: &SockAddr, count: u64) -> io::Result<u64> {
    let mut refused = 0;
    for _ in 0..count {
        match socket.send_to(b"x", to) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Writes `count` bytes and reads what the other side echoes, both at once.
fn exchange(socket: &Socket, count: u64) -> io::Result<u64> {
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let block = [7; 16 * 1024];
            let mut left = count;
            while left > 0 {
                let size = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                (&*socket).write_all(&block[..size])?;
                left -= size as u64;
            }
            io::Result::Ok(())
        });
        let mut buffer = [0; 16 * 1024];
        let mut returned = 0;
        while returned < count {
            match (&*socket).read(&mut buffer)? {
                0 => break,
                size => returned += size as u64,
            }
        }
        if returned < count {
            // The writer must not wait for room that nobody makes.
            let _closed = socket.shutdown(Shutdown::Both);
        }
        writer
            .join()
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
        Ok(returned)
    })
}

/// Reads `count` bytes.
fn receive(mut socket: &Socket, count: u64) -> io::Result<u64> {
    let mut buffer = [0; 16 * 1024];
    let mut received = 0;
    while received < count {
        let room = usize::try_from(count - received)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match socket.read(&mut buffer[..room])? {
            0 => break,
            size => received += size as u64,
        }
    }
    Ok(received)
}

/// Without root, and with it without every capability.
fn become_user(id: u32) -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_gid(rustix::process::Gid::from_raw(id))?;
    let user = rustix::process::Uid::from_raw(id);
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// One control message (`struct cmsghdr`, then its bytes, padded to whole words; `man 3 cmsg`).
fn ancillary(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let length = 16 + data.len();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(level.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(data);
    message.resize(length.next_multiple_of(8), 0);
    message
}

/// setsockopt(2), for options that no library knows.
fn set_option(socket: &Socket, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` bytes from `value`, which has as many and lives until the call returns.
    let status =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast(), length) };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_line() {
        assert_eq!(bytes(&hex(&[0, 1, 0x7f, 0xff])).unwrap(), [0, 1, 0x7f, 0xff]);
        assert!(bytes("0g").is_err());
    }

    #[test]
    fn a_line_that_is_none_is_invalid() {
        for line in ["", "connect", "socket a inet7 stream 0", "sendto a b c d"] {
            assert!(Sockets::default().call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_datagram_is_sent_and_a_socket_closed() {
        let mut sockets = Sockets::default();
        sockets.call("socket a inet dgram 0").unwrap();
        assert_eq!(sockets.call("sendto a 127.0.0.1:9 0 0102"), Ok(2));
        assert_eq!(sockets.call("close a"), Ok(0));
        assert!(sockets.call("close a").is_err());
    }
}
