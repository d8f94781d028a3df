//! What `status` shows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How an instance is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// [`VERSION`](crate::control::VERSION).
    pub version: u32,
    /// Its name.
    pub instance: String,
    /// Whether denials are dropped.
    pub state: State,
    /// Why not, where it is [`State::NotEnforcing`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its daemon.
    pub daemon: Daemon,
    /// The policy in force; absent when there is none.
    pub policy: Option<PolicyStatus>,
    /// What it is attached to; absent when it is not.
    pub attached: Option<Attached>,
    /// What is known of the names; absent without a daemon.
    pub names: Option<Names>,
    /// Whom the daemon asks, in the order of preference.
    pub resolver: Vec<Upstream>,
    /// What was denied since the counters began, which outlive the daemon.
    pub denials: Option<Denials>,
    /// The connections that were granted meanwhile.
    #[serde(default)]
    pub granted: Option<GrantedConnections>,
    /// What somebody should know, the worst first.
    pub warnings: Vec<Warning>,
}

/// Whether denials are dropped.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// What no rule grants is dropped.
    Enforcing,
    /// What no rule grants is reported and passes.
    Auditing,
    /// Something is missing; [`Status::why`] says what.
    NotEnforcing,
}

impl State {
    /// Its word in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforcing => "enforcing",
            Self::Auditing => "auditing",
            Self::NotEnforcing => "not-enforcing",
        }
    }
}

/// The daemon of an instance.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Daemon {
    /// Whether it runs.
    pub state: DaemonState,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The version of enforcer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// How long ago that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// How long ago its run loop gave a sign of life; every 5 s is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign_s: Option<u64>,
    /// The configuration that it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<PathBuf>,
    /// What its history of events holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Kept>,
}

/// Whether a daemon runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonState {
    /// It runs and answers.
    Running,
    /// It holds the instance and does not enforce its configuration yet.
    Starting,
    /// It holds the instance, and its control socket does not answer.
    Silent,
    /// Nobody holds the instance.
    Stopped,
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Kept {
    /// Entries about denials that are kept.
    pub entries: u64,
    /// Those that were replaced by newer ones.
    pub forgotten: u64,
    /// Entries about granted connections that are kept.
    #[serde(default)]
    pub granted_entries: u64,
    /// Those that were replaced by newer ones.
    #[serde(default)]
    pub granted_forgotten: u64,
}

/// The policy in force.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicyStatus {
    /// `enforce` or `audit`, as configured.
    pub mode: String,
    /// Counts up with every change.
    pub generation: u64,
    /// When this generation was applied; absent when it is older than the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// How long ago that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_s: Option<u64>,
    /// The filtered ports; unknown without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// UDP to them: `deny` or `allow`.
    pub quic: String,
    /// `require` or `off`; unknown without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_names: Option<String>,
    /// Connections from before: `deny` or `allow`.
    pub existing: String,
    /// Rules of the configuration; unknown without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u64>,
    /// Spans of addresses that are granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<u64>,
    /// Server names and patterns that are granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_names: Option<u64>,
    /// In how long enforcement ends unless it is confirmed; 0 when it has ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts_in_s: Option<u64>,
}

/// Where programs are attached.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attached {
    /// The cgroup; absent when it has no path any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Since when, over restarts of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How long ago that was, by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_s: Option<u64>,
    /// Every hook; `egress` is the authority.
    pub hooks: Vec<Hook>,
}

/// One hook.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hook {
    /// `egress`, `connect4`, `connect6`, `sendmsg4`, `sendmsg6`.
    pub name: String,
    /// Whether it judges.
    pub attached: bool,
    /// Whether it goes on when the daemon ends.
    pub pinned: bool,
}

/// What is known of the names.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Names {
    /// Names with a good answer, the last time they were asked for.
    pub fresh: u64,
    /// Names that are granted by an older answer, since asking fails or was not done yet.
    pub stale: u64,
    /// Names for which nothing is granted.
    pub failed: u64,
    /// Each of them, in the order of the configuration.
    pub list: Vec<Name>,
}

