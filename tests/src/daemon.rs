//! A running `enforcer run` and what it logs.

use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::Lab;

/// For everything that should take a few seconds, on a machine that does something else as well.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Lines of [`Daemon::log`].
const LOG_LINES: usize = 30;
/// How often a process that should end is looked at.
const POLL: Duration = Duration::from_millis(1);

/// A daemon; dropping it kills it.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// What has been read of its log: a line of JSON each, or a string where it wrote something else.
    pub seen: Vec<Value>,
}

impl Daemon {
    /// The command line of a daemon on the client of `lab`, whose log can be read here.
    ///
    /// # Errors
    /// When the enforcer has not been built.
    pub fn command(lab: &Lab, config: &Path) -> Result<Command> {
        let mut command = lab.enforcer_command()?;
        command
            .args(["run", "--log-format", "json", "--config"])
            .arg(config);
        Ok(command)
    }

    /// Starts a [`Self::command`] and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Ok(Self {
            child,
            lines,
            seen: Vec::new(),
        })
    }

    /// Starts one on the client of `lab` that ends with its process, and waits until it judges.
    ///
    /// # Panics
    /// When it does not come to that, with its log.
    #[must_use]
    pub fn start(lab: &Lab, config: &Path) -> Self {
        let mut command = Self::command(lab, config).expect("the enforcer is built");
        command.arg("--temporary");
        let mut daemon = Self::spawn(command).expect("it can be started");
        daemon.wait_for("ing on /");
        daemon
    }

    /// Waits for a new message that contains `text`, and gives its line.
    ///
    /// # Panics
    /// When there is none within [`LIMIT`], with what was logged instead.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> Value {
        let [line] = self.wait_for_all([text.to_owned()]);
        line
    }

    /// Waits for new messages that contain `texts`, in any order, and gives their lines.
    ///
    /// # Panics
    /// As [`Self::wait_for`].
    #[track_caller]
    pub fn wait_for_all<const COUNT: usize>(&mut self, texts: [String; COUNT]) -> [Value; COUNT] {
        let begin = Instant::now();
        let mut found = [const { None }; COUNT];
        while found.iter().any(Option::is_none) {
            let left = LIMIT.saturating_sub(begin.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("not all of {texts:?} was logged, only\n{}", self.log());
            };
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
    pub fn told(&mut self, text: &str) -> usize {
        while let Ok(line) = self.lines.try_recv() {
            self.note(line);
        }
        self.seen
            .iter()
            .filter(|line| message(line).contains(text))
            .count()
    }

    /// The newest message so far that contains `text`, with its line.
    pub fn last(&mut self, text: &str) -> Option<Value> {
        self.told("");
        self.seen
            .iter()
            .rev()
            .find(|line| message(line).contains(text))
            .cloned()
    }

    /// What has been read of its log, for people: the end of it, without what was denied.
    #[must_use]
    pub fn log(&self) -> String {
        let lines = self.seen.iter().filter(|line| line["reason"].is_null());
        let lines: Vec<String> = lines
            .map(|line| {
                let level = line["level"].as_str().unwrap_or("-");
                format!("{level:<5} {}", message(line))
            })
            .collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn note(&mut self, line: String) -> Value {
        let line: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.seen.push(line.clone());
        line
    }

    /// The denials that it has told of.
    pub fn denials(&mut self) -> Vec<&Value> {
        self.told("");
        self.seen
            .iter()
            .filter(|line| line["verdict"] == "denied")
            .collect()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it was waited for already.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child can be signalled");
    }

    /// Has it read its configuration again.
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not within [`LIMIT`], with what it logged.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if begin.elapsed() > LIMIT {
                self.told("");
                panic!("it did not end:\n{}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends it, with all of its log in [`Self::seen`].
    ///
    /// # Panics
    /// When it does not end well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait_for("SIGTERM: detaching");
        assert_eq!(self.wait().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `holds`; what could have ended in the meantime has to be asked for in it.
///
/// # Panics
/// When it does not within [`LIMIT`].
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The message of a line of the log; what is no line of JSON is its own.
fn message(line: &Value) -> &str {
    line["message"].as_str().or(line.as_str()).unwrap_or_default()
}
