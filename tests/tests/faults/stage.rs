//! What a row plays on: a lab, an instance, a load under it, and daemons that come and go.

use std::cell::Cell;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use enforcer_lab::daemon::{Daemon, LIMIT, wait_until};
use enforcer_lab::load::{self, Load, STALL, Server, Tally};
use enforcer_lab::nameserver::{NameServer, RecordType};
use enforcer_lab::{Cgroup, Instance, Lab, Outcome, probe_program, run_for, world};
use serde_json::Value;

use super::Shared;

/// Answers are asked for again every second; what leaves them goes at once.
pub(crate) const RESOLVER: &str = "ttl_min = \"1s\"\ntimeout = \"500ms\"\ngrace = \"0s\"\n";
/// What says that a daemon judges.
pub(crate) const JUDGES: &str = "ing on /";
/// What says that something else is granted than before.
pub(crate) const GRANTS: &str = "policy generation";
/// A port that nobody judges, for marks.
const MARKS: u16 = 9;

/// The fields go away in their order: the load first, then what it runs on.
pub(crate) struct Stage {
    load: Option<Load>,
    server: Server,
    /// Whom the enforcer asks.
    pub(crate) upstream: NameServer,
    pub(crate) instance: Instance,
    pub(crate) cgroup: Cgroup,
    pub(crate) lab: Lab,
    line: Shared,
    /// How many other addresses the granted name has had.
    others: Cell<usize>,
    /// What had arrived before there was a load.
    before: Vec<(&'static str, u64)>,
}

impl Stage {
    /// Everything but a daemon and a load.
    pub(crate) fn new(line: &Shared) -> Self {
        let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
        let cgroup = Cgroup::new("fault").expect("the test needs cgroup v2");
        let instance = Instance::new("fault").unwrap();
        let upstream = lab.second_name_server().unwrap();
        upstream.script(|zone| zone.addresses(load::NAME, 1, &load::NAMED));
        let server = Server::start(&lab).unwrap();
        let stage = Self {
            load: None,
            server,
            upstream,
            instance,
            cgroup,
            lab,
            line: line.clone(),
            others: Cell::default(),
            before: Vec::new(),
        };
        for folder in [stage.state(), stage.runtime()] {
            fs::create_dir(folder).unwrap();
        }
        stage.policy(load::RULES, "");
        stage
    }

    /// The configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.lab.folder().join("policy.toml")
    }

    /// Writes the configuration, with these rules and more keys under `[enforce]`, in one step.
    pub(crate) fn policy(&self, rules: &str, enforce: &str) {
        let text = format!(
            "{rules}\n[enforce]\ncgroup = \"{}\"\n{enforce}\n[resolver]\nservers = [\"{}\"]\n{RESOLVER}",
            self.cgroup.path().display(),
            world::SECOND_NAME_SERVER_ADDRESS,
        );
        self.write(&text);
    }

    /// Writes this as the configuration.
    pub(crate) fn write(&self, text: &str) {
        let new = self.lab.write_config("policy.toml.new", text).unwrap();
        fs::rename(new, self.config()).unwrap();
    }

    /// What the enforcer keeps over a reboot: it has a folder for each instance below.
    pub(crate) fn state(&self) -> PathBuf {
        self.lab.folder().join("state")
    }

