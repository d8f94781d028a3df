//! `enforcer check` as a user runs it: what is printed where, and the exit status.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;

fn check(file: &Path, options: &[&str]) -> Assert {
    let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
    command.arg("check").arg(file).args(options).assert()
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// A folder with `test.toml` of this content.
fn written(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, content).unwrap();
    (folder, file)
}

#[test]
fn the_examples_are_fine() {
    for (name, names) in [
        ("build-agent.toml", "contoso.azurecr.io"),
        ("enforcer.toml", "mcr.microsoft.com"),
        ("iot-edge.toml", "contoso.azurecr.io"),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name);
        let assert = check(&file, &["--strict"]).success();
        assert_eq!(stderr(&assert), "", "{name}");
        assert!(stdout(&assert).contains(names), "{name}");
    }
}

#[test]
fn what_it_would_mean_is_data() {
    let (_folder, file) = written("[[registry]]\nkind = \"mcr\"\n\n[[allow]]\nprefix = \"10.0.0.0/8\"\n");
    let assert = check(&file, &[]).success();
    assert_eq!(stderr(&assert), "");
    assert_eq!(
        stdout(&assert),
        "\
mode    enforce (what is denied is dropped)
ports   443 (UDP: denied)
names   required, also of what connections from before send next
cgroup  the root of cgroup v2
rule 1  registry mcr.microsoft.com  (line 1)
  login server           mcr.microsoft.com
  data endpoint          *.data.mcr.microsoft.com  NO ADDRESSES YET, see below
rule 2  allow 10.0.0.0/8  (line 4)
  allowed                10.0.0.0/8
  server names           not asked for
2 rules, 3 endpoints, 1 name to resolve

`*.data.mcr.microsoft.com` (rule 1) has no addresses yet, for a pattern can not be resolved: its names pass only at
addresses that other rules grant. Say where its hosts are:

  [[allow]]
  name = \"*.data.mcr.microsoft.com\"
  service_tag = [\"MicrosoftContainerRegistry\", \"AzureFrontDoor.FirstParty\"]
  file = \"ServiceTags_Public.json\"
"
    );
}

#[test]
fn what_check_says_to_write_is_enough() {
    let (_folder, file) = written(
        "[[registry]]\nkind = \"mcr\"\n\n[[allow]]\nname = \"*.data.mcr.microsoft.com\"\n\
         prefix = [\"10.30.0.0/24\", \"10.31.0.0/24\"]\n",
    );
    let assert = check(&file, &["--strict"]).success();
    assert_eq!(stderr(&assert), "");
    let shown = stdout(&assert);
    assert!(!shown.contains("NO ADDRESSES"), "{shown}");
    assert!(
        shown.contains(
            "rule 2  allow *.data.mcr.microsoft.com at 2 prefixes  (line 4)\n  \
             allowed                10.30.0.0/24\n  \
             allowed                10.31.0.0/24\n  \
             server names           *.data.mcr.microsoft.com\n"
        ),
        "{shown}"
    );
}

#[test]
fn server_names_that_are_off_are_said_twice() {
    let (_folder, file) =
        written("[[registry]]\nkind = \"mcr\"\n\n[enforce]\nserver_name = \"off\"\nexisting = \"allow\"\n");
    let assert = check(&file, &[]).success();
    assert!(
        stdout(&assert).contains("\nnames   NOT LOOKED AT: "),
        "{}",
        stdout(&assert)
    );
    assert!(
        stderr(&assert).contains("warning: server names are not looked at"),
        "{}",
        stderr(&assert)
    );
    check(&file, &["--strict"]).code(3);
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&check(&file, &["-o", "json"]).success())).unwrap();
    assert_eq!(json["server_name"], "off");
    assert_eq!(
        json["rules"][0]["server_names"],
        serde_json::json!({ "asked": "nothing" })
    );
}

