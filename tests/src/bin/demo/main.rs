//! The demo: a policy that names one registry, a client that tries that and everything else, and what came of it.
//!
//! It runs `enforcer exec` for real, in the lab. Each attempt that is to be denied is made twice: first without the
//! enforcer, where it has to succeed, since a denial of what would not have worked shows nothing.
//!
//! Ends with status 0 when everything went as it should, 3 when something did not, and 1 when it could not be tried.

mod cases;
mod report;
mod show;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use enforcer_lab::{Cgroup, Image, Lab, Outcome, Visit, run_for, world};

use cases::{Attempt, Case, Expected};
use report::Report;

/// No attempt takes this long; one that does is told as such instead of holding up the rest.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
/// Sizes of the layers of the image that is pulled, in bytes.
const LAYER_SIZES: [usize; 3] = [2_000_000, 500_000, 80_000];

/// What came of a case.
struct Tried {
    /// The attempt without the enforcer; none where it shows nothing.
    without: Option<Outcome>,
    /// The attempt under the policy.
    with: Outcome,
    /// What `enforcer exec` reported of it.
    report: Report,
    /// Addresses of the data endpoint that have served the image by now; none while it is not there as a whole.
    served_from: Vec<String>,
    /// Packets that reached a destination of the attempt while it was judged.
    leaked: u64,
}

fn main() -> ExitCode {
    match demo() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            show::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether everything went as it should.
fn demo() -> Result<bool> {
    let begin = Instant::now();
    let lab = Lab::start()?;
    let image = lab.publish(&lab.contoso, "app", "v1", &LAYER_SIZES)?;
    lab.write_config("demo.toml", world::CONTOSO_POLICY)?;
    let cgroup = Cgroup::new("demo")?;
    show::opening(world::CONTOSO_POLICY, begin.elapsed());

    let cases = cases::all(&lab, &image)?;
    let mut good = 0;
    for (number, case) in (1..).zip(&cases) {
        show::attempt(number, case);
        let result = judge(&lab, &cgroup, &image, number, case)
            .with_context(|| format!("case {number}, {}", case.title))?;
        let problem = case.problem(&result);
        show::result(case, &result, problem.as_deref());
        good += usize::from(problem.is_none());
    }
    drop(lab);
    show::closing(good, cases.len(), begin.elapsed());
    Ok(good == cases.len())
}

/// Makes the attempt of `case`, without the enforcer where that shows something, then under the policy.
fn judge(lab: &Lab, cgroup: &Cgroup, image: &Image, number: usize, case: &Case) -> Result<Tried> {
    let before = arrived(lab, case)?;
    let report_file = lab.folder().join(format!("report-{number}.json"));
    let mut command = lab.enforcer_command()?;
    command
        .args(["exec", "--config", "demo.toml", "--report"])
        .arg(&report_file)
        .arg("--")
        .arg(&case.attempt.program)
        .args(&case.attempt.arguments);
    // Whatever becomes of the enforcer, its cgroups lie in this one and go with it.
    cgroup.hold(&mut command)?;
    let with = run_for(command, ATTEMPT_LIMIT)?;
    let report = Report::read(&report_file).with_context(|| format!("enforcer exec: {with}"))?;
    let leaked = arrived(lab, case)? - before;
    // Only now, so that the last packets of a connection that worked are not taken for ones that slipped through.
    let without = match case.expected {
        Expected::Works => None,
        Expected::Denied => Some(run_for(unjudged(lab, &case.attempt)?, ATTEMPT_LIMIT)?),
    };
    Ok(Tried {
        without,
        with,
        report,
        leaked,
        served_from: served_from(lab, image),
    })
}

/// The attempt by itself.
fn unjudged(lab: &Lab, attempt: &Attempt) -> Result<std::process::Command> {
    let mut command = lab.client_command(&attempt.program)?;
    command.args(&attempt.arguments);
    Ok(command)
}

/// How many packets have reached the destinations of `case` so far.
fn arrived(lab: &Lab, case: &Case) -> Result<u64> {
    case.destinations
        .iter()
        .map(|&(protocol, address)| lab.arrived(protocol, address, 443))
        .sum()
}

/// Where the layers that were pulled came from.
fn served_from(lab: &Lab, image: &Image) -> Vec<String> {
    if !image.is_in(&lab.folder().join(cases::PULLED)) {
        return Vec::new();
    }
    let of_data_endpoint = |visit: &Visit| visit.server_name.as_deref() == Some(world::CONTOSO_DATA);
    let visits = lab.visits().into_iter().filter(of_data_endpoint);
    let mut addresses: Vec<String> = visits.map(|visit| visit.local.ip().to_string()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}
