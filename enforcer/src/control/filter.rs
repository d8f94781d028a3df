//! Which entries of the history somebody wants: what `observe` is told, and what goes over the socket. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use super::history::Shares;
use super::model::{Entry, Event, Verdict};
use crate::config::parse_duration;

/// The kernel keeps so many bytes of the name of a thread (`TASK_COMM_LEN` of include/linux/sched.h, less its end).
const COMM_MAX: usize = 15;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Which entries.
    pub filter: Filter,
    /// From where on; `None` for all that are kept.
    pub since: Option<Since>,
    /// Whether those that are still to come are wanted as well.
    pub follow: bool,
}

/// Where in the past to begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Since {
    /// So long ago, by the clock since boot.
    Ago(Duration),
    /// At this time of day.
    At(Timestamp),
    /// Behind the entry with this number.
    After(u64),
}

/// Which entries; every condition that is there must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// One of these; empty for what was denied, or would have been.
    pub verdicts: Vec<Verdict>,
    /// By whom.
    pub process: Option<Process>,
    /// A name that the address was answered for, or that the session asked for.
    pub name: Option<Glob>,
    /// Where to.
    pub to: Option<Destination>,
}

/// A process by its id, or by the name of the thread.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Process {
    /// Its id in the initial pid namespace.
    Pid(u32),
    /// The whole name; beyond 15 bytes the kernel keeps nothing.
    Name(String),
}

/// A name in which `*` stands for any text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob(String);

/// Addresses and perhaps a port; 0 for packets whose port can not be told, as events have it of fragments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Destination {
    prefix: IpNet,
    port: Option<u16>,
}

/// A text that is no such thing, in words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

impl Filter {
    /// Whether somebody wants this entry. What is lost is told to everybody whom it might concern.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Event(event) => self.wants_event(event),
            Entry::Suppressed(suppressed) => {
                let shares = self.shares();
                if suppressed.granted {
                    shares.granted
                } else {
                    shares.denied
                }
            }
            Entry::Missed(_) => true,
        }
    }

    /// Where it finds something.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let is_denial = |verdict: &Verdict| *verdict != Verdict::Allowed;
        Shares {
            denied: self.verdicts.is_empty() || self.verdicts.iter().any(is_denial),
            granted: self.verdicts.contains(&Verdict::Allowed),
        }
    }

    fn wants_event(&self, event: &Event) -> bool {
        let is_wanted = if self.verdicts.is_empty() {
            event.verdict != Verdict::Allowed
        } else {
            self.verdicts.contains(&event.verdict)
        };
        is_wanted
            && self.process.as_ref().is_none_or(|process| process.is(event))
            && self
                .to
                .is_none_or(|to| event.destination.is_some_and(|is| to.contains(is)))
            && self.name.as_ref().is_none_or(|glob| {
                let mut names = [&event.name, &event.server_name].into_iter().flatten();
                names.any(|name| glob.matches(name))
            })
    }
}

impl Process {
    fn is(&self, event: &Event) -> bool {
        match self {
            Self::Pid(pid) => event.pid == Some(*pid),
            Self::Name(name) => {
                let kept = name.get(..name.floor_char_boundary(COMM_MAX)).unwrap_or(name);
                event.process == kept
            }
        }
    }
}

