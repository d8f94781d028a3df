//! Long-lived flows: numbered blocks go out, and have to come back as they are, one after another.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::program::Shared;
use super::session;

/// Larger than a segment.
const BLOCK: usize = 4000;
/// Between two exchanges.
const PAUSE: Duration = Duration::from_millis(2);

/// TLS under the granted name.
pub(super) fn named(shared: &Shared, kind: &str, to: SocketAddr) -> Result<()> {
    keep(shared, kind, || session::open(shared, to))
}

/// TCP to an address that is granted as such.
pub(super) fn plain(shared: &Shared, kind: &str, to: SocketAddr) -> Result<()> {
    keep(shared, kind, || Ok(session::connect(shared, to)?))
}

/// Keeps a flow busy. Each end of one is told, and another one is opened.
fn keep<S: Stream>(shared: &Shared, kind: &str, open: impl Fn() -> Result<S>) -> Result<()> {
    while shared.goes_on() {
        let ended = match open() {
            Ok(stream) => exchange(shared, kind, stream).map_err(anyhow::Error::new),
            Err(failed) => Err(failed.context("it can not be opened")),
        };
        if let Err(failed) = ended {
            shared.counts().wrong(kind, &format!("{failed:#}"));
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn exchange<S: Stream>(shared: &Shared, kind: &str, mut stream: S) -> io::Result<()> {
    let (mut number, mut block, mut back) = (0_u64, vec![0x5a; BLOCK], vec![0; BLOCK]);
    while shared.goes_on() {
        block[..8].copy_from_slice(&number.to_be_bytes());
        let begin = Instant::now();
        let at = |error: io::Error| io::Error::new(error.kind(), format!("exchange {number}: {error}"));
        stream
            .write_all(&block)
            .and_then(|()| stream.flush())
            .map_err(at)?;
        stream.read_exact(&mut back).map_err(at)?;
        let took = begin.elapsed();
        if back != block {
            return Err(at(io::Error::other("something else came back")));
        }
        number += 1;
        let mut counts = shared.counts();
        counts.went(kind);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        counts.slowest_ms = counts.slowest_ms.max(took_ms);
        if took > shared.stall {
            counts.wrong(kind, &format!("exchange {number} took {took_ms} ms"));
        }
        drop(counts);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

trait Stream: Read + Write {}

impl Stream for TcpStream {}
impl Stream for session::Session {}