#[test]
fn errors_are_messages_and_status_3() {
    let (_folder, file) =
        written("mode = \"enforced\"\n\n[[registry]]\nlogin_server = \"https://contoso.azurecr.io\"\n");
    let assert = check(&file, &[]).code(3);
    assert_eq!(stdout(&assert), "");
    let shown = stderr(&assert);
    assert!(!shown.contains('\u{1b}'), "no colours into a pipe");
    for part in [
        "error: `mode` can not be `enforced`",
        "test.toml:1:8",
        "1 | mode = \"enforced\"\n  |        ^^^^^^^^^^",
        "= help: did you mean `\"enforce\"`?",
        "test.toml:4:16",
        "= help: write `contoso.azurecr.io`",
        "test.toml: 2 errors, 0 warnings",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_warning_is_an_answer_only_when_asked_for() {
    let (_folder, file) = written("[[registry]]\nlogin_server = \"contoso.azurecr.io\"\n");
    assert!(stderr(&check(&file, &[]).success()).contains("no data endpoint"));
    check(&file, &["--strict"]).code(3);
}

#[test]
fn a_program_gets_json_and_nothing_else() {
    let (_folder, file) =
        written("[[allow]]\nname = \"a.example.com\"\n[[allow]]\nname = \"a.example.com\"\n");
    let assert = check(&file, &["-o", "json"]).code(3);
    assert_eq!(stderr(&assert), "");
    let json: serde_json::Value = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(json["usable"], false);
    assert_eq!(json["endpoints"], serde_json::json!([]));
    assert_eq!(
        json["problems"],
        serde_json::json!([{
            "file": file, "line": 4, "column": 8, "severity": "error",
            "message": "`a.example.com` stands twice", "label": null,
            "hint": "keep one of the two; put what they say into it",
            "related": { "file": file, "line": 2, "column": 8, "label": "first here" },
        }])
    );
    let (_folder, file) = written("[[registry]]\nkind = \"mcr\"\n");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&check(&file, &["-o", "json"]).success())).unwrap();
    let needs = json["endpoints"][1]["needs"].as_str().unwrap();
    assert!(needs.contains("name = \"*.data.mcr.microsoft.com\""), "{needs}");
    assert_eq!(
        json["endpoints"][1],
        serde_json::json!({
            "rule": 1, "role": "data endpoint", "target": "*.data.mcr.microsoft.com", "enforceable": false, "needs": needs
        })
    );
    assert_eq!(
        json["rules"],
        serde_json::json!([{
            "rule": 1, "title": "registry mcr.microsoft.com",
            "server_names": { "asked": "names", "policy": true, "listed": [] },
        }])
    );
}

#[test]
fn an_endpoints_file_is_found_beside_the_configuration() {
    let (folder, file) = written("[[registry]]\nendpoints = \"e.json\"\n");
    let shown = stderr(&check(&file, &[]).code(3));
    assert!(
        shown.contains("can not read `e.json`: there is no such file"),
        "{shown}"
    );
    let listed = r#"{"loginServer": "contoso.azurecr.io", "dataEndpoints": [{"endpoint": "contoso.eastus.data.azurecr.io",}]}"#;
    std::fs::write(folder.path().join("e.json"), listed).unwrap();
    let shown = stdout(&check(&file, &[]).success());
    assert!(shown.contains("contoso.eastus.data.azurecr.io"), "{shown}");
    std::fs::write(folder.path().join("e.json"), "[").unwrap();
    let shown = stderr(&check(&file, &[]).code(3));
    assert!(shown.contains("e.json:1:1"), "{shown}");
    std::fs::write(folder.path().join("e.json"), b"\xff\xfe{\0}\0").unwrap();
    let shown = stderr(&check(&file, &[]).code(3));
    assert!(shown.contains("UTF-16"), "{shown}");
}

#[test]
fn an_endpoints_file_that_is_no_file_keeps_nobody_waiting() {
    let (folder, file) =
        written("[[registry]]\nendpoints = \"pipe\"\n[[registry]]\nendpoints = \"/dev/zero\"\n");
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
    // Only a check that waits for the pipe's writer ever sees the end of this time.
    command.timeout(std::time::Duration::from_secs(30));
    let shown = stderr(&command.arg("check").arg(&file).assert().code(3));
    for name in ["pipe", "/dev/zero"] {
        let expected = format!("can not read `{name}`: it is no regular file");
        assert!(shown.contains(&expected), "{shown}");
    }
}

