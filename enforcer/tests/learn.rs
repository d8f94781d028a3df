//! `enforcer learn` as a user runs it, from a file of events.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;

fn enforcer(folder: &Path, arguments: &[&str]) -> Assert {
    let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
    command.current_dir(folder).args(arguments).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Two days of pulls, one of which used blob storage.
fn events(folder: &Path) -> PathBuf {
    let line = |day: u32, name: &str| {
        format!(
            "{{\"kind\":\"event\",\"number\":{day},\"time\":\"2026-11-{day:02}T01:00:00.000Z\",\"verdict\":\"audit\",\
             \"reason\":\"name-not-granted\",\"hook\":\"egress\",\"protocol\":\"tcp\",\"destination\":\"198.51.100.10:443\",\
             \"server_name\":\"{name}\",\"process\":\"skopeo\",\"cgroup_id\":1}}\n"
        )
    };
    let lines = [
        line(1, "contoso.azurecr.io"),
        line(2, "contoso.eastus.data.azurecr.io"),
        line(3, "acct.blob.core.windows.net"),
    ];
    let file = folder.join("events.json");
    std::fs::write(&file, lines.concat()).unwrap();
    file
}

#[test]
fn what_it_writes_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    events(folder.path());
    let learned = enforcer(
        folder.path(),
        &["learn", "--from", "events.json", "--mode", "enforce"],
    )
    .success();
    let configuration = text(&learned.get_output().stdout);
    assert!(configuration.contains("login_server = \"contoso.azurecr.io\"\ndata_regions = [\"eastus\"]\n"));
    assert!(configuration.contains("\n# name = \"acct.blob.core.windows.net\"\n"));
    assert!(text(&learned.get_output().stderr).starts_with("blob storage: used"));
    std::fs::write(folder.path().join("learned.toml"), &configuration).unwrap();
    let checked = enforcer(folder.path(), &["check", "--strict", "learned.toml"]).success();
    assert!(text(&checked.get_output().stdout).contains("contoso.eastus.data.azurecr.io"));
}

#[test]
fn the_migration_has_a_status_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    events(folder.path());
    std::fs::write(
        folder.path().join("before.toml"),
        "[[registry]]\nlogin_server = \"contoso.azurecr.io\"\ndata_regions = [\"eastus\"]\n\n[[allow]]\n\
         name = \"*.blob.core.windows.net\"\naccept_exfiltration_risk = \"for now\"\n",
    )
    .unwrap();
    let arguments = [
        "learn",
        "--from",
        "events.json",
        "--config",
        "before.toml",
        "--migration",
    ];
    let told = text(&enforcer(folder.path(), &arguments).code(3).get_output().stdout);
    assert!(
        told.contains("`*.blob.core.windows.net` at before.toml:5 must stay"),
        "{told}"
    );
    let json = enforcer(folder.path(), &[&arguments[..], &["-o", "json"]].concat()).code(3);
    let json: serde_json::Value = serde_json::from_str(&text(&json.get_output().stdout)).unwrap();
    assert_eq!(json["outcome"], "must-stay");
}

#[test]
fn what_is_no_file_of_events_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.json"), "rubbish\n").unwrap();
    let failed = enforcer(folder.path(), &["learn", "--from", "events.json"]).code(1);
    assert!(text(&failed.get_output().stderr).contains("has no line that is an event"));
    enforcer(folder.path(), &["learn", "--from", "missing.json"]).code(1);
}

#[test]
fn the_example_to_learn_with_grants_no_name() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/learn.toml");
    let folder = tempfile::tempdir().unwrap();
    enforcer(folder.path(), &["check", example.to_str().unwrap()]).success();
    let arguments = [
        "explain",
        "198.51.100.1",
        "--config",
        example.to_str().unwrap(),
        "--server-name",
    ];
    let explained = enforcer(folder.path(), &[&arguments[..], &["contoso.azurecr.io"]].concat()).code(3);
    assert!(text(&explained.get_output().stdout).contains("name-not-granted"));
}
