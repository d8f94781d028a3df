//! `enforcer top` as a user sees it: in a real terminal (tmux), against a running daemon. Needs root.

use std::fs;
use std::process::Command;
use std::time::Duration;

use enforcer_lab::daemon::{LIMIT, wait_until};
use enforcer_lab::operated::Operated;
use enforcer_lab::{enforcer_program, run_for, world};
use rustix::process::{Pid, Signal, kill_process};

const CONTAINER: &str = "4f1c9dd3a0b8e7f65544332211009988776655443322110099aabbccddeeff00";
/// What the shell in the terminal says when it waits for a command.
const PROMPT: &str = "ready>";
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

/// A client whose daemon has the policy of the lab, and is not running yet.
fn host() -> Operated {
    let host = Operated::new("top");
    host.policy(world::CONTOSO_POLICY);
    host
}

/// The command line that a user types.
fn top(host: &Operated) -> String {
    let program = enforcer_program().unwrap();
    format!("{} top --instance {}", program.display(), host.instance.name())
}

/// A terminal with a shell in it, served by a tmux of its own; dropping it ends both.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    fn open(host: &Operated, (columns, rows): (u16, u16)) -> Self {
        let terminal = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut command = terminal.tmux();
        command.args(["-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        for (key, folder) in host.environment() {
            command.arg("-e").arg(format!("{key}={}", folder.display()));
        }
        // With the job control that Ctrl-Z needs.
        command.args(["-e", "NO_COLOR=", "exec env -u ENV sh -i"]);
        run_for(command, LIMIT).unwrap().expect_success("tmux");
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
        let outcome = run_for(command, LIMIT).unwrap();
        outcome.expect_success("tmux").stdout
    }

    /// Types text, or presses keys as tmux names them.
    fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    fn enter(&self, line: &str) {
        self.ask(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    fn resize(&self, (columns, rows): (u16, u16)) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.ask(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// What is to be seen.
    fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as it should be, and gives it.
    #[track_caller]
    fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let begin = std::time::Instant::now();
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < LIMIT, "{what} is not to be seen:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contains(text))
    }

    /// The modes of the terminal, whether its second screen is shown, and whether its cursor is.
    fn modes(&self) -> (String, String) {
        let tty = self.ask(&["display", "-p", "#{pane_tty}"]);
        let mut command = Command::new("stty");
        command.args(["-a", "-F", tty.trim()]);
        let modes = run_for(command, LIMIT).unwrap().expect_success("stty").stdout;
        // The first line has the size.
        let modes = modes.lines().skip(1).collect::<Vec<_>>().join("\n");
        (
            modes,
            self.ask(&["display", "-p", "#{alternate_on} #{cursor_flag}"]),
        )
    }

    /// The process that the shell has started, once there is one.
    fn child(&self) -> Pid {
        let shell = self.ask(&["display", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = format!("/proc/{shell}/task/{shell}/children");
        let mut found = None;
        wait_until("the shell starts the enforcer", || {
            let children = fs::read_to_string(&children).unwrap();
            found = children
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok());
            found.is_some()
        });
        Pid::from_raw(found.unwrap()).unwrap()
    }

    /// Shows the live view until its first frame is there.
    fn show(&self, host: &Operated) {
        self.enter(&format!("clear; {}", top(host)));
        self.wait_for("the first frame", |screen| {
            screen.contains("> 1 Denials by") && screen.contains("ENFORCING")
        });
    }

    /// Waits until the shell waits for a command; then what the last one said, and that the terminal is as it was.
    #[track_caller]
    fn wait_for_shell(&self, before: &(String, String)) -> String {
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

#[test]
fn denials_are_shown_live_at_every_size_and_over_a_restart_of_the_daemon() {
    let host = host();
    let mut daemon = host.start();
    host.denied_from("cron.service", world::BARE_ADDRESSES[0]);
    host.denied_from(&format!("docker/{CONTAINER}"), world::FABRIKAM_ADDRESSES[0]);
    let terminal = Terminal::open(&host, SMALL);
    let before = terminal.modes();
    terminal.show(&host);

    // What happened before it was started, by everything that it can be grouped by.
    terminal.wait_for("two denials of a process", |screen| {
        has_row(screen, &["2", "probe"])
    });
    for (key, expected) in [
        ("n", ["1", "203.0.113.99:443"]),
        ("r", ["2", "address-not-granted"]),
        ("u", ["1", "cron.service"]),
        ("c", ["1", "docker 4f1c9dd3a0b8"]),
    ] {
        terminal.press(&[key]);
        terminal.wait_for(key, |screen| has_row(screen, &expected));
    }
    // Names, of which none is stale.
    terminal.wait_for("fresh names", |screen| {
        screen.contains("names: 3 fresh, 0 stale, 0 failed") && screen.contains("contoso.azurecr.io")
    });

    // What happens now.
    terminal.press(&["n"]);
    host.denied_from("cron.service", world::BARE_ADDRESSES[0]);
    terminal.wait_for("one more", |screen| has_row(screen, &["2", "203.0.113.99:443"]));
    terminal.wait_for_text("3 in all");

    // In full, with the command that explains it.
    terminal.press(&["Down"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("the details", |screen| {
        screen.contains("no rule of the policy grants this address")
            && screen.contains("enforcer explain 203.0.113.99:443")
    });
    terminal.press(&["Escape"]);

    // Larger, with what had no room.
    terminal.resize(LARGE);
    let screen = terminal.wait_for_text("WHOSE");
    let widest = screen.lines().map(|line| line.chars().count()).max();
    assert!(widest > Some(usize::from(SMALL.0)), "{screen}");
    assert!(screen.contains("docker 4f1c9dd3a0b8"), "{screen}");
    // Smaller than anything fits in, and back.
    terminal.resize((30, 8));
    terminal.wait_for_text("This terminal has 30");
    terminal.resize(SMALL);
    terminal.wait_for_text("> 1 Denials by name");

    // A pause, and a filter.
    terminal.press(&["Space"]);
    terminal.wait_for_text("PAUSED");
    terminal.press(&["Space"]);
    terminal.press(&["/", "no such", "Enter"]);
    terminal.wait_for_text("nothing that the filter lets through");
    terminal.press(&["Escape"]);
    terminal.wait_for("all rows", |screen| has_row(screen, &["2", "203.0.113.99:443"]));

    // Without its daemon the last picture stays; with the next one it goes on.
    daemon.kill();
    let screen = terminal.wait_for_text("ago: the daemon does not run, its policy stays in force");
    assert!(has_row(&screen, &["2", "203.0.113.99:443"]), "{screen}");
    let mut daemon = host.start();
    terminal.wait_for("the daemon again", |screen| !screen.contains("! as it was "));
    host.denied_from("cron.service", world::BARE_ADDRESSES[0]);
    terminal.wait_for("what the new one tells", |screen| {
        has_row(screen, &["3", "203.0.113.99:443"])
    });

    terminal.press(&["q"]);
    terminal.wait_for_shell(&before);
    daemon.kill();
}

/// Whether the shell waits for a command.
fn is_at_prompt(screen: &str) -> bool {
    let last = screen.trim_end().lines().last().unwrap_or_default();
    last.trim() == PROMPT
}

/// Whether a line has these texts in this order.
fn has_row(screen: &str, texts: &[&str]) -> bool {
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

#[test]
fn the_terminal_is_given_back_on_every_way_out() {
    let host = host();
    let mut daemon = host.start();
    let terminal = Terminal::open(&host, SMALL);
    let before = terminal.modes();
    assert_eq!(before.1.trim(), "0 1");
    for key in ["q", "Escape", "C-c"] {
        terminal.show(&host);
        assert_eq!(
            terminal.modes().1.trim(),
            "1 0",
            "another screen without a cursor"
        );
        terminal.press(&[key]);
        terminal.wait_for_shell(&before);
    }
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        terminal.enter(&format!("clear; {}; echo status $?", top(&host)));
        terminal.wait_for_text("> 1 Denials by");
        kill_process(terminal.child(), signal).unwrap();
        terminal.wait_for_text(&format!("status {status}"));
        terminal.wait_for_shell(&before);
    }
    // Stopped by a key and by somebody else: the shell has its terminal, and gets it back when it goes on.
    for is_key in [true, false] {
        terminal.show(&host);
        if is_key {
            terminal.press(&["C-z"]);
        } else {
            kill_process(terminal.child(), Signal::TSTP).unwrap();
        }
        let screen = terminal.wait_for_shell(&before);
        assert!(screen.contains("Stopped"), "{screen}");
        terminal.enter("clear; fg");
        terminal.wait_for_text("> 1 Denials by");
        assert_eq!(terminal.modes().1.trim(), "1 0");
        terminal.press(&["q"]);
        terminal.wait_for_shell(&before);
    }
    daemon.kill();

    // What is wrong before there is anything to show is told as by every other command.
    terminal.enter(&format!("clear; {}; echo status $?", top(&host)));
    let screen = terminal.wait_for_text("status 1");
    assert!(
        screen.contains("error: ") && screen.contains("hint: "),
        "{screen}"
    );
    // Until it is cleared, the screen has the hint of before.
    terminal.enter(&format!("clear; {} | cat", top(&host)));
    let screen = terminal.wait_for_text("error: `enforcer top` draws on a terminal");
    assert!(screen.contains("hint: "), "{screen}");
    assert_eq!(terminal.modes(), before);
}
