//! `enforcer top` where there is nothing to show, or nothing any more: users without rights, daemons of another version, daemons
//! that end and start. Needs root.

use enforcer_lab::daemon::wait_until;
use enforcer_lab::fake::{self, Fake};
use enforcer_lab::held::Held;
use enforcer_lab::operated::{GROUP, Operated};
use enforcer_lab::terminal::{SMALL, Terminal, top};
use enforcer_lab::{enforcer_program, world};
use rustix::process::Signal;

fn host() -> Operated {
    let host = Operated::new("topstates");
    host.policy(world::CONTOSO_POLICY);
    host
}

/// The command line of the live view, for a user who has no rights but those of `groups`.
fn top_as_nobody(host: &Operated, groups: &str) -> String {
    // The folders above the program may be closed to him: the shell opens it for him.
    format!(
        "setpriv --reuid=65534 --regid=65534 {groups} /proc/self/fd/9 top --instance {} 9< {}",
        host.instance.name(),
        enforcer_program().unwrap().display()
    )
}

/// Types the command, which ends at once with an error that has these words; the terminal is as before.
#[track_caller]
fn refuses(terminal: &Terminal, line: &str, words: &[&str]) {
    let before = terminal.modes();
    terminal.enter(&format!("clear; {line}; echo status $?"));
    let screen = terminal.wait_for_text("status 1");
    // Lines are broken where the terminal ends, and a space there is not to be seen.
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    for words in [&["error: ", "hint: "], words].concat() {
        assert!(
            dense(&screen).contains(&dense(words)),
            "`{words}` is not said:\n{screen}"
        );
    }
    terminal.wait_for_shell(&before);
}

#[test]
fn who_has_no_rights_is_told_and_keeps_his_terminal() {
    let host = host();
    let terminal = Terminal::open(&host, SMALL);
    let nobody = top_as_nobody(&host, "--clear-groups");
    let words = ["can be asked", "run it as root to see more"];
    refuses(&terminal, &nobody, &words);

    let mut daemon = host.start();
    let words = [
        "the user with the id 65534 may not ask this enforcer",
        "have root name one of your groups",
    ];
    refuses(&terminal, &nobody, &words);

    // The group may ask. It is told in the end that nobody is there any more, without root to look at the kernel.
    let before = terminal.modes();
    let member = top_as_nobody(&host, &format!("--groups={GROUP}"));
    terminal.enter(&format!("clear; {member}; echo status $?"));
    terminal.wait_for("the first frame", |screen| {
        screen.contains("> 1 Denials by") && screen.contains("ENFORCING")
    });
    daemon.kill();
    terminal.wait_for_text("ago: no daemon listens");
    terminal.press(&["q"]);
    terminal.wait_for_text("status 0");
    terminal.wait_for_shell(&before);
}

#[test]
fn a_daemon_of_another_version_is_recognised_before_and_meanwhile() {
    let host = host();
    let terminal = Terminal::open(&host, SMALL);
    let before = terminal.modes();
    let other = || Fake::start(&host.socket(), Some(fake::answer(&fake::version(2), "{}")));
    let newer = other();
    let words = [
        "this enforcer speaks version 1 of the control socket, and the daemon version 2",
        "or restart the daemon: `systemctl restart enforcer`",
    ];
    refuses(&terminal, &top(&host), &words);
    drop(newer);
    let garbage = Fake::start(&host.socket(), Some("220 mail.example.com ESMTP\r\n".to_owned()));
    let words = [
        "the answer can not be understood",
        "is it an enforcer that listens",
    ];
    refuses(&terminal, &top(&host), &words);
    drop(garbage);

    let mut daemon = host.start();
    terminal.show(&host);
    daemon.kill();
    let _newer = other();
    let screen = terminal.wait_for_text("ago: the daemon speaks version 2, this version 1: start it anew");
    assert!(
        screen.contains("> 1 Denials by"),
        "the last picture stays:\n{screen}"
    );
    terminal.press(&["q"]);
    terminal.wait_for_shell(&before);
}

#[test]
fn a_restart_is_shown_for_what_it_is() {
    let host = host();
    let mut daemon = host.start();
    let terminal = Terminal::open(&host, SMALL);
    let before = terminal.modes();
    terminal.show(&host);
    let is_as_before = |screen: &str| screen.contains("ENFORCING") && !screen.contains("! ");
    terminal.wait_for("nothing to complain about", is_as_before);
    for is_asked_to_end in [true, false] {
        if is_asked_to_end {
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.wait().code(), Some(0));
        } else {
            daemon.kill();
        }
        // Whatever it is told of the daemon meanwhile, it understands.
        let understood = |screen: &str, text: &str| {
            for words in ["understood", "whole", "error"] {
                assert!(!screen.contains(words), "{words}:\n{screen}");
            }
            screen.contains(text)
        };
        let wait_for = |text: &str| terminal.wait_for(text, |screen| understood(screen, text));
        wait_for("ago: the daemon does not run, its policy stays in force");

        let (next, held) = Held::at_thread(host.daemon(), "control").unwrap();
        daemon = next;
        wait_until("it listens", || {
            let asked = host.command(&["reload"]);
            asked.stderr.contains("the daemon is starting")
        });
        wait_for("ago: the daemon is starting: its policy is not in force yet");
        drop(held);
        terminal.wait_for("the picture of now", is_as_before);
    }
    daemon.kill();

    // Nothing is left that could enforce.
    host.command(&["detach", "--yes"]).expect_success("detach");
    terminal.wait_for_text("ago: the daemon does not run, and NOTHING IS ENFORCED");
    terminal.press(&["q"]);
    terminal.wait_for_shell(&before);
}
