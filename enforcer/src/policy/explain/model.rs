//! What an explanation says: plain data, the same for people, for `-o json` and over the control socket.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Layout of the serialised form; counts up when a field changes its meaning or goes. Fields may be added.
pub const VERSION: u32 = 1;

/// The verdict on a target, and the whole chain behind it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Explanation {
    /// [`VERSION`].
    pub version: u32,
    /// What was asked about, as it was understood: a name or an address.
    pub target: String,
    /// The destination port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The server name that a session would ask for; absent when none is known, empty for a session without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// `enforce` or `audit`. In audit mode what is denied is reported and passes.
    pub mode: String,
    /// What the policy says.
    pub verdict: Verdict,
    /// Why it is denied; that of the first address that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
    /// The verdict as a sentence without its full stop.
    pub summary: String,
    /// The names that it is about: the target, and the server name where that is another one.
    pub names: Vec<NameExplanation>,
    /// The addresses that it is about, ascending: the target, or those of the target.
    pub addresses: Vec<AddressExplanation>,
    /// What else bears on it, a sentence each, without full stops.
    pub notes: Vec<String>,
    /// What would grant it, the best first; the lines of the first one are enough. Empty when nothing has to be, or can
    /// be, written.
    pub suggestions: Vec<Suggestion>,
}

/// What a policy says of a target.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nobody judges it: the port is not filtered, or it is loopback.
    NotJudged,
    /// It passes.
    Passes,
    /// The address is granted, and a session to it passes under granted server names.
    PassesUnderNames,
    /// Some addresses pass and some do not.
    Partly,
    /// It depends on the address, which is not known.
    Unknown,
    /// It is denied.
    Denied,
}

impl Verdict {
    /// Whether whatever is meant by the target gets through.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::NotJudged | Self::Passes | Self::PassesUnderNames)
    }

    /// The verdict in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotJudged => "passes unjudged",
            Self::Passes => "passes",
            Self::PassesUnderNames => "passes under granted server names",
            Self::Partly => "passes at some of its addresses",
            Self::Unknown => "depends on its address, which is not known",
            Self::Denied => "denied",
        }
    }
}

/// A reason for a denial.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Why {
    /// Its name in events and counters.
    pub name: String,
    /// What happens, as a sentence without its full stop.
    pub what: String,
    /// What to do about it in general.
    pub hint: String,
}

/// A rule, where it stands, and what it lets through that matters here.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleExplanation {
    /// Its number, from 1; absent for what enforcer grants itself so that it can ask for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// What it says, in short.
    pub title: String,
    /// File and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What the endpoint is to the rule: `login server`, `data endpoint`, ...
    pub role: String,
    /// The name, pattern, prefix or name server of the rule.
    pub by: String,
    /// The reason given with `accept_exfiltration_risk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_risk: Option<String>,
    /// Whether server names are asked for at its addresses.
    pub asks_for_names: bool,
}

/// What is known about a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NameExplanation {
    /// The name, or the text that is none.
    pub name: String,
    /// The rules that grant it as a server name.
    pub granted_by: Vec<RuleExplanation>,
    /// What it resolves to, as far as anybody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerExplanation>,
}

/// What a name resolves to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AnswerExplanation {
    /// Whether the policy asks for the name. Otherwise it was looked up for this explanation alone, and grants nothing.
    pub is_followed: bool,
    /// CNAME targets in order.
    pub chain: Vec<String>,
    /// Its addresses, ascending.
    pub addresses: Vec<AnsweredAddress>,
    /// What was answered and is never granted.
    pub refused: Vec<RefusedAddress>,
    /// How the question for IPv4 addresses ended.
    pub a: Answered,
    /// How the question for IPv6 addresses ended.
    pub aaaa: Answered,
}

/// An address of an answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AnsweredAddress {
    /// The address.
    pub address: IpAddr,
    /// What is left of its TTL, in seconds; 0 for an address that is kept because asking fails.
    pub ttl_left_s: u64,
    /// For an address that has left the answers: what is left of its grace period, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_in_s: Option<u64>,
}

/// An address of an answer that is not granted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusedAddress {
    /// The address.
    pub address: IpAddr,
    /// Why not.
    pub why: String,
}

/// How the question for one family ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Answered {
    /// No answer yet.
    Unasked,
    /// Addresses.
    Fresh,
    /// A good answer without addresses.
    Empty,
    /// Asking failed, or was not tried since the start; the last good answer is held.
    Stale {
        /// Seconds since the last good answer.
        age_s: u64,
        /// Whether it may be longer: the machine was off in between.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_at_least: bool,
        /// What went wrong since.
        error: String,
    },
    /// Asking failed, and there never was a good answer.
    Failed {
        /// What went wrong.
        error: String,
    },
}

/// What becomes of packets to one address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AddressExplanation {
    /// The address.
    pub address: IpAddr,
    /// What the programs in the kernel would say.
    pub verdict: Verdict,
    /// The name of the reason, where they deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every rule that grants the address.
    pub granted_by: Vec<RuleExplanation>,
    /// The server names that count there; absent where none is asked for, or the address is not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_names: Option<CountingNames>,
    /// The names that it belongs to by the answers, or did since the start; of each what became of it there.
    pub known_as: Vec<KnownAs>,
    /// What special purpose it has, for which no answer gets it granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<String>,
}

/// The server names that count at an address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CountingNames {
    /// Whether those of the policy count: hosts and patterns of rules without a prefix.
    pub policy: bool,
    /// Names and patterns, ascending; at most [`CountingNames::NAMES_MAX`].
    pub names: Vec<String>,
    /// Names that are not listed.
    #[serde(default)]
    pub omitted: usize,
}

impl CountingNames {
    /// Most names that are listed.
    pub const NAMES_MAX: usize = 100;
}

/// A name that an address was answered for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KnownAs {
    /// The name.
    pub name: String,
    /// How it stands, as words that follow the name: `in its newest answer`, `refused: private (RFC 1918)`, ...
    pub standing: String,
}

/// What to write so that the target is granted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Suggestion {
    /// Lines to append to the configuration; they are accepted there as they stand. Empty where only a change will do.
    pub append: Vec<String>,
    /// What to change in rules that there are, which is better than to append.
    pub changes: Vec<SuggestedChange>,
    /// What it means, a sentence each, without full stops.
    pub remarks: Vec<String>,
    /// Why it is risky, a sentence each, where it is.
    pub risks: Vec<String>,
}

/// A key to be written anew.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SuggestedChange {
    /// In which table: `the rule at agent.toml:3`, `[enforce]`.
    pub at: String,
    /// The key and its value.
    pub line: String,
}
