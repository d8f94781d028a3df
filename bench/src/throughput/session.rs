//! The process that holds both ends of the session: this very program, started once more. It reads orders, a line each with
//! how long to move bytes, and answers each with the processor time of one turn, in nanoseconds.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use enforcer_hellos::Hello;
use enforcer_lab::{Cgroup, Namespace};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::helper::Helper;
use crate::policy::PORT;
use crate::process::own_time;
use crate::statistics::{median, nanoseconds};

/// Where the server's end is, granted under the names of the policy.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The name that is asked for.
pub(super) const NAME: &str = "contoso.azurecr.io";
/// Bytes of a record of application data: the most that there are (RFC 8446 section 5.1).
const RECORD: u16 = 1 << 14;
/// Records that are written before they are read. The ends of a session do not wait for each other, so that far more than a
/// segment is under way; what is written and read piece by piece stays in the caches of one processor, which no session of
/// two processes has.
const RECORDS: usize = 16;
/// Bytes of the socket's buffer: all of them fit, for nobody reads while they are written.
const BUFFER: usize = 1 << 20;
/// Turns between two looks at the clock.
const TURNS: usize = 4;

/// Nanoseconds of processor time of one turn: as many bytes are written and read in each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    sending: f64,
    whole: f64,
}

impl Times {
    /// Of the sending end.
    pub(super) fn sending(&self) -> f64 {
        self.sending
    }

    /// Of both ends.
    pub(super) fn whole(&self) -> f64 {
        self.whole
    }
}

/// Opens the session, says so, and serves orders until there are no more.
///
/// # Errors
/// When the session can not be opened, or ends.
pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind((ADDRESS, PORT)).context("the server has no port")?;
    set_socket_recv_buffer_size_force(&listener, BUFFER)
        .context("the buffer of the session cannot be made large")?;
    let mut near = TcpStream::connect((ADDRESS, PORT)).context("the server is not reached")?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    let mut records = vec![23, 3, 3];
    records.extend(RECORD.to_be_bytes());
    records.resize(records.len() + usize::from(RECORD), 0xda);
    let records = records.repeat(RECORDS);
    let mut back = vec![0; records.len()];
    // The verdict is complete with the record that ends the clear part of the handshake.
    let hello = Hello::asking_for(NAME).bytes();
    near.write_all(&hello)?;
    far.read_exact(&mut back[..hello.len()])?;
    let mut turn = || -> Result<Times> {
        let begin = own_time();
        near.write_all(&records).context("the session ended")?;
        let written = own_time();
        far.read_exact(&mut back).context("the session ended")?;
        Ok(Times {
            sending: nanoseconds(written.saturating_sub(begin)),
            whole: nanoseconds(own_time().saturating_sub(begin)),
        })
    };
    turn()?;
    println!("open");
    for order in std::io::stdin().lock().lines() {
        let until = Instant::now() + Duration::from_millis(order?.parse()?);
        let mut turns = Vec::new();
        while Instant::now() < until {
            for _ in 0..TURNS {
                turns.push(turn()?);
            }
        }
        let middle = |time: fn(&Times) -> f64| {
            let times: Vec<f64> = turns.iter().map(time).collect();
            median(&times).context("a slice without a turn")
        };
        println!("{} {}", middle(Times::sending)?, middle(Times::whole)?);
    }
    Ok(())
}

/// The process as the bench sees it.
pub(super) struct Session(Helper);

impl Session {
    /// Starts it on a host and in a cgroup, and waits until its session is open.
    pub(super) fn open(host: &Namespace, cgroup: &Cgroup) -> Result<Self> {
        let mut helper = Helper::start(&["session"], host, cgroup)?;
        match helper.answer()?.as_str() {
            "open" => Ok(Self(helper)),
            other => bail!("the session says `{other}`"),
        }
    }

    /// Moves bytes for this long.
    pub(super) fn slice(&mut self, slice: Duration) -> Result<Times> {
        let answer = self.0.call(&slice.as_millis().to_string())?;
        let times = answer
            .split_once(' ')
            .and_then(|(sending, whole)| Some((sending.parse().ok()?, whole.parse().ok()?)));
        let (sending, whole) = times.with_context(|| format!("the session says `{answer}`"))?;
        Ok(Times { sending, whole })
    }
}
