//! A terminal with a shell in it, as a user sits at one: tmux draws what a program writes, and passes on what is typed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::daemon::{LIMIT, wait_until};
use crate::operated::Operated;
use crate::outcome::run_for;
use crate::programs::enforcer_program;

/// What the shell says when it waits for a command.
const PROMPT: &str = "ready>";
/// Columns and rows of the smallest terminal that people have.
pub const SMALL: (u16, u16) = (80, 24);
/// And of one that fills a screen.
pub const LARGE: (u16, u16) = (200, 50);

/// The command line of the live view.
///
/// # Panics
/// When the enforcer has not been built.
#[must_use]
pub fn top(host: &Operated) -> String {
    let program = enforcer_program().expect("the enforcer is built");
    format!("{} top --instance {}", program.display(), host.instance.name())
}

/// The terminal, served by a tmux of its own; dropping it ends both.
pub struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    /// One of this many columns and rows, in which an enforcer uses the folders of `host`.
    ///
    /// # Panics
    /// Without tmux, which `cargo xtask setup` installs.
    #[must_use]
    pub fn open(host: &Operated, (columns, rows): (u16, u16)) -> Self {
        let terminal = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
        };
        let mut command = terminal.tmux();
        command.args(["-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        for (key, folder) in host.environment() {
            command.arg("-e").arg(format!("{key}={}", folder.display()));
        }
        // With the job control that Ctrl-Z needs.
        command.args(["-e", "NO_COLOR=", "exec env -u ENV sh -i"]);
        run_for(command, LIMIT)
            .expect("it is installed")
            .expect_success("tmux");
        // Without it the window is all for the shell.
        terminal.ask(&["set-option", "-g", "status", "off"]);
        terminal.resize((columns, rows));
        // Root's shell may have a prompt of its own, whatever its environment says.
        terminal.enter(&format!("PS1='{PROMPT} '; clear"));
        terminal.wait_for("the prompt", is_at_prompt);
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").arg("-u").arg("-S");
        command.arg(self.folder.path().join("socket"));
        command
    }

    /// What a command of tmux prints.
    fn ask(&self, arguments: &[&str]) -> String {
        let mut command = self.tmux();
        command.args(arguments);
        let outcome = run_for(command, LIMIT).expect("it is installed");
        outcome.expect_success("tmux").stdout
    }

    /// Types text, or presses keys as tmux names them.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Types a line.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn enter(&self, line: &str) {
        self.ask(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    /// Makes it as large.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, (columns, rows): (u16, u16)) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.ask(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// What is to be seen.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as it should be, and gives it.
    ///
    /// # Panics
    /// When it does not come to that, with what is to be seen.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < LIMIT, "{what} is not to be seen:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `text` is to be seen, and gives the screen.
    ///
    /// # Panics
    /// When it does not come to that, with what is to be seen.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contains(text))
    }

    /// The modes of the terminal; then whether its second screen is shown, and whether its cursor is.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn modes(&self) -> (String, String) {
        let tty = self.ask(&["display", "-p", "#{pane_tty}"]);
        let mut command = Command::new("stty");
        command.args(["-a", "-F", tty.trim()]);
        let modes = run_for(command, LIMIT)
            .expect("it is installed")
            .expect_success("stty")
            .stdout;
        // The first line has the size.
        let modes = modes.lines().skip(1).collect::<Vec<_>>().join("\n");
        (
            modes,
            self.ask(&["display", "-p", "#{alternate_on} #{cursor_flag}"]),
        )
    }

    /// The process that the shell has started, once there is one.
    ///
    /// # Panics
    /// When it starts none.
    #[must_use]
    pub fn child(&self) -> Pid {
        let shell = self.ask(&["display", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = format!("/proc/{shell}/task/{shell}/children");
        let mut found = None;
        wait_until("the shell starts the enforcer", || {
            let children = fs::read_to_string(&children).expect("the shell runs");
            found = children
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok());
            found.is_some()
        });
        found.and_then(Pid::from_raw).expect("it was waited for")
    }

    /// Starts the live view, and waits for its first frame.
    ///
    /// # Panics
    /// When it does not come to that, with what is to be seen.
    #[track_caller]
    pub fn show(&self, host: &Operated) {
        self.enter(&format!("clear; {}", top(host)));
        self.wait_for("the first frame", |screen| {
            screen.contains("> 1 Denials by") && screen.contains("ENFORCING")
        });
    }

    /// Waits until the shell waits for a command; then what the last one said, and that the terminal is as it was.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn wait_for_shell(&self, before: &(String, String)) -> String {
        let screen = self.wait_for("the prompt", is_at_prompt);
        // The shell sets modes of its own while it reads a line, and does so at its prompt.
        assert_eq!(&self.modes(), before, "the terminal is not as it was");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.tmux().arg("kill-server").output();
    }
}

/// Whether the shell waits for a command.
fn is_at_prompt(screen: &str) -> bool {
    let last = screen.trim_end().lines().last().unwrap_or_default();
    last.trim() == PROMPT
}

/// Whether a line has these texts in this order.
#[must_use]
pub fn has_row(screen: &str, texts: &[&str]) -> bool {
    screen.lines().any(|line| {
        let mut rest = line;
        texts.iter().all(|text| match rest.split_once(text) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
    })
}
