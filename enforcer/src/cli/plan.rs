//! `enforcer plan`: what the kernel would be told, without telling it.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use super::message::{Failure, Output, print};
use super::service::{self, Service};
use super::{reload, seconds};
use crate::control::client::Client;
use crate::control::model::PlanReport;
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
/// Without FILE it asks the daemon what reloading its configuration would change now: rules, settings, addresses and server
/// names, before and after. What is new is asked for; nothing changes.
///
/// Exit status: 0; 3 when a name has no address, so that nothing would be granted for it (the bare certificate name of
/// a registry does not count); 1 on an error, also when a reload would be refused.
#[derive(Args)]
pub(super) struct Arguments {
    /// The configuration; without it that of the running daemon
    #[arg(value_name = "FILE", conflicts_with_all = ["instance", "running"])]
    config: Option<PathBuf>,
    /// Ask the running daemon what a reload would change, as without FILE
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    service: Service,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// How long names may take to resolve, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    resolve_timeout: Duration,
}

/// How long the daemon may take: it asks for what is new.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.config {
        Some(file) => of_file(file, arguments),
        None => of_running(arguments),
    }
}

/// What a reload would change.
fn of_running(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let instance = &arguments.service.instance;
    let answered = super::block_on(Client::of(instance).get::<PlanReport>("/v1/plan", ANSWER_LIMIT))?;
    let report = answered.map_err(|error| service::failure(instance, error))?;
    if arguments.output == Output::Json {
        print(format_args!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        for problem in &report.problems {
            reload::show(problem);
        }
        if report.is_usable {
            print(format_args!("{}", running_words(&report)))?;
        } else {
            let message = format!(
                "a reload of `{}` would be refused, and the policy in force (generation {}) would stay",
                report.file.display(),
                report.generation
            );
            let cause = report.causes.join(": ");
            return Err(Failure::new(message, "mend the file, and look again", cause).into());
        }
    }
    Ok(match (report.is_usable, report.unresolved.is_empty()) {
        (false, _) => ExitCode::FAILURE,
        (true, false) => ExitCode::from(UNRESOLVED),
        (true, true) => ExitCode::SUCCESS,
    })
}

fn running_words(report: &PlanReport) -> String {
    let file = report.file.display();
    let mut text = if report.changes.is_empty() {
        format!(
            "reloading {file} would change nothing; generation {} is in force\n",
            report.generation
        )
    } else {
        format!(
            "reloading {file} would change, of generation {} in force:\n{}",
            report.generation,
            reload::lines(&report.changes, report.omitted)
        )
    };
    for name in &report.unresolved {
        text += &format!("nothing would be granted for {name}: it has no address\n");
    }
    text
}

fn of_file(file: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let policy = Policy::load(file)?;
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