#[test]
fn a_daemon_waits_for_no_writer_of_a_pipe() {
    let (folder, _file) = written("");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
    // As above.
    command.timeout(std::time::Duration::from_secs(30));
    command.args(["run", "--temporary", "--config"]);
    let shown = stderr(&command.arg(&pipe).assert().code(1));
    assert!(shown.contains("it is no regular file"), "{shown}");
}

#[test]
fn a_confirmation_takes_a_time_that_is_longer_than_nothing() {
    for (time, expected) in [
        ("5", "a time with its unit"),
        ("0s", "a time longer than nothing"),
    ] {
        let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
        command.args(["run", "--config", "no-such-file", "--confirm", time]);
        let shown = stderr(&command.assert().code(2));
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn nobody_waits_for_a_writer_of_a_named_pipe() {
    let (folder, _file) = written("");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for subcommand in ["check", "plan"] {
        let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
        // As above.
        command.timeout(std::time::Duration::from_secs(30));
        let shown = stderr(&command.arg(subcommand).arg(&pipe).assert().code(1));
        assert!(shown.contains("it is no regular file"), "{shown}");
        assert!(
            shown.contains("hint: write it to a file, and name that"),
            "{shown}"
        );
    }
}

#[test]
fn a_configuration_may_come_out_of_a_pipe() {
    let mut command = Command::cargo_bin("enforcer").expect("cargo builds the binary for its tests");
    command
        .args(["check", "/dev/stdin"])
        .write_stdin("[[registry]]\nkind = \"mcr\"\n")
        .assert()
        .success();
}

#[test]
fn output_that_can_not_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let (_folder, file) = written("[[registry]]\nkind = \"mcr\"\n");
    let run = |options: &[&str], stdout: std::process::Stdio| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("enforcer"));
        command.arg("check").arg(&file).args(options).stdout(stdout);
        command.stderr(std::process::Stdio::piped()).output().unwrap()
    };
    for options in [&[][..], &["-o", "json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(options, full.into());
        let shown = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(
            shown.starts_with("error: the output can not be written"),
            "{shown}"
        );
        assert!(shown.contains("hint: "), "{shown}");

        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("enforcer"));
        command.args(["check", "nowhere.toml"]).args(options);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(command.stderr(full).status().unwrap().code(), Some(1));

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(options, writer.into());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_file_that_can_not_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (_other, not_utf8) = written(b"mode = \"enforce\"\n# \xe4\n");
    let (_other, utf16) = written(b"\xff\xfem\0o\0");
    let (_other, large) = written(vec![b'#'; (1 << 20) + 1]);
    for (file, why) in [
        (folder.path().join("nowhere.toml"), "there is no such file"),
        (folder.path().to_owned(), "it is a directory"),
        (not_utf8, "it is not UTF-8 at byte 19 (line 2)"),
        (utf16, "it is UTF-16, not UTF-8"),
        (large, "it is larger than 1024 KiB"),
        (PathBuf::from("/dev/zero"), "it is larger than 1024 KiB"),
    ] {
        let assert = check(&file, &[]).code(1);
        let shown = stderr(&assert);
        assert_eq!(stdout(&assert), "");
        assert!(
            shown.contains(&format!(
                "error: can not read the configuration `{}`",
                file.display()
            )),
            "{shown}"
        );
        assert!(shown.contains(&format!("because: {why}")), "{shown}");
        assert!(shown.contains("hint: "), "{shown}");
    }
    // Whoever named it has no say over the terminal.
    let shown = stderr(&check(&folder.path().join("a\u{1b}[31m.toml"), &[]).code(1));
    assert!(
        !shown.contains('\u{1b}') && shown.contains("a\\u{1b}[31m.toml"),
        "{shown}"
    );
    // One byte less is read.
    let (_other, full) = written(vec![b'#'; 1 << 20]);
    check(&full, &[]).code(3);
}

