//! What the scenes share: a lab, a cgroup, a name server for the enforcer alone, and a daemon whose log is read.
//!
//! The enforcer asks a name server of its own. Who asks the same one as the client is late whenever an answer changes
//! and the client asks first; that gap is not what these scenes are about.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use enforcer_lab::nameserver::NameServer;
use enforcer_lab::{Cgroup, Lab, Outcome, Visit, probe_program, run_for, world};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// For everything that should take a few seconds, on a machine that does something else as well.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A client whose processes are in a cgroup.
pub(crate) struct Host {
    pub(crate) lab: Lab,
    pub(crate) cgroup: Cgroup,
    /// Whom the enforcer asks.
    pub(crate) upstream: NameServer,
}

/// A running `enforcer run` and what it logs.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// What has been read of its log.
    pub(crate) seen: Vec<Value>,
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
        let mut command = self.lab.enforcer_command().unwrap();
        let mut child = command
            .args(["run", "--log-format", "json", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        let mut daemon = Daemon {
            child,
            lines,
            seen: Vec::new(),
        };
        daemon.wait_for("enforcing on /");
        daemon
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

impl Daemon {
    /// Waits for a message that contains `text`, and gives its line.
    pub(crate) fn wait_for(&mut self, text: &str) -> Value {
        let [line] = self.wait_for_all([text.to_owned()]);
        line
    }

    /// Waits for new messages that contain `texts`, in any order, and gives their lines.
    pub(crate) fn wait_for_all<const COUNT: usize>(&mut self, texts: [String; COUNT]) -> [Value; COUNT] {
        let begin = Instant::now();
        let mut found = [const { None }; COUNT];
        while found.iter().any(Option::is_none) {
            let line = self
                .lines
                .recv_timeout(LIMIT.saturating_sub(begin.elapsed()))
                .unwrap_or_else(|_| panic!("not all of {texts:?} was logged, only {:#?}", self.seen));
            let line = self.note(line);
            for (text, found) in texts.iter().zip(&mut found) {
                if found.is_none() && message(&line).contains(text) {
                    *found = Some(line.clone());
                }
            }
        }
        found.map(Option::unwrap_or_default)
    }

    /// How many messages so far contain `text`.
    pub(crate) fn told(&mut self, text: &str) -> usize {
        while let Ok(line) = self.lines.try_recv() {
            self.note(line);
        }
        self.seen
            .iter()
            .filter(|line| message(line).contains(text))
            .count()
    }

    fn note(&mut self, line: String) -> Value {
        let line: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.seen.push(line.clone());
        line
    }

    /// The denials that it has told of.
    pub(crate) fn denials(&mut self) -> Vec<&Value> {
        self.told("");
        self.seen
            .iter()
            .filter(|line| line["verdict"] == "denied")
            .collect()
    }

    pub(crate) fn reload(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// Ends it, with all of its log in [`Self::seen`].
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.wait_for("SIGTERM: detaching");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The same sentence for both families.
pub(crate) fn of_families(text: &str) -> [String; 2] {
    ["IPv4", "IPv6"].map(|family| text.replace("{family}", family))
}

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
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

/// Waits until `holds`; a background command that has ended already has to be asked for in it.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
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
