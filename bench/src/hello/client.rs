//! The process that connects: this very program, started once more in a cgroup and on a host of the bench.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enforcer_hellos::Hello;
use rustix::net::sockopt::set_socket_linger;

use super::asked::{Asked, NAME};

/// Bytes of a record of application data: the most that there are (RFC 8446 section 5.1).
const RECORD: u16 = 1 << 14;
/// How long the other end may take to end a connection: what was denied never arrives there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does what the lines of its input say, and answers each with a line.
pub(crate) fn run() -> Result<()> {
    let mut open = None;
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["connect", to, count, records, asked, first, of] => {
                let (to, records, asked) = (to.parse()?, records.parse()?, Asked::parse(asked)?);
                let (first, of): (u32, u32) = (first.parse()?, of.parse()?);
                for at in 0..count.parse::<u32>()? {
                    let name = asked.name_at(first.wrapping_add(at), of);
                    if asked.is_granted() {
                        one(to, &name, records)?;
                    } else {
                        abandoned(to, &name)?;
                    }
                }
                String::from("done")
            }
            ["open", to] => {
                open = Some(begin(to.parse()?, NAME, 1)?);
                String::from("done")
            }
            ["send", milliseconds] => {
                let socket = open.as_mut().context("nothing is open")?;
                send(socket, Duration::from_millis(milliseconds.parse()?))?;
                String::from("done")
            }
            _ => bail!("`{line}` is not understood"),
        };
        println!("{answer}");
    }
    Ok(())
}

/// A record of application data.
fn record(length: u16) -> Vec<u8> {
    let mut record = vec![23, 3, 3];
    record.extend(length.to_be_bytes());
    record.resize(record.len() + usize::from(length), 0xda);
    record
}

/// A connection that has sent its hello and so many records behind it, each in a segment of its own.
fn begin(to: SocketAddr, name: &str, records: u32) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(to).with_context(|| format!("{to} is not reached"))?;
    socket.set_nodelay(true)?;
    socket.write_all(&Hello::asking_for(name).bytes())?;
    for _ in 0..records {
        socket.write_all(&record(64))?;
    }
    Ok(socket)
}

/// A whole connection, to its end at both sides.
fn one(to: SocketAddr, name: &str, records: u32) -> Result<()> {
    let mut socket = begin(to, name, records)?;
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let ended = socket
        .read(&mut [0; 1])
        .with_context(|| format!("a connection to {to} under `{name}` does not end"))?;
    if ended != 0 {
        bail!("{to} sends something");
    }
    Ok(())
}

/// A connection that is reset behind its hello: where that did not leave, no orderly end would either, which is behind it.
fn abandoned(to: SocketAddr, name: &str) -> Result<()> {
    let socket = begin(to, name, 0)?;
    Ok(set_socket_linger(&socket, Some(Duration::ZERO))?)
}

/// Sends records as fast as they are taken.
fn send(socket: &mut TcpStream, time: Duration) -> Result<()> {
    let records = record(RECORD).repeat(4);
    let begin = Instant::now();
    while begin.elapsed() < time {
        socket.write_all(&records)?;
    }
    Ok(())
}