    /// What it keeps over a restart.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.lab.folder().join("runtime")
    }

    /// A daemon for this instance, to be started.
    pub(crate) fn command(&self) -> Command {
        let mut command = Daemon::command(&self.lab, &self.config()).unwrap();
        self.own(&mut command);
        command
    }

    /// Has an enforcer work on this instance.
    fn own(&self, command: &mut Command) {
        command
            .args(["--instance", self.instance.name()])
            .env("STATE_DIRECTORY", self.state())
            .env("RUNTIME_DIRECTORY", self.runtime());
    }

    /// Starts a daemon.
    pub(crate) fn begin(&self) -> Daemon {
        Daemon::spawn(self.command()).unwrap()
    }

    /// Starts a daemon and waits until it judges.
    #[track_caller]
    pub(crate) fn start(&self) -> Daemon {
        let mut daemon = self.begin();
        daemon.wait_for(JUDGES);
        daemon
    }

    /// Kills a daemon.
    pub(crate) fn kill(&self, daemon: &mut Daemon) {
        daemon.kill();
        self.count(|line| line.kills += 1);
    }

    /// Kills a daemon and starts another.
    #[track_caller]
    pub(crate) fn restart(&self, daemon: &mut Daemon) {
        self.kill(daemon);
        *daemon = self.start();
    }

    /// Another command for this instance, such as `detach --yes`.
    pub(crate) fn enforcer(&self, words: &[&str]) -> Outcome {
        let mut command = self.lab.enforcer_command().unwrap();
        command.args(words);
        self.own(&mut command);
        run_for(command, LIMIT).unwrap()
    }

    /// Starts the load, and waits until all of it is under way.
    #[track_caller]
    pub(crate) fn load(&mut self) {
        self.load_that_stalls_after(STALL);
        self.advance();
    }

    /// Starts the load, once what it needs is granted.
    #[track_caller]
    pub(crate) fn load_that_stalls_after(&mut self, stall: Duration) {
        wait_until("the grant of the load's name", || {
            load::NAMED.iter().all(|address| self.connects(address))
        });
        self.settle();
        self.before = self.server.leaked(&self.lab).unwrap();
        self.load = Some(Load::start(&self.lab, &self.cgroup, &self.server, stall).unwrap());
    }

    /// Waits until every part of the load has done something more, and fails as soon as something was wrongly dropped.
    #[track_caller]
    pub(crate) fn advance(&mut self) {
        let load = self.load.as_mut().expect("the load runs");
        load.advance().unwrap_or_else(|error| panic!("{error:#}"));
        let counts = load.counts().unwrap();
        assert!(
            counts.wrongly_dropped.is_empty(),
            "wrongly dropped: {:#?}",
            counts.words
        );
    }

    /// Ends the load; nothing may have leaked and nothing may have been wrongly dropped.
    #[track_caller]
    pub(crate) fn finish(&mut self) {
        let tally = self.tally();
        assert_eq!(tally.all_leaked(), 0, "it leaked: {:?}", tally.leaked);
        assert!(
            tally.counts.wrongly_dropped.is_empty(),
            "wrongly dropped: {:#?}",
            tally.counts.words
        );
    }

    /// Ends the load and gives all that it and its servers counted.
    #[track_caller]
    pub(crate) fn tally(&mut self) -> Tally {
        let counts = self.load.take().expect("the load runs").stop().unwrap();
        self.settle();
        let tally = Tally {
            counts,
            leaked: self.leaked(),
        };
        self.line.borrow_mut().add(&tally);
        tally
    }

    /// How often a part of the load found something wrongly dropped.
    pub(crate) fn wrongly_dropped(&mut self, part: &str) -> u64 {
        let counts = self.load.as_mut().expect("the load runs").counts().unwrap();
        counts.wrongly_dropped.get(part).copied().unwrap_or(0)
    }

    /// What has leaked since the load was started.
    pub(crate) fn leaked(&self) -> Vec<(&'static str, u64)> {
        let now = self.server.leaked(&self.lab).unwrap();
        let before = |kind| self.before.iter().find(|(known, _)| *known == kind);
        now.into_iter()
            .map(|(kind, count)| (kind, count - before(kind).map_or(0, |(_, count)| *count)))
            .collect()
    }

    /// Waits until what was sent has arrived: a packet that nobody judges comes after it.
    pub(crate) fn settle(&self) {
        let mark = SocketAddr::new(world::address(load::PLAIN[0]), MARKS);
        let arrived = || {
            self.lab
                .arrived(enforcer_lab::Protocol::Udp, mark.ip(), mark.port())
                .unwrap()
        };
        let before = arrived();
        let sent = self
            .lab
            .client()
            .run(|| UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"mark", mark));
        sent.unwrap().unwrap();
        wait_until("the arrival of a mark", || arrived() > before);
    }

    /// Whether a TCP connection of a process in the cgroup comes about.
    pub(crate) fn connects(&self, address: &str) -> bool {
        let mut command = self.lab.client_command(probe_program().unwrap()).unwrap();
        let to = SocketAddr::new(world::address(address), load::PORT);
        command.args(["tcp", &to.to_string()]);
        self.cgroup.hold(&mut command).unwrap();
        let outcome = run_for(command, LIMIT).unwrap();
        assert!(
            outcome.success() || outcome.stdout.contains("Operation not permitted"),
            "neither granted nor denied: {outcome}"
        );
        outcome.success()
    }

    /// Gives the granted name another address, and waits until that is granted. The address, and the daemon's word for it.
    #[track_caller]
    pub(crate) fn follows(&self, daemon: &mut Daemon) -> (&'static str, Value) {
        let pool = [
            world::CONTOSO_ADDRESSES[0],
            world::CONTOSO_ADDRESSES[1],
            world::FABRIKAM_ADDRESSES[0],
            world::SERVICE_ADDRESSES[0],
        ];
        let new = pool[self.others.get() % pool.len()];
        self.others.set(self.others.get() + 1);
        let [four, six] = load::NAMED;
        let before = daemon.told(GRANTS);
        self.upstream
            .script(|zone| zone.addresses(load::NAME, 1, &[four, six, new]));
        wait_until("the grant of another address", || self.connects(new));
        wait_until("a word about it", || daemon.told(GRANTS) > before);
        let told = daemon.last(GRANTS).expect("it was told");
        (new, told)
    }

    /// Waits until both addresses of the granted name have been asked for once more.
    #[track_caller]
    pub(crate) fn asked_again(&self) {
        let asked = || [RecordType::A, RecordType::AAAA].map(|kind| self.upstream.count(load::NAME, kind));
        let before = asked();
        wait_until("a question for the granted name", || {
            asked().iter().zip(before).all(|(now, before)| *now > before)
        });
    }

    /// Counts in the line of this row.
    pub(crate) fn count(&self, with: impl FnOnce(&mut super::Line)) {
        with(&mut self.line.borrow_mut());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A row that failed shows its counts all the same.
        let Some(load) = self.load.take() else { return };
        if let Ok(counts) = load.stop() {
            let leaked = self.leaked();
            self.line.borrow_mut().add(&Tally { counts, leaked });
        }
    }
}
