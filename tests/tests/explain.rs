//! `explain`, `learn` and `plan` against a running daemon: what they say to write makes real clients work. Needs root.

use std::fs;
use std::ops::Deref;
use std::path::Path;

use enforcer_lab::daemon::{LIMIT, wait_until};
use enforcer_lab::operated::Operated;
use enforcer_lab::{probe_program, run_for, world};
use serde_json::Value;

/// A client with a daemon, and what is done on it.
struct Host(Operated);

impl Deref for Host {
    type Target = Operated;

    fn deref(&self) -> &Operated {
        &self.0
    }
}

impl Host {
    fn new() -> Self {
        Self(Operated::new("explain"))
    }

    /// Appends to what the daemon reads, as somebody would who was told to.
    fn append(&self, lines: &str) {
        let path = self.lab.folder().join("policy.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}\n{lines}\n")).unwrap();
    }

    fn explain(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let outcome = self.command(&[&["explain", "-o", "json"], arguments].concat());
        let explained = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
        (explained, outcome.status.code())
    }

    /// Runs a client in the cgroup; whether it got what it wanted.
    fn client(&self, program: impl AsRef<Path>, arguments: &[&str]) -> bool {
        self.run_below("", program, arguments).success()
    }

    /// One request by name, whatever its answer.
    fn reaches(&self, name: &str) -> bool {
        self.client(
            "curl",
            &["-sS", "-m", "60", "-o", "answer", &format!("https://{name}/")],
        )
    }

    fn pulls(&self, reference: &str, folder: &str) -> bool {
        let folder = self.lab.folder().join(folder);
        let arguments = self.lab.pull_arguments(reference, &folder);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.client("skopeo", &arguments)
    }
}

/// The lines that the first suggestion says to append.
fn lines(explained: &Value) -> String {
    let append = explained["suggestions"][0]["append"].as_array().unwrap();
    let lines: Vec<&str> = append.iter().map(|line| line.as_str().unwrap()).collect();
    lines.join("\n")
}

#[test]
fn what_it_suggests_makes_denied_connections_work() {
    let host = Host::new();
    host.policy("[[registry]]\nlogin_server = \"contoso.azurecr.io\"\n");
    let mut daemon = host.start();
    let bare = world::BARE_ADDRESSES[0];
    let bare_port = format!("{bare}:443");
    let probe = || host.client(probe_program().unwrap(), &["tcp", &bare_port]);
    // A registry of somebody else, a tenant at a granted address, a storage account, an address without a name.
    for target in [world::FABRIKAM, world::NORTHWIND, world::STORAGE] {
        assert!(!host.reaches(target), "{target} is reached before");
        let (explained, status) = host.explain(&[target]);
        assert_eq!(
            (explained["verdict"].as_str(), status),
            (Some("denied"), Some(3)),
            "{explained:#}"
        );
        host.append(&lines(&explained));
        host.command(&["reload"]).expect_success("the reload");
        let (explained, status) = host.explain(&[target]);
        assert_eq!(
            (explained["verdict"].as_str(), status),
            (Some("passes"), Some(0)),
            "{explained:#}"
        );
        assert!(host.reaches(target), "{target} is not reached: {explained:#}");
    }
    assert!(!probe());
    let (explained, status) = host.explain(&[bare]);
    assert_eq!(status, Some(3));
    host.append(&lines(&explained));
    host.command(&["reload"]).expect_success("the reload");
    assert!(probe());
    assert!(
        !host.reaches(world::TAILSPIN),
        "more than was asked for is granted"
    );
    daemon.kill();
}

#[test]
fn a_pull_that_lacks_its_data_endpoint_is_explained() {
    let host = Host::new();
    host.lab
        .publish(&host.lab.contoso, "app", "v1", &[100_000])
        .unwrap();
    host.policy("[[registry]]\nlogin_server = \"contoso.azurecr.io\"\ndata_regions = [\"westus\"]\n");
    let mut daemon = host.start();
    assert!(!host.pulls("contoso.azurecr.io/app:v1", "before"));
    let (explained, _) = host.explain(&[world::CONTOSO_DATA]);
    assert_eq!(explained["reason"]["name"], "address-not-granted");
    let change = &explained["suggestions"][0]["changes"][0];
    assert_eq!(change["line"], "data_regions = [\"eastus\", \"westus\"]");
    // The better way: the rule itself.
    let path = host.lab.folder().join("policy.toml");
    let text = fs::read_to_string(&path).unwrap();
    let line = change["line"].as_str().unwrap();
    fs::write(&path, text.replace("data_regions = [\"westus\"]", line)).unwrap();

    let planned = host.command(&["plan", "-o", "json"]);
    let planned: Value = serde_json::from_str(&planned.stdout).unwrap_or_else(|_| panic!("{planned}"));
    assert_eq!(planned["is_usable"], true);
    let added = planned["changes"].as_array().unwrap().iter();
    let added: Vec<&str> = added.filter_map(|change| change["what"].as_str()).collect();
    assert!(
        added.contains(&"198.51.100.20") && added.contains(&world::CONTOSO_DATA),
        "{planned:#}"
    );
    assert!(
        !host.pulls("contoso.azurecr.io/app:v1", "planned"),
        "a plan changes nothing"
    );

    host.command(&["reload"]).expect_success("the reload");
    assert!(host.pulls("contoso.azurecr.io/app:v1", "after"));
    let planned = host.command(&["plan"]);
    assert!(planned.stdout.contains("would change nothing"), "{planned}");
    daemon.kill();
}

