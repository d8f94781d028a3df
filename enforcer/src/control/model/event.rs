//! What `observe` shows: an entry of the history, one JSON object a line.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One line of the history.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// Something was judged.
    Event(Box<Event>),
    /// Denials, or granted connections, of which the kernel told nothing but their number: there were too many.
    Suppressed(Suppressed),
    /// Entries that this reader does not get.
    Missed(Missed),
}

/// What was judged, and what was found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Event {
    /// Its number, from 1, since the start of the daemon. A number that is missing was missed.
    pub number: u64,
    /// When, RFC 3339 with milliseconds.
    pub time: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The name of the reason; absent where it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Cow<'static, str>>,
    /// Where in the kernel it was judged: `egress`, `connect`, `sendmsg`.
    pub hook: Cow<'static, str>,
    /// `tcp`, `udp`, ...
    pub protocol: String,
    /// From where; absent before the socket is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SocketAddr>,
    /// Where to; absent when the packet could not be read that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<SocketAddr>,
    /// The name that the destination was answered for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why the destination is refused although it was answered for `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The server name that the TLS session asked for; bytes that no name has are escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The rule that grants the address; of what is allowed the one that grants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Its file and line: `/etc/enforcer/enforcer.toml:12`. Absent where the policy has changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_at: Option<String>,
    /// The process, in the initial pid namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The name of its thread; empty when it is unknown.
    pub process: String,
    /// The id of its cgroup.
    pub cgroup_id: u64,
    /// Whose cgroup that is, as far as it could be told.
    #[serde(flatten)]
    pub owner: Owner,
}

/// What became of a connection or packet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was dropped.
    Denied,
    /// It is granted.
    Allowed,
    /// It would have been denied, and audit mode let it through.
    Audit,
}

impl Verdict {
    /// Its word in documents and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Allowed => "allowed",
            Self::Audit => "audit",
        }
    }
}

/// Whose a cgroup is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Owner {
    /// Its path below the root of cgroup v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The unit of the system's manager: `docker.service`, `session-3.scope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The unit of a user's manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_unit: Option<String>,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The uid of the Kubernetes pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// A container, as its cgroup names it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Container {
    /// Who runs it: `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `kubernetes`.
    pub runtime: String,
    /// Its whole id; of LXC its name.
    pub id: String,
}

/// Denials without an event of their own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Suppressed {
    /// The number of this entry.
    pub number: u64,
    /// When they were counted, RFC 3339; they happened in the few seconds before.
    pub time: String,
    /// The name of their reason; `granted` for granted connections.
    pub reason: String,
    /// Whether these were granted connections, and no denials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub granted: bool,
    /// How many.
    pub count: u64,
}

/// Entries that a reader does not get.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Missed {
    /// How many; at the most, where they were forgotten.
    pub count: u64,
    /// Why.
    pub why: WhyMissed,
}

/// Why entries are missing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyMissed {
    /// The reader did not take them before they were replaced by newer ones.
    SlowReader,
    /// The history does not reach back as far as was asked for.
    Forgotten,
}
