//! The serialised form of what is not the plan's own: in the words of the configuration, durations in seconds.

use std::fmt::Display;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Source, show};
use crate::config::{Existing, Mode, Place, Quic, ServerNames};
use crate::endpoints::Role;
use crate::resolve::Age;

pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn seconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(value.as_secs())
}

pub(super) fn maybe_seconds<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.map(|value| value.as_secs()).serialize(serializer)
}

pub(super) fn age<S: Serializer>(value: &Age, serializer: S) -> Result<S::Ok, S::Error> {
    let length = 1 + usize::from(value.is_lower_bound);
    let mut map = serializer.serialize_map(Some(length))?;
    map.serialize_entry("age_s", &value.duration.as_secs())?;
    if value.is_lower_bound {
        map.serialize_entry("is_at_least", &true)?;
    }
    map.end()
}

pub(super) fn mode<S: Serializer>(value: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(show::mode(*value))
}

pub(super) fn quic<S: Serializer>(value: &Quic, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match value {
        Quic::Deny => "deny",
        Quic::Allow => "allow",
    })
}

pub(super) fn server_names<S: Serializer>(value: &ServerNames, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match value {
        ServerNames::Require => "require",
        ServerNames::Off => "off",
    })
}

pub(super) fn existing<S: Serializer>(value: &Existing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match value {
        Existing::Deny => "deny",
        Existing::Allow => "allow",
    })
}

pub(super) fn role<S: Serializer>(value: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&value.words().replace(' ', "-"))
}

pub(super) fn place<S: Serializer>(value: &Place, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&show::place(value))
}

pub(super) fn source<S: Serializer>(value: &Source, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
