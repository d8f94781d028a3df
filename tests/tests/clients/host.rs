//! A lab for the clients, and asking in it: as if there were no enforcer, and under `enforcer exec`.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use enforcer_lab::{Image, Lab, Outcome, Visit, run_for, world};
use serde_json::Value;

use crate::client::Client;

/// For everything that should take a second or two, on a machine that does something else as well.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Two names of the addresses that all tenants share, and where the blobs of one are.
const POLICY: &str = r#"mode = "enforce"

[[registry]]
login_server = "contoso.azurecr.io"
data_regions = ["eastus"]

[[allow]]
name = "northwind.azurecr.io"
"#;

/// The lab, in which every tenant is on the same addresses and has an image `app:v1`.
pub(crate) struct Host {
    pub(crate) lab: Lab,
    images: [(&'static str, Image); 2],
    /// Files in use so far: each has a number in its name.
    files: AtomicU32,
}

/// What came of asking.
pub(crate) struct Asked {
    pub(crate) outcome: Outcome,
    /// What the servers saw of it.
    pub(crate) visits: Vec<Visit>,
    /// What the enforcer reported, when there was one.
    pub(crate) report: Value,
}

impl Host {
    pub(crate) fn new() -> Self {
        let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
        lab.name_server.script(|zone| {
            for name in [world::CONTOSO, world::NORTHWIND, world::TAILSPIN, world::FABRIKAM] {
                zone.cname(name, 300, "eus.fe.azcr.io");
            }
        });
        let images = [&lab.contoso, &lab.fabrikam].map(|registry| {
            // The layers differ by their sizes, and with them their digests.
            let size = 10_000 + registry.login_server().len();
            let image = lab.publish(registry, "app", "v1", &[size]).unwrap();
            if registry.login_server() == world::CONTOSO {
                (world::CONTOSO, image)
            } else {
                (world::FABRIKAM, image)
            }
        });
        let host = Self {
            lab,
            images,
            files: AtomicU32::new(0),
        };
        host.lab.write_config("enforce.toml", POLICY).unwrap();
        host.lab
            .write_config("audit.toml", &POLICY.replace("enforce", "audit"))
            .unwrap();
        host.teach_the_browser();
        host
    }

    /// The image `app:v1` of the registry of this name.
    pub(crate) fn image_of(&self, name: &str) -> &Image {
        let found = self.images.iter().find(|(owner, _)| *owner == name);
        &found.expect("it is a registry with an image").1
    }

    /// A path for a file or folder that nobody else uses.
    pub(crate) fn fresh(&self, label: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.lab.folder().join(format!("{label}-{number}"))
    }

    /// Asks without an enforcer.
    pub(crate) fn ask(&self, client: &Client, name: &str) -> Asked {
        let words = (client.command)(self, name);
        let mut command = self.lab.client_command(&words[0]).unwrap();
        command.args(&words[1..]);
        self.run(command, None)
    }

    /// Asks under the policy.
    pub(crate) fn ask_judged(&self, client: &Client, name: &str) -> Asked {
        self.judge("enforce.toml", &(client.command)(self, name))
    }

    /// Runs a command line under the policy as `enforce.toml` or `audit.toml` have it.
    pub(crate) fn judge(&self, config: &str, words: &[String]) -> Asked {
        let report = self.fresh("report");
        let mut command = self.lab.enforcer_command().unwrap();
        command.args(["exec", "--config", config, "--report"]);
        command.arg(&report).arg("--").args(words);
        self.run(command, Some(report))
    }

    fn run(&self, command: std::process::Command, report: Option<PathBuf>) -> Asked {
        let since = self.lab.visits().len();
        let outcome = run_for(command, LIMIT).unwrap();
        let report = report.map_or(Value::Null, |path| {
            let text = fs::read_to_string(path).unwrap_or_else(|_| panic!("no report: {outcome}"));
            serde_json::from_str(&text).expect("the report is JSON")
        });
        Asked {
            outcome,
            visits: self.lab.visits().split_off(since),
            report,
        }
    }

    /// Has the browser trust the lab's certificate authority: it reads a database of its own kind.
    fn teach_the_browser(&self) {
        let database = "$HOME/.pki/nssdb";
        let script = format!(
            "mkdir -p {database} && certutil -N -d sql:{database} --empty-password && \
             certutil -A -d sql:{database} -n lab -t C,, -i ca.pem"
        );
        let mut command = self.lab.client_command("sh").unwrap();
        command.args(["-c", &script]);
        run_for(command, LIMIT)
            .unwrap()
            .expect_success("certutil of `cargo xtask setup`");
    }
}

impl Asked {
    /// The hellos under `name` that reached a server.
    pub(crate) fn hellos(&self, name: &str) -> Vec<&Visit> {
        self.visits_to(name)
            .filter(|visit| visit.request.is_none())
            .collect()
    }

    /// Everything under `name` that reached a server.
    pub(crate) fn visits_to(&self, name: &str) -> impl Iterator<Item = &Visit> {
        self.visits
            .iter()
            .filter(move |visit| visit.server_name.as_deref() == Some(name))
    }

    /// The denials of sessions under `name`.
    pub(crate) fn denials_of(&self, name: &str) -> Vec<&Value> {
        let denials = self.report["denials"].as_array();
        denials
            .into_iter()
            .flatten()
            .filter(|denial| denial["server_name"] == name)
            .collect()
    }
}
