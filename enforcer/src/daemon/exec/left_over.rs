//! What a command leaves running: told of, asked to end, then ended.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::daemon::attempt::printable;
use crate::daemon::report::LeftOver;
use crate::daemon::signals::Signals;
use crate::kernel::Cgroup;

/// How long processes that are just ending are given before they count as left over.
const SETTLE: Duration = Duration::from_millis(200);
/// How long left-over processes have to end by themselves after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long the kernel is given to end what was killed.
const KILL: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// The processes that are still in `cgroup` although the command has ended.
pub(super) async fn find(cgroup: &Cgroup) -> Vec<LeftOver> {
    if is_empty_within(cgroup, SETTLE).await {
        return Vec::new();
    }
    cgroup
        .processes()
        .unwrap_or_default()
        .into_iter()
        .map(|process| LeftOver {
            pid: process.pid,
            process: printable(&process.name),
        })
        .collect()
}

/// Ends everything in `cgroup`: SIGTERM and a grace period, which a signal to enforcer cuts short, then SIGKILL.
/// Whether nothing is left.
pub(super) async fn end(cgroup: &Cgroup, signals: &mut Signals) -> bool {
    let _gone = cgroup.signal(Signal::TERM);
    tokio::select! {
        is_empty = is_empty_within(cgroup, GRACE) => if is_empty { return true; },
        _impatient = signals.next() => {}
    }
    let deadline = Instant::now() + KILL;
    loop {
        let _gone = cgroup.kill();
        if is_empty_within(cgroup, POLL).await {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
    }
}

async fn is_empty_within(cgroup: &Cgroup, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if cgroup.is_empty().unwrap_or(false) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
}
