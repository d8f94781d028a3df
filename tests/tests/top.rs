//! `enforcer top` as a user sees it: in a real terminal (tmux), against a running daemon. Needs root.

use enforcer_lab::operated::Operated;
use enforcer_lab::terminal::{LARGE, SMALL, Terminal, has_row, top};
use enforcer_lab::world;
use rustix::process::{Signal, kill_process};

const CONTAINER: &str = "4f1c9dd3a0b8e7f65544332211009988776655443322110099aabbccddeeff00";

/// A client whose daemon has the policy of the lab, and is not running yet.
fn host() -> Operated {
    let host = Operated::new("top");
    host.policy(world::CONTOSO_POLICY);
    host
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
    terminal.wait_for("whose the process is, in full", |screen| {
        let widest = screen.lines().map(|line| line.chars().count()).max();
        widest > Some(usize::from(SMALL.0)) && screen.contains("docker 4f1c9dd3a0b8")
    });
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
