//! `enforcer plan`: what the kernel would be told, without telling it.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use super::message::{Output, print};
use super::seconds;
use crate::daemon::policy::Policy;
use crate::kernel::{self, Cgroup};
use crate::policy::plan::{Actual, Granted, Plan};
use crate::resolve::resolve_once;

/// The status of "it ran, and the answer is no".
const UNRESOLVED: u8 = 3;

/// Resolve a configuration once and show what would be granted
///
/// Prints rule, name, CNAME chain and addresses with what is left of their TTL, and what is different from the policy
/// that is loaded. Changes nothing and needs no privileges, but without them the loaded policy can not be read and the
/// comparison is with nothing.
///
/// Exit status: 0; 3 when a name has no address, so that nothing would be granted for it (the bare certificate name of
/// a registry does not count); 1 on an error.
#[derive(Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// How long names may take to resolve, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    resolve_timeout: Duration,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let policy = Policy::load(&arguments.config)?;
    let answers = super::block_on(resolve_once(
        policy.questions.clone(),
        &policy.config.resolver,
        policy.connect()?,
        arguments.resolve_timeout,
    ))?;
    let desired = policy.desired(&answers).context("the plan can not be loaded")?;
    let loaded = loaded(&policy);
    let actual = match &loaded {
        Err(why) => Actual::Unread { why },
        Ok(None) => Actual::Nothing,
        Ok(Some(loaded)) => Actual::Loaded {
            generation: loaded.generation.0,
            mode: loaded.settings.mode,
            granted: Granted {
                ranges: &loaded.ranges,
                names: &loaded.names,
            },
        },
    };
    let plan = Plan::new(
        &policy.config,
        &policy.endpoints,
        &policy.upstreams,
        &answers,
        Instant::now(),
        policy.granted(&desired),
        actual,
    );
    match arguments.output {
        Output::Text => print(format_args!("{plan}\n"))?,
        Output::Json => print(format_args!("{}\n", serde_json::to_string_pretty(&plan)?))?,
    }
    let is_whole = plan.unresolved().is_empty();
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNRESOLVED)
    })
}

/// The policy that is in force where this one would be, or why it can not be read.
fn loaded(policy: &Policy) -> Result<Option<kernel::Loaded>, String> {
    let cgroup = match &policy.config.enforce.cgroup {
        Some(path) => Cgroup::open(path),
        None => Cgroup::root(),
    };
    let cgroup = cgroup.map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    kernel::loaded(cgroup.as_fd()).map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}
