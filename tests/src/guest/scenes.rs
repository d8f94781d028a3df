//! The short lab: who gets through under `enforcer exec`, and what the report says of the others.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::network::Network;
use super::{Line, tell, tell_failure, visit};
use crate::lab::world;
use crate::outcome::run_for;
use crate::programs::enforcer_program;

/// An emulated machine verifies a program in seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// The reason of a denial that comes after the connection is there, and that its client learns by the end of its socket.
const LATE: &str = "name-not-granted";
/// What a client whose socket was ended reads: ECONNABORTED.
const ABORTED: &str = "(os error 103)";

/// A session that a client begins.
struct Scene {
    what: &'static str,
    name: &'static str,
    address: &'static str,
    /// Whether its hello comes in two segments.
    in_pieces: bool,
    /// The reason for which it must not get through.
    denied: Option<&'static str>,
}

const SCENES: [Scene; 8] = [
    Scene {
        what: "a granted name",
        name: world::CONTOSO,
        address: world::CONTOSO_ADDRESSES[0],
        in_pieces: false,
        denied: None,
    },
    Scene {
        what: "a granted name over IPv6",
        name: world::CONTOSO,
        address: world::CONTOSO_ADDRESSES[2],
        in_pieces: false,
        denied: None,
    },
    Scene {
        what: "a foreign name on the granted address",
        name: world::FABRIKAM,
        address: world::CONTOSO_ADDRESSES[0],
        in_pieces: false,
        denied: Some(LATE),
    },
    Scene {
        what: "a foreign name on the granted IPv6 address",
        name: world::FABRIKAM,
        address: world::CONTOSO_ADDRESSES[2],
        in_pieces: false,
        denied: Some(LATE),
    },
    Scene {
        what: "a granted name in pieces",
        name: world::CONTOSO,
        address: world::CONTOSO_ADDRESSES[1],
        in_pieces: true,
        denied: None,
    },
    Scene {
        what: "a foreign name in pieces",
        name: world::FABRIKAM,
        address: world::CONTOSO_ADDRESSES[1],
        in_pieces: true,
        denied: Some(LATE),
    },
    Scene {
        what: "a granted name on a foreign address",
        name: world::CONTOSO,
        address: world::BARE_ADDRESSES[0],
        in_pieces: false,
        denied: Some("address-not-granted"),
    },
    Scene {
        what: "a granted name on a foreign IPv6 address",
        name: world::CONTOSO,
        address: world::BARE_ADDRESSES[1],
        in_pieces: false,
        denied: Some("address-not-granted"),
    },
];

/// Plays all of them under one `enforcer exec` and tells those that went wrong.
pub(super) fn run() -> Result<()> {
    let network = Network::start().context("the short lab can not be built")?;
    let (policy, report) = (Network::file("policy.toml"), Network::file("report.json"));
    fs::write(&policy, world::CONTOSO_POLICY)?;
    let mut exec = network.on_client(&enforcer_program()?)?;
    exec.args(["exec", "--config"])
        .arg(policy)
        .arg("--report")
        .arg(&report)
        .arg("--")
        .arg(std::env::current_exe()?)
        .arg("visit")
        .arg(Network::ca())
        .args(SCENES.iter().map(Scene::session));
    let outcome = run_for(exec, LIMIT)?;
    let told = outcome.stderr.lines();
    for warning in told.filter(|line| line.starts_with("warning: ")) {
        tell(&Line::Note(warning));
    }
    let sessions = visit::outcomes(&outcome.stdout);
    ensure!(
        sessions.len() == SCENES.len(),
        "enforcer exec did not play the scenes: {outcome}"
    );
    let report: Value = serde_json::from_str(&fs::read_to_string(report)?)?;
    let mut good = 0;
    let mut slowest = None;
    for (scene, session) in SCENES.iter().zip(&sessions) {
        let visited = network.was_visited(scene.name, scene.address().ip());
        match judge(scene, session, visited, &report) {
            Ok(()) => {
                good += 1;
                if scene.denied == Some(LATE) {
                    slowest = slowest.max(Some(session.took_ms));
                }
            }
            Err(error) => tell_failure(format_args!("{}: {error:#}", scene.what)),
        }
    }
    tell(&Line::Lab(good, SCENES.len()));
    if let Some(took_ms) = slowest {
        tell(&Line::Ended(took_ms));
    }
    Ok(())
}

impl Scene {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(world::address(self.address), 443)
    }

    /// As [`visit::visit`] takes it.
    fn session(&self) -> String {
        let suffix = if self.in_pieces { visit::PIECES } else { "" };
        format!("{}{suffix}@{}", self.name, self.address())
    }
}

/// Holds what the client and the server saw, and what the enforcer reports, against what must be.
fn judge(scene: &Scene, session: &visit::Outcome, visited: bool, report: &Value) -> Result<()> {
    let Some(reason) = scene.denied else {
        ensure!(
            session.error.is_none() && visited,
            "it did not get through: {session:?}"
        );
        return Ok(());
    };
    let error = session
        .error
        .as_deref()
        .filter(|_| !visited)
        .context("it got through")?;
    ensure!(
        reason != LATE || error.contains(ABORTED),
        "its socket was not ended: {session:?}"
    );
    let destination = scene.address().ip().to_string();
    let denials = report["denials"].as_array().into_iter().flatten();
    let reported = |denial: &Value| denial["reason"] == reason && denial["destination"] == destination;
    ensure!(
        denials.clone().any(reported),
        "the report does not say {reason}: {:?}",
        denials.collect::<Vec<_>>()
    );
    Ok(())
}
