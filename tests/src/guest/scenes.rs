//! The short lab: who gets through under `enforcer exec`, and what the report says of the others.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::network::Network;
use super::{Line, tell};
use crate::lab::world;
use crate::outcome::run_for;
use crate::programs::enforcer_program;

/// An emulated machine verifies a program in seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// A session that a client begins.
struct Scene {
    what: &'static str,
    name: &'static str,
    address: &'static str,
    /// The reason for which it must not get through.
    denied: Option<&'static str>,
}

const SCENES: [Scene; 6] = [
    Scene {
        what: "a granted name",
        name: world::CONTOSO,
        address: world::CONTOSO_ADDRESSES[0],
        denied: None,
    },
    Scene {
        what: "a granted name over IPv6",
        name: world::CONTOSO,
        address: world::CONTOSO_ADDRESSES[2],
        denied: None,
    },
    Scene {
        what: "a foreign name on the granted address",
        name: world::FABRIKAM,
        address: world::CONTOSO_ADDRESSES[0],
        denied: Some("name-not-granted"),
    },
    Scene {
        what: "a foreign name on the granted IPv6 address",
        name: world::FABRIKAM,
        address: world::CONTOSO_ADDRESSES[2],
        denied: Some("name-not-granted"),
    },
    Scene {
        what: "a granted name on a foreign address",
        name: world::CONTOSO,
        address: world::BARE_ADDRESSES[0],
        denied: Some("address-not-granted"),
    },
    Scene {
        what: "a granted name on a foreign IPv6 address",
        name: world::CONTOSO,
        address: world::BARE_ADDRESSES[1],
        denied: Some("address-not-granted"),
    },
];

/// Plays all of them and tells those that went wrong.
pub(super) fn run() -> Result<()> {
    let network = Network::start().context("the short lab can not be built")?;
    fs::write(Network::file("policy.toml"), world::CONTOSO_POLICY)?;
    let mut good = 0;
    for scene in &SCENES {
        match play(&network, scene) {
            Ok(()) => good += 1,
            Err(error) => super::tell_failure(format_args!("{}: {error:#}", scene.what)),
        }
    }
    tell(&Line::Lab(good, SCENES.len()));
    Ok(())
}

fn play(network: &Network, scene: &Scene) -> Result<()> {
    let address = SocketAddr::new(world::address(scene.address), 443);
    let report = Network::file("report.json");
    let mut exec = network.on_client(&enforcer_program()?)?;
    exec.args(["exec", "--config"])
        .arg(Network::file("policy.toml"))
        .arg("--report")
        .arg(&report)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(["visit", scene.name, &address.to_string()])
        .arg(Network::ca());
    let outcome = run_for(exec, LIMIT)?;
    for warning in outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with("warning: "))
    {
        tell(&Line::Note(&format!("{}: {warning}", scene.what)));
    }
    let visited = network.was_visited(scene.name, address.ip());
    let text = fs::read_to_string(&report).with_context(|| format!("enforcer wrote no report: {outcome}"))?;
    fs::remove_file(&report)?;
    let report: Value = serde_json::from_str(&text)?;
    let Some(reason) = scene.denied else {
        ensure!(outcome.success() && visited, "it did not get through: {outcome}");
        ensure!(report["denied"] == 0, "something was denied: {outcome}");
        return Ok(());
    };
    ensure!(!outcome.success() && !visited, "it got through: {outcome}");
    ensure!(
        text.contains(&format!("\"{reason}\"")),
        "the report does not say {reason}: {outcome}"
    );
    tell(&Line::Note(&format!(
        "{}: the client knew after {} ms",
        scene.what, report["duration_ms"]
    )));
    Ok(())
}
