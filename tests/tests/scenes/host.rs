//! What the scenes share: a lab, a cgroup, a name server for the enforcer alone, and a daemon.
//!
//! The enforcer asks a name server of its own. Who asks the same one as the client is late whenever an answer changes
//! and the client asks first; that gap is not what these scenes are about.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use enforcer_lab::daemon::{Daemon, LIMIT};
use enforcer_lab::nameserver::NameServer;
use enforcer_lab::{Cgroup, Lab, Outcome, Visit, probe_program, run_for, world};
use serde_json::Value;

/// A client whose processes are in a cgroup.
pub(crate) struct Host {
    pub(crate) lab: Lab,
    pub(crate) cgroup: Cgroup,
    /// Whom the enforcer asks.
    pub(crate) upstream: NameServer,
}

impl Host {
    pub(crate) fn new() -> Self {
        let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
        let cgroup = Cgroup::new("scene").expect("the scene needs cgroup v2");
        let upstream = lab.second_name_server().unwrap();
        Self {
            lab,
            cgroup,
            upstream,
        }
    }

    /// Writes a configuration with these rules, these keys under `[resolver]`, and a `cgroup` that it is for. It
    /// replaces an older one at once: nobody reads half a file.
    pub(crate) fn policy(&self, name: &str, rules: &str, resolver: &str, cgroup: &Path) -> PathBuf {
        let server = world::SECOND_NAME_SERVER_ADDRESS;
        let text = format!(
            "{rules}\n[enforce]\ncgroup = \"{}\"\n\n[resolver]\nservers = [\"{server}\"]\n{resolver}\n",
            cgroup.display()
        );
        self.replace(name, &text)
    }

    /// Writes a file in one step.
    pub(crate) fn replace(&self, name: &str, text: &str) -> PathBuf {
        let path = self.lab.folder().join(name);
        let new = self.lab.write_config(&format!("{name}.new"), text).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }

    /// Starts `enforcer run` and waits until it enforces.
    pub(crate) fn start(&self, config: &Path) -> Daemon {
        Daemon::start(&self.lab, config)
    }

    /// A shell in the cgroup.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = self.lab.client_command("sh").unwrap();
        command.args(["-c", script]);
        self.cgroup.hold(&mut command).unwrap();
        command
    }

    /// `enforcer exec` with its report in `report.json`.
    pub(crate) fn exec(&self, config: &Path, script: &str) -> Command {
        let mut command = self.lab.enforcer_command().unwrap();
        command.args(["exec", "--report", "report.json", "--config"]);
        command.arg(config).args(["--", "sh", "-c", script]);
        command
    }

    /// The report of [`Self::exec`].
    pub(crate) fn report(&self) -> Value {
        let text = fs::read_to_string(self.lab.folder().join("report.json")).expect("exec wrote a report");
        serde_json::from_str(&text).expect("the report is JSON")
    }

    /// A command line that pulls `contoso.azurecr.io/<image>` into the folder `out/<image>`.
    pub(crate) fn pull(&self, image: &str) -> String {
        let arguments = self
            .lab
            .pull_arguments(&format!("{}/{image}", world::CONTOSO), &self.pulled(image));
        format!("mkdir -p out && skopeo {} --quiet", arguments.join(" "))
    }

    /// Where [`Self::pull`] leaves it.
    pub(crate) fn pulled(&self, image: &str) -> PathBuf {
        self.lab.folder().join("out").join(image.replace(':', "-"))
    }

    /// Whether a TCP connection of a process in the cgroup comes about.
    pub(crate) fn connects(&self, address: &str) -> bool {
        let outcome = run_for(self.shell(&probe("tcp", address)), LIMIT).unwrap();
        assert!(
            outcome.success() || outcome.stdout.contains("Operation not permitted"),
            "neither granted nor denied: {outcome}"
        );
        outcome.success()
    }

    /// What `enforcer plan` says of `config`.
    pub(crate) fn plan(&self, config: &Path) -> Value {
        let mut command = self.lab.enforcer_command().unwrap();
        command.arg("plan").arg(config).args(["-o", "json"]);
        let outcome = run_for(command, LIMIT).unwrap();
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no plan: {outcome}"))
    }

    /// The requests for `server_name` since there were `since` visits.
    pub(crate) fn visits_to(&self, server_name: &str, since: usize) -> Vec<Visit> {
        let visits = self.lab.visits().into_iter().skip(since);
        visits
            .filter(|visit| visit.server_name.as_deref() == Some(server_name))
            .collect()
    }
}

/// The same sentence for both families.
pub(crate) fn of_families(text: &str) -> [String; 2] {
    ["IPv4", "IPv6"].map(|family| text.replace("{family}", family))
}

/// A command line that connects, or sends, to `address` on 443.
pub(crate) fn probe(protocol: &str, address: &str) -> String {
    let program = probe_program().unwrap();
    let address = SocketAddr::new(world::address(address), 443);
    format!("{} {protocol} {address}", program.display())
}

/// Runs `command` on a thread of its own.
pub(crate) fn in_background(command: Command) -> JoinHandle<Outcome> {
    std::thread::spawn(move || run_for(command, LIMIT).unwrap())
}

/// Whether `plan` found nothing to add to what is in force.
pub(crate) fn adds_nothing(plan: &Value) -> bool {
    plan["change"]["loaded"] == "policy" && plan["change"]["additions"] == serde_json::json!([])
}

/// Whether `plan` found nothing to change in what is in force.
pub(crate) fn changes_nothing(plan: &Value) -> bool {
    adds_nothing(plan)
        && plan["change"]["removals"] == serde_json::json!([])
        && plan["change"]["moves"] == serde_json::json!([])
}
