//! The journal of systemd: every field of a message as one of its own, and the kinds of message that somebody may want to
//! find under identifiers that stay.

use std::io;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Before the names of fields: `ENFORCER_REASON`.
const PREFIX: &str = "ENFORCER";
/// What `journalctl -t` finds, however the program was started.
const IDENTIFIER: &str = "enforcer";

/// Kinds of message: the `name:` of an event, by which it is told apart from all others. Each has a `MESSAGE_ID`
/// (systemd.journal-fields(7)), which never changes: people search for it, and have alerts on it.
pub mod kind {
    /// Something was denied, or would have been.
    pub const DENIAL: &str = "denial";
    /// More was denied, of which no event tells.
    pub const SUPPRESSED: &str = "suppressed";
    /// A policy was read again, and brought into force or refused.
    pub const RELOAD: &str = "reload";
    /// A name stops to be answered as it should, or is again.
    pub const ANSWERS: &str = "answers";
    /// Nothing is dropped, or no longer what should be.
    pub const NOT_ENFORCING: &str = "not-enforcing";
    /// The policy is in force, or is again.
    pub const ENFORCING: &str = "enforcing";

    /// Every kind and its identifier.
    pub const ALL: [(&str, &str); 6] = [
        (DENIAL, "08dfaf0c5ebb44228dc7a90dfc0a2ed1"),
        (SUPPRESSED, "ae680a54a5324a9b8168f38bd8d899bb"),
        (RELOAD, "68127fe34a9a4a44a98dfccb0bc5b305"),
        (ANSWERS, "b345c6eac887423e9bb1301c79c72fcf"),
        (NOT_ENFORCING, "7cf2ca67c6df422c836bb64dd27b8557"),
        (ENFORCING, "3a2c996588854babbce1c2f90325bd9a"),
    ];
}

/// Sends messages to the journal.
pub(super) struct Journal {
    /// For what is of no kind, and for spans.
    plain: tracing_journald::Layer,
    /// A sender for each kind, whose messages all have its identifier: fields of events all have the prefix.
    kinds: Vec<(&'static str, tracing_journald::Layer)>,
}

impl Journal {
    /// # Errors
    /// There is no journal at its usual place.
    pub(super) fn new() -> io::Result<Self> {
        let kinds = kind::ALL.iter().map(|(kind, id)| {
            let layer = layer()?.with_custom_fields([("MESSAGE_ID", id)]);
            Ok((*kind, layer))
        });
        Ok(Self {
            kinds: kinds.collect::<io::Result<_>>()?,
            plain: layer()?,
        })
    }
}

fn layer() -> io::Result<tracing_journald::Layer> {
    Ok(tracing_journald::layer()?
        .with_field_prefix(Some(PREFIX.to_owned()))
        .with_syslog_identifier(IDENTIFIER.to_owned())
        .with_priority_mappings(PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        }))
}

impl<S> Layer<S> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.plain.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.plain.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let name = event.metadata().name();
        let of_kind = self.kinds.iter().find(|(kind, _)| *kind == name);
        of_kind
            .map_or(&self.plain, |(_, layer)| layer)
            .on_event(event, context);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::kind;

    const OPERATORS: &str = include_str!("../../../../docs/operators.md");

    #[test]
    fn every_kind_has_an_identifier_of_its_own_that_is_documented() {
        let ids: BTreeSet<_> = kind::ALL.iter().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), kind::ALL.len());
        for (kind, id) in kind::ALL {
            let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(id.len() == 32 && id.chars().all(is_digit), "{id}");
            let row = format!("| `{kind}` | `{id}` |");
            assert!(OPERATORS.contains(&row), "docs/operators.md lacks {row}");
        }
    }
}
