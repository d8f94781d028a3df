//! A client with a daemon that has a name, and folders of its own: what the commands that ask a daemon are tried on.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use enforcer::state::Folders;
use serde_json::Value;

use crate::caller::Caller;
use crate::cgroup::Cgroup;
use crate::daemon::{Daemon, LIMIT};
use crate::instance::Instance;
use crate::lab::{Lab, world};
use crate::outcome::{Outcome, run_for};
use crate::{enter, nobody, programs};

/// A group that has nothing but the right to ask.
pub const GROUP: u32 = 54_321;

/// The client, and where everything of its daemon is.
pub struct Operated {
    /// The lab.
    pub lab: Lab,
    /// What is judged.
    pub cgroup: Cgroup,
    /// The name of the daemon.
    pub instance: Instance,
    folder: tempfile::TempDir,
}

impl Operated {
    /// One whose daemon is not running yet; everybody may go through its folders.
    ///
    /// # Panics
    /// Without root, and when a program of the lab is missing (`cargo xtask setup` installs them).
    #[must_use]
    pub fn new(label: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let passable = |path: &Path| {
            let made = fs::create_dir_all(path);
            let mode = fs::Permissions::from_mode(0o711);
            made.and_then(|()| fs::set_permissions(path, mode))
                .expect("a folder can be made");
        };
        passable(folder.path());
        passable(&folder.path().join("run"));
        Self {
            lab: Lab::start().expect("the lab needs root and `cargo xtask setup`"),
            cgroup: Cgroup::new(label).expect("the test needs cgroup v2"),
            instance: Instance::new(label).expect("the test needs a BPF file system"),
            folder,
        }
    }

    /// Writes what the daemon reads: `rules`, for the cgroup of this host, with [`GROUP`] as the group that may ask.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn policy(&self, rules: &str) {
        self.policy_with(rules, "", "");
    }

    /// As [`Self::policy`], with more lines in the tables `enforce` and `control`.
    ///
    /// # Panics
    /// As [`Self::policy`].
    pub fn policy_with(&self, rules: &str, enforce: &str, control: &str) {
        let cgroup = self.cgroup.path().display();
        let text = format!(
            "{rules}\n[enforce]\ncgroup = \"{cgroup}\"\n{enforce}\n[control]\ngroup = \"{GROUP}\"\n{control}\n"
        );
        self.lab
            .write_config("policy.toml", &text)
            .expect("a file can be written");
    }

    /// The command line of the daemon.
    ///
    /// # Panics
    /// When the enforcer has not been built.
    #[must_use]
    pub fn daemon(&self) -> Command {
        let mut command =
            Daemon::command(&self.lab, Path::new("policy.toml")).expect("the enforcer is built");
        command.args(["--instance", self.instance.name()]);
        self.folders(&mut command);
        command
    }

    /// Starts the daemon, and waits until it judges.
    ///
    /// # Panics
    /// When it does not come to that, with its log.
    #[must_use]
    pub fn start(&self) -> Daemon {
        let mut daemon = Daemon::spawn(self.daemon()).expect("it can be started");
        daemon.wait_for("ing on /");
        daemon
    }

    /// What tells an enforcer where the folders of this host's daemon are.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("RUNTIME_DIRECTORY", "run"), ("STATE_DIRECTORY", "state")]
            .map(|(key, name)| (key, self.folder.path().join(name)))
    }

    /// Has `command` use the folders of this host's daemon.
    pub fn folders(&self, command: &mut Command) {
        command.envs(self.environment());
    }

    /// Where this host's daemon keeps what is its own.
    #[must_use]
    pub fn own_folders(&self) -> Folders {
        let of = |parent: &str| self.folder.path().join(parent).join(self.instance.name());
        Folders {
            state: of("state"),
            runtime: of("run"),
        }
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.own_folders().runtime.join("control")
    }

    /// A command of the enforcer that asks this host's daemon.
    ///
    /// # Panics
    /// When the enforcer has not been built.
    #[must_use]
    pub fn asking(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.enforcer_command().expect("the enforcer is built");
        command.args(arguments).args(["--instance", self.instance.name()]);
        self.folders(&mut command);
        command
    }

    /// As [`Self::asking`], by a user who has no rights but those of `group`.
    ///
    /// # Panics
    /// As [`Self::asking`].
    #[must_use]
    pub fn asking_as_nobody(&self, group: Option<u32>, arguments: &[&str]) -> Command {
        // The folders above the program may be closed to him: he gets it as a descriptor, whose link he may follow.
        let program = programs::enforcer_program().expect("the enforcer is built");
        let program = fs::File::open(program).expect("it can be opened");
        let mut command = self
            .lab
            .client_command(enter::path_of(&program))
            .expect("descriptors are left");
        command.args(arguments).args(["--instance", self.instance.name()]);
        self.folders(&mut command);
        nobody::command(&mut command, group, program);
        command
    }

    /// What a command says that asks the daemon.
    ///
    /// # Panics
    /// When it can not be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Outcome {
        run_for(self.asking(arguments), LIMIT).expect("it can be started")
    }

    /// The status as a document, and the exit status that it came with.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn status(&self) -> (Value, Option<i32>) {
        let outcome = self.command(&["status", "-o", "json"]);
        let status = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no status: {outcome}"));
        (status, outcome.status.code())
    }

    /// What `observe` tells.
    ///
    /// # Panics
    /// When a line of it is none.
    #[must_use]
    pub fn observe(&self, arguments: &[&str]) -> Vec<Value> {
        let outcome = self.command(&[&["observe", "-o", "json"], arguments].concat());
        let lines = outcome.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no line: {outcome}")))
            .collect()
    }

    /// Runs a program in a cgroup below that of the policy, which is made; the empty one is that itself.
    ///
    /// # Panics
    /// When it can not be started.
    #[must_use]
    pub fn run_below(&self, below: &str, program: impl AsRef<Path>, arguments: &[&str]) -> Outcome {
        let path = self.cgroup.path().join(below);
        fs::create_dir_all(&path).expect("a cgroup can be made");
        let mut command = self.lab.client_command("sh").expect("descriptors are left");
        command.args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec \"$@\""]);
        command.arg(&path).arg(program.as_ref()).args(arguments);
        self.cgroup.hold(&mut command).expect("the cgroup is there");
        run_for(command, LIMIT).expect("it can be started")
    }

    /// Connects from a cgroup below that of the policy, and is denied.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn denied_from(&self, below: &str, address: &str) {
        let destination = std::net::SocketAddr::new(world::address(address), 443).to_string();
        let probe = programs::probe_program().expect("the probe is built");
        let outcome = self.run_below(below, probe, &["tcp", &destination]);
        assert!(outcome.stdout.contains("Operation not permitted"), "{outcome}");
    }

    /// A process in the cgroup that connects when it is told to.
    ///
    /// # Panics
    /// When it has not been built.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::start(self.lab.client(), &self.cgroup).expect("the caller is built")
    }
}

/// The kinds of the warnings of a status.
#[must_use]
pub fn warnings(status: &Value) -> Vec<&str> {
    let warnings = status["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(|warning| warning["kind"].as_str()).collect()
}

/// The whole answer to a request.
///
/// # Panics
/// When it is no text.
pub fn ask(mut stream: impl Read + Write, request: &str) -> String {
    // Who is turned away may be so before he has said anything.
    let _sent = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("answers are text")
}
