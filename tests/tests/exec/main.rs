//! `enforcer exec` in the lab: what goes through, what the command's status becomes, and what is left. Needs root.

mod ending;
mod surroundings;
mod verdicts;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use enforcer_lab::daemon::LIMIT;
use enforcer_lab::{Lab, Outcome, probe_program, run_for, world};
use serde_json::Value;

fn lab() -> Lab {
    Lab::start().expect("the lab needs root and `cargo xtask setup`")
}

/// `enforcer exec --config policy.toml OPTIONS -- COMMAND` on the client, not started yet.
fn exec(lab: &Lab, policy: &str, options: &[&str], command: &[&str]) -> Command {
    let config = lab.write_config("policy.toml", policy).unwrap();
    let mut exec = lab.enforcer_command().unwrap();
    exec.args(["exec", "--config"])
        .arg(config)
        .args(options)
        .arg("--")
        .args(command);
    exec
}

fn outcome(lab: &Lab, policy: &str, options: &[&str], command: &[&str]) -> Outcome {
    run_for(exec(lab, policy, options, command), LIMIT).unwrap()
}

fn script(lab: &Lab, policy: &str, options: &[&str], script: &str) -> Outcome {
    outcome(lab, policy, options, &["sh", "-c", script])
}

/// The report that the options `--report report.json` leave behind.
fn report(lab: &Lab) -> Value {
    let text = fs::read_to_string(lab.folder().join("report.json")).expect("exec wrote a report");
    serde_json::from_str(&text).expect("the report is JSON")
}

/// A command line that connects to `address` on 443.
fn probe(protocol: &str, address: &str) -> String {
    let program = probe_program().unwrap();
    let address = SocketAddr::new(world::address(address), 443);
    format!("{} {protocol} {address}", program.display())
}

fn status(outcome: &Outcome) -> i32 {
    outcome.status.code().unwrap_or_else(|| panic!("{outcome}"))
}
