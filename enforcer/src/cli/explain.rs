//! `enforcer explain TARGET`: why a target passes or does not, and what to write.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use super::message::{Failure, Output, print};
use super::seconds;
use crate::daemon::policy::Policy;
use crate::names::ServerName;
use crate::policy::explain::{Explanation, Host, Protocol, Query, Situation, Target, explain};
use crate::resolve::{Question, Snapshot, resolve_once};

/// The status of "it ran, and the answer is no".
const DENIED: u8 = 3;
/// Longest server name that is tried; no name is a quarter of it.
const SERVER_NAME_MAX: usize = 1024;

/// Say why a host is reached or not, and what to write so that it is
///
/// Prints the verdict that the kernel would reach, and the chain behind it: rule with file and line, name, CNAMEs, answer,
/// age and expiry, server names that count there. Of what is denied it prints the lines of configuration that would grant
/// it, with a warning where that is risky.
///
/// Exit status: 0 when it would pass; 3 when it would be denied, also where audit mode lets it pass, or when it can not be
/// told; 1 on an error.
#[derive(Args)]
pub(super) struct Arguments {
    /// A name or an address, with a port or without: `contoso.azurecr.io`, `192.0.2.1:443`, `[2001:db8::1]:443`
    #[arg(value_name = "TARGET")]
    target: Target,
    /// The server name that the TLS session asks for, empty for none; otherwise that of TARGET
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The protocol
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    protocol: Transport,
    /// Explain this configuration after resolving it once
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// How long names may take to resolve, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    resolve_timeout: Duration,
}

/// A protocol on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Transport {
    /// TCP with TLS.
    Tcp,
    /// UDP, which is QUIC.
    Udp,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let query = Query {
        target: arguments.target.clone(),
        server_name: arguments.server_name.clone(),
        protocol: match arguments.protocol {
            Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
        },
    };
    if query
        .server_name
        .as_ref()
        .is_some_and(|name| name.len() > SERVER_NAME_MAX)
    {
        return Err(Failure::msg(
            format!("the server name has more than {SERVER_NAME_MAX} bytes"),
            "names have 253 at the most",
        )
        .into());
    }
    let explanation = offline(&arguments.config, &query, arguments.resolve_timeout)?;
    match arguments.output {
        Output::Text => print(format_args!("{explanation}\n"))?,
        Output::Json => print(format_args!("{}\n", serde_json::to_string_pretty(&explanation)?))?,
    }
    Ok(if explanation.verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DENIED)
    })
}

/// Explains a file, whose names are resolved once, and those of the query with them.
fn offline(file: &Path, query: &Query, timeout: Duration) -> anyhow::Result<Explanation> {
    let policy = Policy::load(file)?;
    let mut questions = policy.questions.clone();
    let is_followed = |name: &ServerName| policy.questions.iter().any(|question| question.name == *name);
    for name in names_of(query) {
        // Without a name server nobody can be asked.
        if !is_followed(&name) && !policy.upstreams.is_empty() {
            questions.push(Question {
                name,
                private_link: Vec::new(),
            });
        }
    }
    let resolved = if questions.is_empty() {
        Snapshot::default()
    } else {
        super::block_on(resolve_once(
            questions,
            &policy.config.resolver,
            policy.connect()?,
            timeout,
        ))?
    };
    let (answers, looked_up) = resolved
        .names
        .into_iter()
        .partition(|known| is_followed(&known.name));
    let situation = Situation {
        config: &policy.config,
        endpoints: &policy.endpoints,
        names: &policy.names,
        upstreams: &policy.upstreams,
        answers: &Snapshot { names: answers },
        looked_up: &Snapshot { names: looked_up },
        remembered: &|_| None,
        now: Instant::now(),
    };
    explain(&situation, query).context("the policy can not be loaded, so nothing would be granted")
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
