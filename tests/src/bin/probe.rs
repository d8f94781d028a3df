//! One connect, or one datagram and its echo, and in words what came of it: `probe tcp|udp ADDRESS:PORT`.
//!
//! Ends with status 0 when it worked and 1 when it did not.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long to wait for an answer. A denial comes at once; what takes this long was dropped in silence.
const LIMIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match probe() {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn probe() -> Result<String> {
    let mut arguments = std::env::args().skip(1);
    let (Some(protocol), Some(address)) = (arguments.next(), arguments.next()) else {
        bail!("usage: probe tcp|udp ADDRESS:PORT");
    };
    let address: SocketAddr = address.parse().context("not an address with a port")?;
    match protocol.as_str() {
        "tcp" => {
            TcpStream::connect_timeout(&address, LIMIT).context("connect")?;
            Ok("connected".to_owned())
        }
        "udp" => echo(address),
        other => bail!("no such protocol: {other}"),
    }
}

/// Sends without connecting, since that is another way into the kernel than `connect`.
fn echo(address: SocketAddr) -> Result<String> {
    let any = if address.is_ipv4() {
        "0.0.0.0:0".parse()?
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send_to(b"hello", address).context("send")?;
    let mut buffer = [0; 16];
    match socket.recv_from(&mut buffer) {
        Ok(_) => Ok("answered".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            bail!("no answer within {} s", LIMIT.as_secs())
        }
        Err(error) => Err(error).context("receive"),
    }
}
