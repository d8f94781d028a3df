//! What the README shows of the commands that ask a daemon is what they print: each line of it, but for numbers and
//! places, is a line of theirs. Needs root.

use std::path::Path;

use enforcer_lab::daemon::wait_until;
use enforcer_lab::operated::Operated;
use enforcer_lab::terminal::{SMALL, Terminal, has_row};
use enforcer_lab::world;

const README: &str = include_str!("../../README.md");
/// The container of the README.
const CONTAINER: &str = "docker/4f1c9dd3a0b8e7f65544332211009988776655443322110099aabbccddeeff00";
/// Units of time.
const UNITS: [&str; 2] = ["s", "min"];

/// What the README shows of `command`.
fn shown(command: &str) -> impl Iterator<Item = &'static str> {
    let begin = format!("```text\n$ sudo enforcer {command}\n");
    let at = README
        .find(&begin)
        .unwrap_or_else(|| panic!("the README shows nothing of `{command}`"));
    let lines = README[at + begin.len()..].lines();
    lines
        .take_while(|line| *line != "```")
        .filter(|line| !line.is_empty())
}

/// A line without what differs from run to run: numbers, spans of time, folders, the width of columns.
fn general(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        // Where the terminal, or a column of it, ends.
        if let Some(cut) = word.strip_suffix('~') {
            let known = ["address-not-granted", "/sys/fs/cgroup", "WHOSE"].into_iter();
            words.extend(
                known
                    .filter(|whole| whole.starts_with(cut) || cut.starts_with(whole))
                    .map(str::to_owned),
            );
            continue;
        }
        let word = match word.rsplit_once("agent.toml") {
            Some((before, place)) => {
                let bracket = if before.starts_with('(') { "(" } else { "" };
                format!("{bracket}agent.toml{place}")
            }
            None if word.starts_with("/sys/fs/cgroup") => "/sys/fs/cgroup".to_owned(),
            None => word.to_owned(),
        };
        let mut digits = String::new();
        for char in word.chars() {
            match char {
                '0'..='9' if digits.ends_with('#') => {}
                '0'..='9' => digits.push('#'),
                _ => digits.push(char),
            }
        }
        // As many of them as the machine is slow.
        let unit = digits.trim_end_matches(|char: char| !char.is_alphanumeric());
        if UNITS.contains(&unit) && words.last().is_some_and(|last| last.ends_with('#')) {
            digits = format!("s{}", &digits[unit.len()..]);
        }
        words.push(digits);
    }
    words.join(" ")
}

/// Holds what the README shows of `command` against `printed`.
#[track_caller]
fn hold(host: &Operated, command: &str, printed: &str) {
    let all = printed.replace(host.instance.name(), "host");
    let all: Vec<String> = all.lines().map(general).collect();
    let missing: Vec<&str> = shown(command)
        .filter(|line| !all.contains(&general(line)))
        .collect();
    assert!(
        missing.is_empty(),
        "`enforcer {command}` does not print what the README shows of it:\n{}\nbut {printed}",
        missing.join("\n")
    );
}

/// As [`hold`], with what it prints now.
#[track_caller]
fn compare(host: &Operated, command: &str, status: i32) {
    let arguments: Vec<&str> = command.split(' ').collect();
    let text: &[&str] = if command == "observe" {
        &["-o", "text"]
    } else {
        &[]
    };
    let outcome = host.command(&[&arguments[..], text].concat());
    assert_eq!(outcome.status.code(), Some(status), "{outcome}");
    hold(host, command, &outcome.stdout);
}

fn write(host: &Operated, rules: &str) {
    host.policy(rules);
    let folder = host.lab.folder();
    std::fs::rename(folder.join("policy.toml"), folder.join("agent.toml")).unwrap();
}

fn start(host: &Operated) -> enforcer_lab::daemon::Daemon {
    let mut command = enforcer_lab::daemon::Daemon::command(&host.lab, Path::new("agent.toml")).unwrap();
    command.args(["--instance", host.instance.name()]);
    host.folders(&mut command);
    let mut daemon = enforcer_lab::daemon::Daemon::spawn(command).unwrap();
    daemon.wait_for("ing on /");
    wait_until("every name is fresh", || {
        host.status().0["names"]["fresh"].as_u64() >= Some(3)
    });
    daemon
}

#[test]
fn status_observe_and_reload_print_what_the_readme_shows() {
    let host = Operated::new("readme");
    write(&host, world::CONTOSO_POLICY);
    let mut daemon = start(&host);
    let curl = |below: &str, arguments: &[&str]| {
        let arguments = [&["-sS", "-m", "60", "-o", "answer"], arguments].concat();
        assert!(!host.run_below(below, "curl", &arguments).success());
    };
    curl("cron.service", &["https://203.0.113.99/"]);
    let elsewhere = format!("{}:443:{}", world::FABRIKAM, world::CONTOSO_ADDRESSES[0]);
    let fabrikam = format!("https://{}/", world::FABRIKAM);
    curl(CONTAINER, &["--resolve", &elsewhere, &fabrikam]);
    curl(CONTAINER, &["-4", &fabrikam]);
    let granted = format!("https://{}/v2/", world::CONTOSO);
    for _ in 0..2 {
        host.run_below(CONTAINER, "curl", &["-sS", "-o", "answer", &granted])
            .expect_success("what is granted");
    }
    compare(&host, "status", 0);
    compare(&host, "observe", 0);
    write(
        &host,
        &format!(
            "{}\n[[registry]]\nlogin_server = \"{}\"\n",
            world::CONTOSO_POLICY,
            world::FABRIKAM
        ),
    );
    compare(&host, "reload", 0);
    daemon.kill();
}

#[test]
fn explain_and_plan_print_what_the_readme_shows() {
    let host = Operated::new("readme");
    let policy = world::CONTOSO_POLICY.replace("eastus", "westus");
    write(&host, &policy);
    host.lab.name_server.script(|zone| {
        let there = "contoso.westus.data.azurecr.io";
        zone.addresses(
            there,
            300,
            &[world::CONTOSO_DATA_ADDRESSES[1], world::CONTOSO_DATA_ADDRESSES[4]],
        );
    });
    let mut daemon = start(&host);
    compare(&host, &format!("explain {}", world::CONTOSO_DATA), 3);
    write(&host, &policy.replace("[\"westus\"]", "[\"eastus\", \"westus\"]"));
    compare(&host, "plan", 0);
    daemon.kill();
}

#[test]
fn top_shows_what_the_readme_shows() {
    let host = Operated::new("readme");
    write(&host, world::CONTOSO_POLICY);
    let mut daemon = start(&host);
    host.denied_from("cron.service", world::BARE_ADDRESSES[0]);
    host.denied_from(CONTAINER, world::FABRIKAM_ADDRESSES[0]);
    host.denied_from("cron.service", world::BARE_ADDRESSES[0]);
    let terminal = Terminal::open(&host, SMALL);
    terminal.show(&host);
    terminal.press(&["n"]);
    let screen = terminal.wait_for("three denials", |screen| {
        // The rate is known when there were two statuses.
        has_row(screen, &["2", "203.0.113.99:443"]) && screen.contains("/s, 3 in all")
    });
    hold(&host, "top", &screen);
    daemon.kill();
}
