//! An entry of the history as it is shown: text of others is harmless here.

use std::sync::Arc;

use jiff::Timestamp;

use super::text::shown;
use crate::control::model::{Entry, Event, Missed, Owner, Suppressed, Verdict, WhyMissed};

/// How many digits of a container's id are enough to find it.
const ID_SHOWN: usize = 12;

/// Something that was seen.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// Something was judged.
    Judged(Arc<Judged>),
    /// Denials without an event of their own.
    Untold {
        /// When they were counted.
        time: Timestamp,
        /// The name of their reason.
        reason: String,
        /// How many.
        count: u64,
    },
    /// Entries that did not come.
    Missed {
        /// When that was noticed.
        time: Timestamp,
        /// How many, at the most.
        count: u64,
        /// Why.
        why: WhyMissed,
    },
}

/// What was judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) time: Timestamp,
    pub(super) verdict: Verdict,
    /// The name of the thread, or `unknown`.
    pub(super) process: String,
    pub(super) pid: Option<u32>,
    /// The server name that was asked for, otherwise the name that the address was answered for.
    pub(super) name: Option<String>,
    /// Whether `name` is what was asked for.
    pub(super) is_asked_for: bool,
    /// Address and port.
    pub(super) destination: Option<String>,
    pub(super) protocol: String,
    pub(super) hook: String,
    /// The name of the reason; `-` where it was granted.
    pub(super) reason: String,
    pub(super) explanation: String,
    /// Why the address is refused although it was answered for `name`.
    pub(super) refused: Option<String>,
    /// The innermost unit, otherwise the cgroup.
    pub(super) unit: String,
    /// Runtime and short id, otherwise the pod.
    pub(super) container: Option<String>,
    pub(super) cgroup: Option<String>,
}

impl Seen {
    /// What `entry` says; `now` where it says no time.
    pub(super) fn new(entry: Entry, now: Timestamp) -> Self {
        match entry {
            Entry::Event(event) => Self::Judged(Arc::new(Judged::new(*event, now))),
            Entry::Suppressed(Suppressed {
                time, reason, count, ..
            }) => Self::Untold {
                time: time.parse().unwrap_or(now),
                reason: shown(&reason),
                count,
            },
            Entry::Missed(Missed { count, why }) => Self::Missed {
                time: now,
                count,
                why,
            },
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        match self {
            Self::Judged(judged) => judged.time,
            Self::Untold { time, .. } | Self::Missed { time, .. } => *time,
        }
    }
}

impl Judged {
    fn new(event: Event, now: Timestamp) -> Self {
        let Owner { cgroup, .. } = &event.owner;
        Self {
            time: event.time.parse().unwrap_or(now),
            verdict: event.verdict,
            process: match event.process.as_str() {
                "" => "unknown".to_owned(),
                process => shown(process),
            },
            pid: event.pid,
            is_asked_for: event.server_name.is_some(),
            name: event
                .server_name
                .as_ref()
                .or(event.name.as_ref())
                .map(|name| shown(name)),
            destination: event.destination.map(|destination| destination.to_string()),
            protocol: shown(&event.protocol),
            hook: shown(&event.hook),
            reason: event.reason.as_deref().map_or_else(|| "-".to_owned(), shown),
            explanation: event.explanation.as_deref().map(shown).unwrap_or_default(),
            refused: event.refused.as_deref().map(shown),
            unit: unit(&event.owner),
            container: container(&event.owner),
            cgroup: cgroup.as_deref().map(shown),
        }
    }

    /// Where to, as people name it: the name, otherwise the address.
    pub(super) fn to(&self) -> &str {
        let to = self.name.as_ref().or(self.destination.as_ref());
        to.map_or("unknown", String::as_str)
    }

    /// Name and process id.
    pub(super) fn process_and_pid(&self) -> String {
        match self.pid {
            Some(pid) => format!("{} ({pid})", self.process),
            None => self.process.clone(),
        }
    }

    /// Whose it is: the container, otherwise the unit.
    pub(super) fn owner(&self) -> &str {
        self.container.as_ref().unwrap_or(&self.unit)
    }
}

fn unit(owner: &Owner) -> String {
    let unit = owner.user_unit.as_ref().or(owner.unit.as_ref());
    unit.or(owner.cgroup.as_ref())
        .map_or_else(|| "unknown".to_owned(), |unit| shown(unit))
}

fn container(owner: &Owner) -> Option<String> {
    if let Some(container) = &owner.container {
        let end = container.id.floor_char_boundary(ID_SHOWN);
        return Some(shown(&format!("{} {}", container.runtime, &container.id[..end])));
    }
    owner.pod.as_ref().map(|pod| shown(&format!("pod {pod}")))
}