/// What is known of a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The worse of its two families, as long as one has an address.
    pub state: Freshness,
    /// Addresses that are granted, those that left the answers a moment ago among them.
    pub addresses: u64,
    /// Those that have left the answers.
    pub retired: u64,
    /// Addresses that were answered and are never granted.
    pub refused: u64,
    /// In how long the TTL of the first of its addresses runs out, 0 when it has; absent without an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
    /// IPv4.
    pub a: Family,
    /// IPv6.
    pub aaaa: Family,
}

/// What is known of one family of a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Family {
    /// How the last question ended.
    pub state: Freshness,
    /// How old the last good answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// Whether it may be older, since the machine was off in between.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub age_is_at_least: bool,
    /// What went wrong since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far an answer can be relied on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// A good answer with addresses.
    Fresh,
    /// A good answer: there are no addresses of this family.
    Empty,
    /// Not asked for yet.
    Unasked,
    /// An older answer is held.
    Stale,
    /// Nothing is known.
    Failed,
}

/// An upstream name server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Upstream {
    /// Its address and transport, as messages name it.
    pub server: String,
    /// Whether it is asked in its turn; otherwise it failed where others answered, and is asked last.
    pub good: bool,
    /// For how long it is put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside_s: Option<u64>,
}

/// What was denied.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Denials {
    /// All of them, those of audit mode among them.
    pub total: u64,
    /// Those of audit mode: what would have been denied, and was let through.
    #[serde(default)]
    pub audit: u64,
    /// Those of which no event told, since there were too many.
    pub suppressed: u64,
    /// Each reason that was met, the most frequent first.
    pub by_reason: Vec<Counted>,
}

/// What was granted: connections by their addresses, sessions by their server names, and the first datagrams to a
/// destination where a call named it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct GrantedConnections {
    /// All of them.
    pub total: u64,
    /// Those of which no event told, since there were too many.
    pub suppressed: u64,
}

/// Denials of one reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counted {
    /// The name of the reason.
    pub reason: String,
    /// What it means.
    pub explanation: String,
    /// What to do when it should have passed.
    pub hint: String,
    /// Denials.
    pub denied: u64,
    /// Those that audit mode let through.
    #[serde(default)]
    pub audit: u64,
    /// Those of which no event told.
    pub suppressed: u64,
}

/// Something that somebody should know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// In words.
    pub text: String,
}

/// What a warning is about. In the order of how bad it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// The cgroup is gone, hooks are detached.
    Detached,
    /// The loaded programs do not judge as the policy says.
    Misjudges,
    /// The time in which somebody had to confirm is over.
    Reverted,
    /// Pins are gone.
    Tampered,
    /// The run loop of the daemon gives no sign of life.
    RunLoopSilent,
    /// Nobody keeps the answers fresh.
    NoDaemon,
    /// The last reload was refused: the file is not what is in force.
    ReloadRefused,
    /// What was found in the kernel is in force, and not the configuration.
    Held,
    /// Enforcement ends unless somebody confirms it.
    Unconfirmed,
    /// Denials are only reported.
    Audit,
    /// Server names are not looked at.
    ServerNamesOff,
    /// UDP to filtered ports is judged by its address alone.
    UdpAllowed,
    /// Connections from before are let be.
    ExistingAllowed,
    /// A rule grants a place where anybody can get an account.
    RiskAccepted,
    /// Names without any address.
    Unresolved,
    /// Names whose answers are old.
    Stale,
    /// A pattern without addresses, or nobody to ask.
    Caution,
    /// Denials are counted and not told of.
    EventsLost,
    /// The control socket, or the port of the metrics, is not as configured.
    Control,
}

impl WarningKind {
    /// Every kind, in the order of how bad it is.
    pub const ALL: &[Self] = &[
        Self::Detached,
        Self::Misjudges,
        Self::Reverted,
        Self::Tampered,
        Self::RunLoopSilent,
        Self::NoDaemon,
        Self::ReloadRefused,
        Self::Held,
        Self::Unconfirmed,
        Self::Audit,
        Self::ServerNamesOff,
        Self::UdpAllowed,
        Self::ExistingAllowed,
        Self::RiskAccepted,
        Self::Unresolved,
        Self::Stale,
        Self::Caution,
        Self::EventsLost,
        Self::Control,
    ];

    /// Its word in documents.
    #[must_use]
    pub fn word(self) -> String {
        let word = serde_json::to_value(self).ok();
        word.as_ref()
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
}
