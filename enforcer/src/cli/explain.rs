//! `enforcer explain TARGET`: why a target passes or does not, and what to write.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::message::{Failure, Output, print};
use super::seconds;
use super::service::{self, Service};
use crate::control;
use crate::control::client::Client;
use crate::control::explain::SERVER_NAME_MAX;
use crate::daemon::names::History;
use crate::daemon::policy::Policy;
use crate::policy::explain::{Explanation, Protocol, Query, Target};
use crate::resolve::{Snapshot, resolve_once};
use crate::state::Instance;

/// The status of "it ran, and the answer is no".
const DENIED: u8 = 3;
/// How long the daemon may take: it may have to look a name up.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Say why a host is reached or not, and what to write so that it is
///
/// Prints the verdict that the kernel would reach, and the chain behind it: rule with file and line, name, CNAMEs, answer,
/// age and expiry, server names that count there. Of what is denied it prints the lines of configuration that would grant
/// it, with a warning where that is risky. Without --config it is the policy in force, which the daemon is asked about.
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
    /// Explain this configuration, after resolving it once, and not the policy in force
    #[arg(long, value_name = "FILE", conflicts_with = "instance")]
    config: Option<PathBuf>,
    #[command(flatten)]
    service: Service,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// How long names may take to resolve with --config, in seconds
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
    let explanation = match &arguments.config {
        Some(file) => offline(file, &query, arguments.resolve_timeout)?,
        None => online(&arguments.service.instance, &query)?,
    };
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
    let (answers, looked_up) = super::block_on(async {
        let followed = async {
            if policy.questions.is_empty() {
                return Ok(Snapshot::default());
            }
            let questions = policy.questions.clone();
            let resolver = &policy.config.resolver;
            anyhow::Ok(resolve_once(questions, resolver, policy.connect()?, timeout).await)
        };
        tokio::try_join!(followed, control::explain::look_up(&policy, query, timeout))
    })??;
    control::explain::answer(&policy, &answers, &looked_up, &History::default(), query)
}

/// Has the daemon explain the policy in force.
fn online(instance: &Instance, query: &Query) -> anyhow::Result<Explanation> {
    let path = format!("/v1/explain?{}", control::explain::encoded(query));
    let answered = super::block_on(Client::of(instance).get(&path, ANSWER_LIMIT))?;
    answered.map_err(|error| service::failure(instance, error))
}