/// A file of service tags beside `file`.
fn with_tags(file: &Path, tags: &[(&str, &[&str])]) {
    let values: Vec<_> = tags
        .iter()
        .map(
            |(name, prefixes)| serde_json::json!({"name": name, "properties": {"addressPrefixes": prefixes}}),
        )
        .collect();
    let text = serde_json::json!({"changeNumber": 352, "cloud": "Public", "values": values});
    std::fs::write(file.with_file_name("ServiceTags_Public.json"), text.to_string()).unwrap();
}

#[test]
fn a_service_tag_is_shown_with_what_it_lets_through() {
    let (_folder, file) = written(
        "[[allow]]\nservice_tag = \"AzureContainerRegistry.AustraliaEast\"\nfile = \"ServiceTags_Public.json\"\n\n\
         [[registry]]\nkind = \"mcr\"\nsanity_tag = \"MicrosoftContainerRegistry\"\n\n\
         [[allow]]\nname = \"*.data.mcr.microsoft.com\"\nservice_tag = \"MicrosoftContainerRegistry\"\n\n\
         [service_tags]\nfile = \"ServiceTags_Public.json\"\n",
    );
    with_tags(
        &file,
        &[
            (
                "AzureContainerRegistry.AustraliaEast",
                &["13.70.72.136/29", "2603:1010:6:402::90/125"],
            ),
            ("MicrosoftContainerRegistry", &["192.0.2.0/24"]),
        ],
    );
    let assert = check(&file, &[]).success();
    let told = stderr(&assert);
    assert!(
        told.contains("lets through every registry there is, under any name"),
        "{told}"
    );
    let shown = stdout(&assert);
    let tags_file = file.with_file_name("ServiceTags_Public.json");
    for expected in [
        "rule 1  allow the service tag AzureContainerRegistry.AustraliaEast  (line 1)\n  \
         allowed                AzureContainerRegistry.AustraliaEast (1 IPv4 and 1 IPv6 prefixes)\n  \
         server names           not asked for\n",
        "  public answers lie in  MicrosoftContainerRegistry\n",
        "rule 3  allow *.data.mcr.microsoft.com at the service tag MicrosoftContainerRegistry  (line 9)\n",
        "CAUTION: rule 1 lets through every registry behind the service tag `AzureContainerRegistry.AustraliaEast`, under any name",
        &format!(
            "service tags {}: change number 352, cloud Public, 2 tags\n",
            tags_file.display()
        ),
    ] {
        assert!(shown.contains(expected), "{expected}\nin\n{shown}");
    }
    assert!(!shown.contains("NO ADDRESSES"), "{shown}");
    check(&file, &["--strict"]).code(3);
    let assert = check(&file, &["-o", "json"]).success();
    let json: serde_json::Value = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(json["service_tag_files"][0]["change_number"], 352);
    assert_eq!(json["service_tag_files"][0]["cloud"], "Public");
    assert_eq!(json["cautions"].as_array().unwrap().len(), 1);
    assert_eq!(json["rules"][1]["sanity_tags"][0], "MicrosoftContainerRegistry");
}

#[test]
fn what_a_service_tag_gets_wrong_has_its_path_and_place() {
    let (_folder, file) = written(
        "[[allow]]\nservice_tag = \"MicrosoftContainerRegistry\"\nfile = \"ServiceTags_Public.json\"\n",
    );
    with_tags(
        &file,
        &[
            ("Other", &["192.0.2.0/24"]),
            ("MicrosoftContainerRegistry", &["192.0.2.0/24", "192.0.2.1/24"]),
        ],
    );
    let assert = check(&file, &[]).code(3);
    let told = stderr(&assert);
    assert!(
        told.contains("values[1].properties.addressPrefixes[1] of `MicrosoftContainerRegistry`: `192.0.2.1/24` has bits set"),
        "{told}"
    );
    assert!(told.contains("ServiceTags_Public.json:1:"), "{told}");
}
