//! What the tests know about a client.

use std::ops::RangeInclusive;

use enforcer_lab::{Outcome, world};

use crate::host::Host;

/// A program that asks a server for something over TLS.
pub(crate) struct Client {
    /// For messages.
    pub(crate) name: &'static str,
    /// The command line that asks the server of this name; it runs in the lab's folder, with the environment of
    /// [`enforcer_lab::Lab::client_command`].
    pub(crate) command: fn(host: &Host, name: &str) -> Vec<String>,
    /// What it asks for.
    pub(crate) asks_for: Subject,
    /// The size of its ClientHello. It tells that the client is the one that is meant.
    pub(crate) hello_bytes: RangeInclusive<usize>,
    /// Whether the server has to ask it for a second hello.
    pub(crate) is_asked_twice: bool,
    /// Whether its status says that it did not get what it asked for.
    pub(crate) status_tells: bool,
}

/// What a client asks for, and so whom.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    /// The sentence in which a server says who it is, this many times over one connection, by this version of HTTP.
    Sentence { version: &'static str, requests: usize },
    /// An image of a real registry: its manifest goes to standard output once all layers have been fetched.
    Image,
}

impl Subject {
    /// The name that the policy grants.
    pub(crate) fn granted(self) -> &'static str {
        match self {
            Self::Sentence { .. } => world::NORTHWIND,
            Self::Image => world::CONTOSO,
        }
    }

    /// A name on the same addresses that it does not grant.
    pub(crate) fn foreign(self) -> &'static str {
        match self {
            Self::Sentence { .. } => world::TAILSPIN,
            Self::Image => world::FABRIKAM,
        }
    }

    /// What only the server of this name says: all of it has to be there.
    fn proofs(self, host: &Host, name: &str) -> Vec<String> {
        match self {
            Self::Sentence { version, requests } => (1..=requests)
                .map(|number| format!("{name} over {version}, request {number} of the session"))
                .collect(),
            Self::Image => host.image_of(name).layers.clone(),
        }
    }

    /// Whether `outcome` shows that `name` answered, to everything.
    pub(crate) fn is_answered(self, host: &Host, name: &str, outcome: &Outcome) -> bool {
        let proofs = self.proofs(host, name);
        proofs.iter().all(|proof| outcome.stdout.contains(proof))
    }

    /// Whether `outcome` shows anything that `name` said.
    pub(crate) fn is_heard(self, host: &Host, name: &str, outcome: &Outcome) -> bool {
        let proofs = self.proofs(host, name);
        proofs.iter().any(|proof| outcome.stdout.contains(proof))
    }
}