#[test]
fn an_address_that_left_its_name_and_a_stale_answer_are_said() {
    let host = Host::new();
    host.policy(
        "[[registry]]\nlogin_server = \"contoso.azurecr.io\"\ndata_regions = [\"eastus\"]\n\n[resolver]\nttl_min = \"1s\"\n\
         timeout = \"1s\"\ngrace = \"1s\"\n",
    );
    let (old, new) = (world::CONTOSO_DATA_ADDRESSES[0], world::CONTOSO_DATA_ADDRESSES[2]);
    let answer = |address: &str| {
        host.lab
            .name_server
            .script(|zone| zone.addresses(world::CONTOSO_DATA_HOST, 1, &[address]));
    };
    answer(old);
    let mut daemon = host.start();
    // It enforces before it has asked.
    wait_until("the first answer", || host.explain(&[old]).1 == Some(0));
    let (explained, status) = host.explain(&[old]);
    assert_eq!(
        (explained["verdict"].as_str(), status),
        (Some("passes-under-names"), Some(0)),
        "{explained:#}"
    );
    answer(new);
    daemon.wait_for("0 added, 1 removed");
    let (explained, status) = host.explain(&[old]);
    assert_eq!(status, Some(3));
    let known = &explained["addresses"][0]["known_as"][0];
    assert_eq!(known["name"], world::CONTOSO_DATA);
    assert!(
        known["standing"]
            .as_str()
            .unwrap()
            .contains("grace period is over"),
        "{explained:#}"
    );
    daemon.kill();
}

#[test]
fn what_is_learned_in_audit_mode_passes_the_same_and_nothing_else() {
    let host = Host::new();
    host.lab
        .publish(&host.lab.contoso, "app", "v1", &[100_000])
        .unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/learn.toml");
    host.policy(&fs::read_to_string(example).unwrap());
    let mut daemon = host.start();
    assert!(host.pulls("contoso.azurecr.io/app:v1", "audited"));
    assert!(host.reaches(world::NORTHWIND) && host.reaches(world::STORAGE));

    let learned = host.command(&["learn", "--since", "1h", "--mode", "enforce"]);
    let text = learned.expect_success("learn").stdout;
    assert!(
        text.contains("login_server = \"contoso.azurecr.io\"\ndata_regions = [\"eastus\"]\n"),
        "{text}"
    );
    assert!(text.contains("by skopeo"), "{text}");
    assert!(
        text.contains("\n# name = \"attacker.blob.core.windows.net\"\n"),
        "{text}"
    );
    let migration = host.command(&["learn", "--migration"]);
    assert_eq!(migration.status.code(), Some(3));
    assert!(
        migration
            .stdout
            .contains("attacker.blob.core.windows.net: 1 time"),
        "{migration}"
    );

    host.policy(&text);
    let mut check = host.lab.enforcer_command().unwrap();
    check.args(["check", "policy.toml"]);
    run_for(check, LIMIT).unwrap().expect_success("check");
    host.command(&["reload"]).expect_success("the reload");
    assert!(host.pulls("contoso.azurecr.io/app:v1", "enforced"));
    assert!(host.reaches(world::NORTHWIND));
    for stranger in [world::STORAGE, world::FABRIKAM, world::TAILSPIN] {
        assert!(!host.reaches(stranger), "{stranger} is reached");
    }
    daemon.kill();
}

#[test]
fn without_a_daemon_it_says_so() {
    let host = Host::new();
    for command in [&["explain", world::CONTOSO][..], &["learn"], &["plan"]] {
        let outcome = host.command(command);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.stderr.contains("nothing is enforced"), "{outcome}");
    }
}
