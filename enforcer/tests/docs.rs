//! The README against the code: what it says must be what is there.

use std::collections::BTreeSet;
use std::path::Path;

use assert_cmd::Command;
use enforcer_common::Reason;

const README: &str = include_str!("../../README.md");
const CONTROL: &str = include_str!("../../docs/control.md");

#[test]
fn the_table_of_reasons_is_the_code() {
    let documented: Vec<String> = README
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 3)
        .map(str::to_owned)
        .collect();
    for reason in Reason::ALL {
        let row = format!("| `{}` | {} |", reason.name(), reason.explain());
        assert!(documented.contains(&row), "the README lacks: {row}");
    }
    let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let section = README
        .split("## Reasons")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let name = row.split('`').nth(1).unwrap();
        assert!(
            names.contains(&name),
            "the README has a reason that the code has not: {name}"
        );
    }
}

#[test]
fn the_configurations_of_the_readme_pass_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let blocks: Vec<&str> = README
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(
        blocks.len(),
        3,
        "the build agent, the IoT Edge device and the service tags"
    );
    let tag =
        |name| format!(r#"{{"name": "{name}", "properties": {{"addressPrefixes": ["192.0.2.0/24"]}}}}"#);
    let tags = [
        "MicrosoftContainerRegistry",
        "AzureFrontDoor.FirstParty",
        "AzureContainerRegistry",
    ];
    let tags = format!("{{\"values\": [{}]}}", tags.map(tag).join(","));
    std::fs::write(folder.path().join("ServiceTags_Public.json"), tags).unwrap();
    for (at, block) in blocks.iter().enumerate() {
        let file = folder.path().join(format!("{at}.toml"));
        std::fs::write(&file, block).unwrap();
        Command::cargo_bin("enforcer")
            .unwrap()
            .arg("check")
            .arg(&file)
            .assert()
            .success();
    }
}

#[test]
fn every_command_is_in_the_readme() {
    let help = Command::cargo_bin("enforcer")
        .unwrap()
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help
        .split("Commands:")
        .nth(1)
        .and_then(|rest| rest.split("Options:").next())
        .unwrap();
    for command in commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
    {
        assert!(
            README.contains(&format!("| `enforcer {command} ")),
            "the README lacks `enforcer {command}`"
        );
    }
}

#[test]
fn files_that_the_readme_links_to_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let links = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.starts_with('#'));
    let mut count = 0;
    for link in links {
        assert!(root.join(link).exists(), "{link}");
        count += 1;
    }
    assert!(count >= 4);
}

/// Every key in a document.
fn keys(document: &serde_json::Value, into: &mut BTreeSet<String>) {
    match document {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                into.insert(key.clone());
                keys(value, into);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_control_socket_is_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control");
    let mut all = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        keys(&serde_json::from_str(&text).unwrap(), &mut all);
    }
    assert!(all.len() > 60, "{all:?}");
    for key in all {
        assert!(
            CONTROL.contains(&format!("`{key}`")),
            "docs/control.md lacks `{key}`"
        );
    }
}
