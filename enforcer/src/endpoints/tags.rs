//! Service tags that let through more than their user may think: said in every status.

use std::fmt;
use std::sync::Arc;

use crate::config::{Config, Names, RuleId, RuleKind, ServerNames, ServiceTag, Tenants, tenants};

/// A service tag at whose addresses no server name is asked for, and no reason is given why others' registries behind
/// them may be reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenTag {
    /// The rule that grants it.
    pub rule: RuleId,
    /// The tag.
    pub tag: Arc<ServiceTag>,
}

impl fmt::Display for OpenTag {
    /// What it means and what to do, as one sentence.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "rule {} lets through every registry behind the service tag `{}`, under any name: ask for the names of the other \
             rules with `server_name = \"require\"`, or for a list of names",
            self.rule.0, self.tag.name
        )
    }
}

/// Those tags, in the order of the rules.
#[must_use]
pub fn open_tags(config: &Config) -> Vec<OpenTag> {
    let mut open = Vec::new();
    for rule in &config.rules {
        let RuleKind::ServiceTags { tags, names } = &rule.kind else {
            continue;
        };
        let is_any_name = *names == Names::Any || config.enforce.server_names == ServerNames::Off;
        if !is_any_name || rule.accepted_risk.is_some() {
            continue;
        }
        let of_others = tags.iter().filter(|tag| tenants(&tag.name) != Tenants::Owner);
        open.extend(of_others.map(|tag| OpenTag {
            rule: rule.id,
            tag: Arc::clone(tag),
        }));
    }
    open
}
