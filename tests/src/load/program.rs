//! The process that is the load: a thread for each part, and counts on demand.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::ClientConfig;

use super::counts::Counts;
use super::{NAMED, PLAIN, at, denied, flow, segment, session};
use crate::ca::trusting;

/// What is granted: the keys of [`Counts::granted`].
pub const GRANTED_KINDS: [&str; 10] = [
    "flow named 4",
    "flow named 6",
    "flow plain 4",
    "flow plain 6",
    "session 4",
    "session 6",
    "segment named 4",
    "segment named 6",
    "segment plain 4",
    "segment plain 6",
];

/// What the parts share.
pub(super) struct Shared {
    counts: Mutex<Counts>,
    stop: AtomicBool,
    /// How long an exchange may take.
    pub(super) stall: Duration,
    /// Trusts the load's server.
    pub(super) tls: Arc<ClientConfig>,
}

impl Shared {
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

type Part = Box<dyn FnOnce(&Shared) -> Result<()> + Send>;

/// The parts, by what they are called.
fn parts() -> Vec<(&'static str, Part)> {
    let mut parts: Vec<(&'static str, Part)> = Vec::new();
    let mut add = |kind: &'static str, part: Part| parts.push((kind, part));
    let kinds = |kinds: &[&'static str]| [kinds[0], kinds[1]];
    let both = |list: [&str; 2]| list.map(at);
    for (kind, to) in kinds(&GRANTED_KINDS[..2]).into_iter().zip(both(NAMED)) {
        add(kind, Box::new(move |shared| flow::named(shared, kind, to)));
    }
    for (kind, to) in kinds(&GRANTED_KINDS[2..4]).into_iter().zip(both(PLAIN)) {
        add(kind, Box::new(move |shared| flow::plain(shared, kind, to)));
    }
    for (kind, to) in kinds(&GRANTED_KINDS[4..6]).into_iter().zip(both(NAMED)) {
        add(kind, Box::new(move |shared| session::short(shared, kind, to)));
    }
    let targets: Vec<(&str, SocketAddr)> = GRANTED_KINDS[6..]
        .iter()
        .copied()
        .zip(both(NAMED).into_iter().chain(both(PLAIN)))
        .collect();
    add(
        "segments",
        Box::new(move |shared| segment::granted(shared, &targets)),
    );
    for (kind, part) in denied::PARTS {
        add(kind, Box::new(part));
    }
    parts
}

/// Runs until it is told `stop`, and answers each `count` with the counts as JSON.
///
/// # Errors
/// When a part cannot begin: the machine lacks something.
pub fn run(stall: Duration, input: impl BufRead, mut output: impl Write) -> Result<()> {
    let file = std::env::var_os("SSL_CERT_FILE").context("SSL_CERT_FILE names nobody to trust")?;
    let shared = Arc::new(Shared {
        counts: Mutex::default(),
        stop: AtomicBool::new(false),
        stall,
        tls: Arc::new(trusting(file.as_ref(), rustls::crypto::ring::default_provider())?),
    });
    let mut threads = Vec::new();
    for (kind, part) in parts() {
        let shared = Arc::clone(&shared);
        let thread = Builder::new().name(kind.replace(' ', "-")).spawn(move || {
            if let Err(error) = part(&shared) {
                // It would be missed at the next look; its words say why.
                eprintln!("the load's {kind}: {error:#}");
                shared
                    .counts()
                    .wrong(kind, &format!("it can not go on: {error:#}"));
            }
        })?;
        threads.push(thread);
    }
    for line in input.lines() {
        let last = line? == "stop";
        if last {
            shared.stop.store(true, Ordering::Relaxed);
            for thread in threads.drain(..) {
                // One that panicked has said so on standard error.
                let _ended = thread.join();
            }
        }
        let counts = shared.counts().clone();
        writeln!(output, "{}", serde_json::to_string(&counts)?)?;
        output.flush()?;
        if last {
            break;
        }
    }
    Ok(())
}