impl Glob {
    fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let mut pieces = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        // The first place for each piece is as good as any: what comes after it may only be longer.
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl Destination {
    fn contains(&self, destination: SocketAddr) -> bool {
        self.prefix.contains(&destination.ip().to_canonical())
            && self.port.is_none_or(|port| destination.port() == port)
    }
}

impl FromStr for Process {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        match text.parse() {
            Ok(pid) => Ok(Self::Pid(pid)),
            Err(_) if text.is_empty() => Err(FilterError("a process id or name is expected".into())),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl FromStr for Glob {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Err(FilterError(
                "a name is expected, in which `*` stands for any text".into(),
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl FromStr for Destination {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let failed = || {
            FilterError(format!(
                "`{}` is no address or prefix: 192.0.2.1, 192.0.2.0/24:443, [2001:db8::1]:443; a name is looked for with \
                 `--name`",
                text.escape_default()
            ))
        };
        if text.contains('%') {
            return Err(FilterError(
                "a zone (`%eth0`) is not known of events: leave it out".into(),
            ));
        }
        let (addresses, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (addresses, behind) = rest.split_once(']').ok_or_else(failed)?;
                let port = match behind {
                    "" => None,
                    _ => Some(behind.strip_prefix(':').ok_or_else(failed)?),
                };
                (addresses, port)
            }
            // More colons are those of IPv6.
            None if text.matches(':').count() == 1 => {
                let (addresses, port) = text.split_once(':').ok_or_else(failed)?;
                (addresses, Some(port))
            }
            None => (text, None),
        };
        let prefix = addresses
            .parse::<IpNet>()
            .or_else(|_| addresses.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| failed())?;
        let port = port.map(str::parse).transpose().map_err(|_| failed())?;
        Ok(Self { prefix, port })
    }
}

impl FromStr for Since {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if let Some(number) = text.strip_prefix('#') {
            let number = number.parse().map(Self::After);
            return number.map_err(|_| FilterError("a number is expected behind `#`".into()));
        }
        if let Some(duration) = parse_duration(text) {
            return Ok(Self::Ago(duration));
        }
        text.parse().map(Self::At).map_err(|_| {
            FilterError(format!(
                "`{}` is neither a span of time (10m, 2h) nor a time (2026-01-31T12:00:00Z)",
                text.escape_default()
            ))
        })
    }
}

impl FromStr for Verdict {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let all = [Self::Denied, Self::Allowed, Self::Audit];
        all.into_iter()
            .find(|verdict| verdict.as_str() == text)
            .ok_or_else(|| FilterError("a verdict is denied, allowed or audit".into()))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(out, "{pid}"),
            Self::Name(name) => out.write_str(name),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(out, "[{}]:{port}", self.prefix),
            None => write!(out, "{}", self.prefix),
        }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(ago) => write!(out, "{}ms", ago.as_millis()),
            Self::At(time) => time.fmt(out),
            Self::After(number) => write!(out, "#{number}"),
        }
    }
}

impl Query {
    /// The part of a URL behind its `?`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut parts: Vec<(&str, String)> = Vec::new();
        parts.extend(self.since.map(|since| ("since", since.to_string())));
        parts.extend(self.follow.then(|| ("follow", "true".to_owned())));
        let verdicts = self.filter.verdicts.iter();
        parts.extend(verdicts.map(|verdict| ("verdict", verdict.as_str().to_owned())));
        let process = self.filter.process.as_ref();
        parts.extend(process.map(|process| ("process", process.to_string())));
        parts.extend(self.filter.name.as_ref().map(|glob| ("name", glob.0.clone())));
        parts.extend(self.filter.to.map(|to| ("to", to.to_string())));
        encode(&parts)
    }

    /// Reads what [`Self::encode`] wrote, or what somebody else did.
    ///
    /// # Errors
    /// A key that is not known, or what it can not be.
    pub fn decode(query: &str) -> Result<Self, FilterError> {
        let mut decoded = Self::default();
        for (key, value) in decode(query)? {
            match key.as_str() {
                "since" => decoded.since = Some(value.parse()?),
                "follow" => decoded.follow = matches!(value.as_str(), "" | "true" | "1"),
                "verdict" => decoded.filter.verdicts.push(value.parse()?),
                "process" => decoded.filter.process = Some(value.parse()?),
                "name" => decoded.filter.name = Some(value.parse()?),
                "to" => decoded.filter.to = Some(value.parse()?),
                other => {
                    let message = format!("there is no parameter `{}`", other.escape_default());
                    return Err(FilterError(message));
                }
            }
        }
        Ok(decoded)
    }
}

/// Writes parameters as a URL has them behind its `?`.
#[must_use]
pub fn encode(parameters: &[(&str, String)]) -> String {
    let mut query = String::new();
    for (key, value) in parameters {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(key);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(char::from(byte));
            } else {
                query.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    query
}

/// Reads the parameters of a URL.
///
/// # Errors
/// What they can not be, in words.
pub fn decode(query: &str) -> Result<Vec<(String, String)>, FilterError> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((unescape(key)?, unescape(value)?))
        })
        .collect()
}

fn unescape(text: &str) -> Result<String, FilterError> {
    let failed = || FilterError("the parameters are not percent-encoded UTF-8".into());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit().ok_or_else(failed)?, digit().ok_or_else(failed)?);
                u8::try_from(high * 16 + low).map_err(|_| failed())?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| failed())
}

#[cfg(test)]
mod tests;
