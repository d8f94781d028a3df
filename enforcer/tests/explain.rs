//! `enforcer explain` as a user runs it, without a daemon: what is printed, and the exit status.

use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

/// Nothing here has to be resolved, so that nobody is asked.
const POLICY: &str = "\
[[allow]]
prefix = \"192.0.2.0/24\"

[[allow]]
name = \"*.data.mcr.microsoft.com\"
prefix = \"203.0.113.0/24\"
";

fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, content).unwrap();
    (folder, file)
}

fn explain(content: &str, arguments: &[&str]) -> Assert {
    let (folder, _file) = written(content);
    let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
    let command = command.current_dir(folder.path()).arg("explain").args(arguments);
    command.args(["--config", "agent.toml"]).assert()
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

#[test]
fn what_passes_has_status_zero_and_its_rule() {
    let assert = explain(POLICY, &["192.0.2.9"]).code(0);
    assert_eq!(
        stdout(&assert),
        "\
192.0.2.9 port 443 over tcp: passes
  its address is granted

+ address 192.0.2.9: passes
    rule 1: allow 192.0.2.0/24  (agent.toml:1)
"
    );
}

#[test]
fn what_is_denied_has_status_three_and_the_lines_that_grant_it() {
    let arguments = ["203.0.113.9:443", "--server-name", "evil.example.com"];
    let assert = explain(POLICY, &arguments).code(3);
    let shown = stdout(&assert);
    assert_eq!(
        shown,
        "\
203.0.113.9 port 443 over tcp, asking for evil.example.com: denied
  a TLS session under a server name that no rule grants at this address [name-not-granted]

name evil.example.com
  no rule grants it
  nobody asked for its addresses

- address 203.0.113.9: denied [name-not-granted]
    rule 2: allow *.data.mcr.microsoft.com at 203.0.113.0/24  (agent.toml:4)
    server names: *.data.mcr.microsoft.com

to let it through:
  append

    [[allow]]
    name = \"evil.example.com\"
    prefix = \"203.0.113.9/32\"

  nothing is resolved for it: when the host moves to another address, it is denied there

or:
  append

    [[allow]]
    name = \"evil.example.com\"

  enough only where the name resolves to the address; then it is followed when it moves
"
    );
    let lines: Vec<&str> = shown
        .lines()
        .skip_while(|line| !line.contains("[[allow]]"))
        .take(3)
        .collect();
    explain(&format!("{POLICY}\n{}\n", lines.join("\n")), &arguments).code(0);
}

#[test]
fn it_is_data_with_output_json() {
    let assert = explain(POLICY, &["198.51.100.1", "-o", "json"]).code(3);
    let json: serde_json::Value = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["verdict"], "denied");
    assert_eq!(json["reason"]["name"], "address-not-granted");
    assert_eq!(
        json["suggestions"][0]["append"][1],
        "prefix = \"198.51.100.1/32\""
    );
}

#[test]
fn what_is_no_target_is_wrong_usage() {
    let assert = explain(POLICY, &["https://contoso.azurecr.io/v2/"]).code(2);
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("not a URL or an image"), "{stderr}");
}

#[test]
fn a_file_that_can_not_be_used_is_an_error() {
    explain("[[allow]]\nname = \"*.com\"\n", &["192.0.2.9"]).code(1);
}
