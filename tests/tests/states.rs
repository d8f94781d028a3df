//! Every command that asks the daemon, in every state that the daemon can be in: exit status and words. Needs root.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use enforcer_lab::daemon::wait_until;
use enforcer_lab::fake::{self, Fake};
use enforcer_lab::held::Held;
use enforcer_lab::nameserver::Fault;
use enforcer_lab::operated::{GROUP, Operated, warnings};
use enforcer_lab::{Outcome, run_for, world};
use rustix::process::Signal;
use serde_json::Value;

/// The commands that ask the daemon and come to an end.
const COMMANDS: [&[&str]; 6] = [
    &["status"],
    &["observe"],
    &["explain", world::CONTOSO],
    &["plan"],
    &["reload"],
    &["learn"],
];
/// The one that does not, unless there is nobody to follow.
const FOLLOW: &[&str] = &["observe", "-f"];

/// Longer than any command takes, whatever the daemon does, on a machine that does something else as well.
const LIMIT: Duration = Duration::from_secs(60);

/// A command, its exit status, and words that it says.
type Row<'a> = (&'a str, i32, &'a [&'a str]);

/// Runs `commands` at once, and holds what they say against the row of each: that of its name, or the last one.
#[track_caller]
fn each(state: &str, commands: &[&[&str]], rows: &[Row<'_>], run: impl Fn(&[&str]) -> Command + Sync) {
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|arguments| {
                let command = run(arguments);
                scope.spawn(move || run_for(command, LIMIT).unwrap())
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (arguments, outcome) in commands.iter().zip(outcomes) {
        let name = arguments.join(" ");
        let (_, status, words) = rows
            .iter()
            .find(|(row, ..)| *row == name || *row == arguments[0])
            .unwrap_or(rows.last().unwrap());
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!outcome.timed_out, "{state}: `{name}` hangs: {outcome}");
        assert_eq!(
            outcome.status.code(),
            Some(*status),
            "{state}: `{name}`: {outcome}"
        );
        for words in *words {
            assert!(
                said.contains(words),
                "{state}: `{name}` does not say `{words}`: {outcome}"
            );
        }
        if *status == 1 {
            for mark in ["error: ", "hint: "] {
                let lines = outcome.stderr.lines();
                let count = lines.filter(|line| line.starts_with(mark)).count();
                assert_eq!(count, 1, "{state}: `{name}` has not one `{mark}`: {outcome}");
            }
            assert_eq!(outcome.stdout, "", "{state}: `{name}`: data beside an error");
        }
    }
}

/// As [`each`], for every command, as root.
#[track_caller]
fn all(host: &Operated, state: &str, rows: &[Row<'_>]) {
    let commands = [&COMMANDS[..], &[FOLLOW]].concat();
    each(state, &commands, rows, |arguments| host.asking(arguments));
}

/// A command that goes on, and what it says.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stderr: BufReader::new(child.stderr.take().unwrap()),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The next line of a message.
    fn message(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// The next line of data.
    fn data(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn without_a_daemon_it_is_said_what_is_in_force() {
    let host = Operated::new("states");
    all(
        &host,
        "never started",
        &[
            ("status", 3, &["NOT ENFORCING", "stopped"]),
            (
                "",
                1,
                &["runs, and nothing is enforced", "systemctl start enforcer"],
            ),
        ],
    );

    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!host.socket().exists());
    let in_force: &[Row<'_>] = &[
        ("status", 0, &["enforcing on /", "stopped", "! "]),
        (
            "",
            1,
            &["does not run; its policy is in force", "systemctl start enforcer"],
        ),
    ];
    all(&host, "stopped", in_force);

    let mut daemon = host.start();
    wait_until("it listens", || {
        host.command(&["status"]).stdout.contains("running")
    });
    daemon.kill();
    assert!(host.socket().exists(), "nothing was left behind");
    all(&host, "killed", in_force);

    host.command(&["detach", "--yes"]).expect_success("detach");
    all(
        &host,
        "detached",
        &[
            ("status", 3, &["NOT ENFORCING"]),
            ("", 1, &["runs, and nothing is enforced"]),
        ],
    );
}

#[test]
fn a_daemon_that_is_starting_is_said_to_be() {
    let host = Operated::new("starting");
    host.policy(world::CONTOSO_POLICY);
    let starting: Row<'_> = ("", 1, &["the daemon is starting", "ask again in a moment"]);
    // Its first thread has started the one of the control socket, and nothing since.
    let (mut daemon, held) = Held::at_thread(host.daemon(), "control").unwrap();
    wait_until("it listens", || host.socket().exists());
    let as_root = |arguments: &[&str]| host.asking(arguments);
    let rows = [
        ("status", 3, &["NOT ENFORCING", "starting: process "][..]),
        starting,
    ];
    each("starting", &COMMANDS, &rows, as_root);
    drop(held);
    daemon.wait_for("ing on /");
    daemon.kill();

    // What is pinned goes on meanwhile; the group may ask already; who follows waits.
    let (mut daemon, held) = Held::at_thread(host.daemon(), "control").unwrap();
    let rows = [
        ("status", 0, &["enforcing on /", "starting: process "][..]),
        starting,
    ];
    // The socket of the daemon that was killed is still there.
    wait_until("it listens", || {
        host.command(&["reload"])
            .stderr
            .contains("the daemon is starting")
    });
    each("starting again", &COMMANDS, &rows, as_root);
    each(
        "starting, asked by the group",
        &COMMANDS[1..4],
        &[starting],
        |arguments| host.asking_as_nobody(Some(GROUP), arguments),
    );
    let mut follower = Running::start(host.asking(&["observe", "-f", "-o", "json"]));
    let told = follower.message();
    assert!(
        told.contains("the daemon is starting") && told.contains("waiting"),
        "{told}"
    );
    drop(held);
    daemon.wait_for("ing on /");
    host.denied_from("a.service", world::BARE_ADDRESSES[0]);
    assert_eq!(follower.data()["unit"], "a.service");
    daemon.kill();
}

#[test]
fn names_that_were_never_answered_and_stale_ones_are_named() {
    let host = Operated::new("stale");
    host.policy(&format!(
        "{}\n[resolver]\nttl_min = \"1s\"\ntimeout = \"1s\"\n",
        world::CONTOSO_POLICY
    ));
    let answers = |fault| {
        host.lab.name_server.script(|zone| {
            zone.fault_everywhere(fault);
            zone.addresses(world::CONTOSO_DATA_HOST, 1, &world::CONTOSO_DATA_ADDRESSES[..1]);
        });
    };
    // Nobody answers at the start: it enforces, and grants nothing.
    answers(Some(Fault::Silence));
    let mut daemon = host.start();
    wait_until("it says that names have no answer", || {
        warnings(&host.status().0).contains(&"unresolved")
    });
    let never: &[Row<'_>] = &[
        (
            "status",
            0,
            &["enforcing on /", world::CONTOSO, "never answered", "0 addresses"],
        ),
        ("explain", 3, &["denied", world::CONTOSO]),
        ("plan", 3, &["nothing would be granted for contoso.azurecr.io"]),
        ("reload", 0, &["reloaded: nothing has changed"]),
        ("", 0, &[]),
    ];
    each("unanswered", &COMMANDS, never, |arguments| host.asking(arguments));

    let data_is = |state: &str| {
        let (status, _) = host.status();
        let list = status["names"]["list"].as_array().unwrap().iter();
        let mut data = list.filter(|name| name["name"] == world::CONTOSO_DATA);
        data.any(|name| name["state"] == state)
    };
    answers(None);
    wait_until("the short answer is there", || data_is("fresh"));
    answers(Some(Fault::ServFail));
    wait_until("the short answer is stale", || data_is("stale"));
    let (status, _) = host.status();
    assert!(warnings(&status).contains(&"stale"), "{status:#}");
    let stale: &[Row<'_>] = &[
        (
            "status",
            0,
            &["enforcing on /", " stale", world::CONTOSO_DATA, " old; IPv4: "],
        ),
        ("explain", 0, &["passes", "stale", " ago"]),
        ("", 0, &[]),
    ];
    let commands: [&[&str]; 2] = [&["status"], &["explain", world::CONTOSO_DATA]];
    each("stale", &commands, stale, |arguments| host.asking(arguments));
    daemon.kill();
}

#[test]
fn a_daemon_of_another_version_and_what_is_none_are_recognised() {
    let host = Operated::new("versions");
    let speaks = |header: &str, body: &str| Some(fake::answer(header, body));
    let version = fake::version;
    let other = "use the enforcer that the daemon was started from, or restart the daemon";
    let cases: &[(&str, Option<String>, &[Row<'_>])] = &[
        (
            "too new",
            speaks(&version(2), "{}"),
            &[(
                "",
                1,
                &[
                    "speaks version 1 of the control socket, and the daemon version 2",
                    other,
                ],
            )],
        ),
        (
            "too old",
            speaks(&version(0), "{}"),
            &[("", 1, &["and the daemon version 0", other])],
        ),
        (
            "without a version",
            speaks("", "<html></html>"),
            &[("", 1, &["and the daemon none"])],
        ),
        (
            "no JSON",
            speaks(&version(1), "<html></html>\n"),
            &[(
                "",
                1,
                &[
                    "the answer can not be understood",
                    "is it an enforcer that listens there?",
                ],
            )],
        ),
        (
            "no HTTP",
            Some("\u{1b}[2J220 mail.example.com ESMTP\r\n".to_owned()),
            &[("", 1, &["the answer can not be understood", "is it an enforcer"])],
        ),
        (
            "hangs up",
            Some(String::new()),
            &[(
                "",
                1,
                &["the connection ended before the answer was whole", "ask again"],
            )],
        ),
        (
            "silent",
            None,
            &[
                ("status", 3, &["NOT ENFORCING", "DOES NOT ANSWER"]),
                (
                    "",
                    1,
                    &["the daemon does not answer", "systemctl restart enforcer"],
                ),
            ],
        ),
    ];
    for (state, answer, rows) in cases {
        let _fake = Fake::start(&host.socket(), answer.clone());
        // Whoever follows tries again what may pass, and has shown nothing so far.
        match *state {
            "no JSON" => each(state, &COMMANDS, rows, |arguments| host.asking(arguments)),
            _ => all(&host, state, rows),
        }
    }
}

#[test]
fn a_daemon_that_hangs_while_somebody_waits_is_told_of() {
    let host = Operated::new("hangs");
    host.policy(world::CONTOSO_POLICY);
    let mut daemon = host.start();
    let mut follower = Running::start(host.asking(&["observe", "-f", "-o", "json"]));
    host.denied_from("a.service", world::BARE_ADDRESSES[0]);
    assert_eq!(follower.data()["unit"], "a.service");

    // A name that is new, and nobody answers for: what asks for it waits.
    host.lab
        .name_server
        .script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
    host.policy(&format!(
        "{}\n[[allow]]\nname = \"new.example.com\"\n",
        world::CONTOSO_POLICY
    ));
    let asked = || {
        host.lab
            .name_server
            .asked()
            .iter()
            .filter(|asked| asked.name.contains("new.example"))
            .count()
    };
    let before = asked();
    let mut waiting = Running::start(host.asking(&["plan"]));
    wait_until("the plan waits for a name", || asked() > before);
    daemon.signal(Signal::STOP);
    let mut said = String::new();
    waiting.stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains("because: the daemon does not answer"), "{said}");
    assert_eq!(waiting.child.wait().unwrap().code(), Some(1));

    let told = follower.message();
    assert!(
        told.contains("the daemon does not answer; what it enforces stays in force"),
        "{told}"
    );
    each(
        "stopped in its tracks",
        &COMMANDS,
        &[
            ("status", 0, &["enforcing on /", "DOES NOT ANSWER"]),
            ("", 1, &["the daemon does not answer", "what is in force stays"]),
        ],
        |arguments| host.asking(arguments),
    );
    daemon.signal(Signal::CONT);
    host.denied_from("b.service", world::BARE_ADDRESSES[0]);
    assert_eq!(follower.data()["unit"], "b.service");
    daemon.kill();
}

#[test]
fn a_user_without_rights_gets_a_clear_no_from_every_command() {
    let host = Operated::new("rights");
    host.policy(world::CONTOSO_POLICY);
    let commands = [&COMMANDS[..], &[FOLLOW]].concat();
    let nobody = |arguments: &[&str]| host.asking_as_nobody(None, arguments);
    let member = |arguments: &[&str]| host.asking_as_nobody(Some(GROUP), arguments);
    let no_daemon: &[Row<'_>] = &[("", 1, &["run it as root"])];
    each("nobody asks, and nobody is there", &commands, no_daemon, nobody);

    let mut daemon = host.start();
    wait_until("every name is fresh", || {
        host.status().0["names"]["fresh"].as_u64() >= Some(3)
    });
    each(
        "nobody asks",
        &commands,
        &[(
            "",
            1,
            &[
                "the user with the id 65534 may not ask this enforcer",
                "have root name one of your groups",
            ],
        )],
        nobody,
    );
    let reads: &[Row<'_>] = &[
        ("status", 0, &["enforcing on /", "running"]),
        ("explain", 0, &["passes"]),
        ("plan", 0, &["would change nothing"]),
        ("reload", 1, &["only root may change something", "run it as root"]),
        ("learn", 0, &["mode = \"audit\""]),
        ("", 0, &[]),
    ];
    each("a member of the group asks", &COMMANDS, reads, member);
    daemon.kill();
    each("the daemon is gone", &commands, no_daemon, member);
}
