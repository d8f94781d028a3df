//! `explain` over the socket: what is asked as parameters of a URL, and the answer by the policy in force.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::filter::{decode, encode};
use super::view::View;
use crate::daemon::names::History;
use crate::daemon::policy::Policy;
use crate::names::ServerName;
use crate::policy::explain::{Explanation, Host, Protocol, Query, Situation, explain};
use crate::resolve::{Question, Sanity, Snapshot, resolve_once};

/// Longest server name that is asked about; no name is a quarter of it.
pub const SERVER_NAME_MAX: usize = 1024;

/// What is asked, as parameters.
#[must_use]
pub fn encoded(query: &Query) -> String {
    let host = query.target.host.to_string();
    let target = match (query.target.port, host.contains(':')) {
        (None, _) => host,
        (Some(port), true) => format!("[{host}]:{port}"),
        (Some(port), false) => format!("{host}:{port}"),
    };
    let mut parameters = vec![("target", target), ("protocol", query.protocol.name().to_owned())];
    if let Some(name) = &query.server_name {
        parameters.push(("server_name", name.clone()));
    }
    encode(&parameters)
}

/// Reads what [`encoded`] wrote, or somebody else did.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn decoded(parameters: &str) -> Result<Query, String> {
    let (mut target, mut server_name, mut protocol) = (None, None, Protocol::Tcp);
    for (key, value) in decode(parameters).map_err(|error| error.to_string())? {
        match key.as_str() {
            "target" => target = Some(value.parse().map_err(|error| format!("`target`: {error}"))?),
            "server_name" if value.len() > SERVER_NAME_MAX => {
                return Err(format!("`server_name` has more than {SERVER_NAME_MAX} bytes"));
            }
            "server_name" => server_name = Some(value),
            "protocol" => {
                protocol = match value.as_str() {
                    "tcp" => Protocol::Tcp,
                    "udp" => Protocol::Udp,
                    _ => return Err("`protocol` is tcp or udp".to_owned()),
                }
            }
            other => return Err(format!("there is no parameter `{}`", other.escape_default())),
        }
    }
    Ok(Query {
        target: target.ok_or("`target` is missing")?,
        server_name,
        protocol,
    })
}

/// The names of a query that nobody asks for, and what they resolve to. Whoever can not be asked in `limit` is unknown.
///
/// # Errors
/// The name servers can not be asked at all.
pub async fn look_up(policy: &Policy, query: &Query, limit: Duration) -> anyhow::Result<Snapshot> {
    let names = names_of(query).into_iter();
    let is_followed = |name: &ServerName| policy.questions.iter().any(|question| question.name == *name);
    let questions: Vec<Question> = names
        .filter(|name| !is_followed(name))
        .map(|name| Question {
            name,
            private_link: Vec::new(),
            sanity: Sanity::default(),
        })
        .collect();
    if questions.is_empty() || policy.upstreams.is_empty() {
        return Ok(Snapshot::default());
    }
    Ok(resolve_once(questions, &policy.config.resolver, policy.connect()?, limit).await)
}

/// The explanation by a policy with these answers.
///
/// # Errors
/// The policy does not fit the kernel's tables.
pub fn answer(
    policy: &Policy,
    answers: &Snapshot,
    looked_up: &Snapshot,
    names: &History,
    query: &Query,
) -> anyhow::Result<Explanation> {
    let remembered = |address: IpAddr| {
        let known = names.of(address)?;
        Some((known.name, known.refused.map(str::to_owned)))
    };
    let situation = Situation {
        config: &policy.config,
        endpoints: &policy.endpoints,
        names: &policy.names,
        upstreams: if policy.judges_enforcer {
            &policy.upstreams
        } else {
            &[]
        },
        answers,
        looked_up,
        remembered: &remembered,
        now: Instant::now(),
    };
    explain(&situation, query)
        .context("the policy does not fit the kernel's tables, so that nothing of it could be granted")
}

/// The explanation by the policy in force, where it is in force: what was found in the kernel may be another one.
///
/// # Errors
/// As for [`answer`].
pub fn of_view(
    view: &View,
    looked_up: &Snapshot,
    names: &History,
    query: &Query,
) -> anyhow::Result<Explanation> {
    let mut explanation = answer(&view.policy, &view.answers, looked_up, names, query)?;
    let findings = &view.findings;
    if findings.holds {
        explanation.notes.push(
            "the policy of an earlier run, which was found in the kernel, is in force until every name has an answer; this is \
             about the configuration"
                .to_owned(),
        );
    }
    if findings.has_reverted {
        explanation.notes.push(
            "nobody confirmed the enforcement in its time: what is denied is reported, and passes all the same".to_owned(),
        );
    }
    if findings.is_gone || !findings.damages.is_empty() {
        explanation
            .notes
            .push("the programs are not attached as they should be: look at `enforcer status`".to_owned());
    }
    Ok(explanation)
}

/// The names that a query is about.
fn names_of(query: &Query) -> Vec<ServerName> {
    let mut names: Vec<ServerName> = match &query.target.host {
        Host::Name(name) => vec![name.clone()],
        Host::Address(_) => Vec::new(),
    };
    let asked = query.server_name.as_deref().map(ServerName::parse);
    names.extend(asked.and_then(Result::ok));
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_the_url() {
        for (target, server_name, protocol) in [
            ("contoso.azurecr.io", None, Protocol::Tcp),
            ("contoso.azurecr.io:8443", Some("a&b=c%\n\u{e9}"), Protocol::Tcp),
            ("[2001:db8::1]:443", Some(""), Protocol::Udp),
            ("192.0.2.1", None, Protocol::Udp),
        ] {
            let query = Query {
                target: target.parse().unwrap(),
                server_name: server_name.map(str::to_owned),
                protocol,
            };
            assert_eq!(decoded(&encoded(&query)), Ok(query));
        }
    }

    #[test]
    fn what_is_no_query_says_why() {
        for (parameters, why) in [
            ("", "`target` is missing"),
            ("target=", "`target`: the name is empty"),
            ("target=a.example&colour=red", "there is no parameter `colour`"),
            ("target=a.example&protocol=sctp", "`protocol` is tcp or udp"),
        ] {
            assert_eq!(decoded(parameters), Err(why.to_owned()), "{parameters}");
        }
        let long = format!("target=a.example&server_name={}", "a".repeat(2000));
        assert!(decoded(&long).is_err());
    }
}
