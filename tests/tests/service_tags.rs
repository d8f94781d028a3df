//! Service tags in the lab: granted, replaced, broken, and as the bound of a registry's answers. Needs root.
//!
//! It is also what holds the row of `docs/operators.md` about files that the configuration refers to.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use enforcer_lab::daemon::{Daemon, LIMIT};
use enforcer_lab::service_tags::{EVERYTHING, ExpectedTag, generate_with, text_of};
use enforcer_lab::{Cgroup, Lab, probe_program, run_for, world};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A client whose processes are in a cgroup, with a file of service tags.
struct Host {
    lab: Lab,
    cgroup: Cgroup,
}

impl Host {
    fn new() -> Self {
        let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
        let cgroup = Cgroup::new("tags").expect("the test needs cgroup v2");
        Self { lab, cgroup }
    }

    /// Writes the policy `text` for the cgroup of this host.
    fn policy(&self, text: &str) {
        let enforce = format!("[enforce]\ncgroup = \"{}\"\n", self.cgroup.path().display());
        let resolver = "[resolver]\nttl_min = \"1s\"\ntimeout = \"1s\"\ngrace = \"1s\"\n";
        self.lab
            .write_config("policy.toml", &format!("{text}\n{enforce}\n{resolver}"))
            .unwrap();
    }

    /// Puts a file with this text in the place of the file of service tags, as who downloads it does.
    fn tags(&self, text: &str) -> PathBuf {
        let new = self.lab.write_config("tags.json.new", text).unwrap();
        let path = new.with_file_name("tags.json");
        fs::rename(new, &path).unwrap();
        path
    }

    fn start(&self) -> Daemon {
        Daemon::start(&self.lab, Path::new("policy.toml"))
    }

    /// A daemon to which the mode of a file matters, as to the service: root alone may read everything.
    fn start_without_override(&self) -> Daemon {
        let own = Daemon::command(&self.lab, Path::new("policy.toml")).unwrap();
        let mut command = self.lab.client_command("setpriv").unwrap();
        command
            .args([
                "--bounding-set=-dac_override,-dac_read_search",
                "--inh-caps=-all",
                "--",
            ])
            .arg(own.get_program())
            .args(own.get_args())
            .arg("--temporary")
            .envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut daemon = Daemon::spawn(command).unwrap();
        daemon.wait_for("enforcing on");
        daemon
    }

    /// Which of the two addresses of the tests below are reached.
    fn reached(&self) -> [bool; 2] {
        [CONTOSO, FABRIKAM].map(|address| self.connects(address))
    }

    /// One connect of a process in the cgroup; whether it worked.
    fn connects(&self, address: &str) -> bool {
        let mut command = self.lab.client_command(probe_program().unwrap()).unwrap();
        let address = SocketAddr::new(world::address(address), 443);
        command.args(["tcp", &address.to_string()]);
        self.cgroup.hold(&mut command).unwrap();
        let outcome = run_for(command, LIMIT).unwrap();
        assert!(outcome.took < Duration::from_secs(4), "it hung: {outcome}");
        outcome.success()
    }
}

/// A file with a tag that has these addresses, and another one.
fn text(change_number: u64, addresses: &[&str]) -> String {
    let tag = |name: &str, addresses: &[&str]| ExpectedTag {
        name: name.to_owned(),
        prefixes: addresses
            .iter()
            .map(|address| world::address(address).into())
            .collect(),
    };
    let tags = [
        tag("Other", &["192.0.2.254"]),
        tag("AzureContainerRegistry.AustraliaEast", addresses),
    ];
    text_of(&tags, change_number)
}

const CONTOSO: &str = world::CONTOSO_ADDRESSES[0];
const FABRIKAM: &str = world::FABRIKAM_ADDRESSES[0];
const IPV6: &str = world::CONTOSO_ADDRESSES[2];

const BY_TAG: &str =
    "[[allow]]\nservice_tag = \"azurecontainerregistry.australiaeast\"\nfile = \"tags.json\"\n";

#[test]
fn a_file_of_service_tags_is_followed_and_a_broken_one_is_not() {
    let host = Host::new();
    let tags = host.tags(&text(352, &[CONTOSO]));
    host.policy(BY_TAG);
    let mut daemon = host.start();
    assert_eq!(
        daemon.told("tags.json: change number 352, cloud Public, 2 tags"),
        1
    );
    assert_eq!(
        daemon.told("every registry behind the service tag"),
        1,
        "its caution"
    );
    assert!(host.connects(CONTOSO) && !host.connects(FABRIKAM) && !host.connects(IPV6));

    // The configuration is being edited meanwhile, and is not what is applied.
    host.lab
        .write_config("policy.toml", "[[allow]]\nname = \"a.exam")
        .unwrap();
    host.tags(&text(353, &[CONTOSO, FABRIKAM, IPV6]));
    daemon.wait_for("tags.json` changed: it is applied");
    daemon.wait_for("change number 353");
    daemon.wait_for("2 added, 0 removed");
    assert!(host.connects(CONTOSO) && host.connects(FABRIKAM) && host.connects(IPV6));

    host.tags(&text(354, &[CONTOSO]).replace("/32", "/33"));
    daemon.wait_for("tags.json` changed and can not be used");
    let problem = daemon.wait_for("values[1].properties.addressPrefixes[0]");
    assert!(problem["message"].to_string().contains("tags.json:"), "{problem}");
    assert!(host.connects(CONTOSO) && host.connects(FABRIKAM));
    fs::remove_file(&tags).unwrap();
    daemon.wait_for("there is no such file");
    assert!(host.connects(CONTOSO) && host.connects(FABRIKAM));

    host.tags(&text(355, &[FABRIKAM]));
    daemon.wait_for("0 added, 2 removed");
    assert!(!host.connects(CONTOSO) && host.connects(FABRIKAM) && !host.connects(IPV6));
    daemon.stop();
}

#[test]
fn a_file_of_service_tags_is_followed_however_it_is_changed() {
    const APPLIED: &str = "tags.json` changed: it is applied";
    const NOT_USED: &str = "tags.json` changed and can not be used";
    let host = Host::new();
    let path = host.tags(&text(1, &[CONTOSO]));
    host.policy(BY_TAG);
    let mut daemon = host.start_without_override();
    assert_eq!(host.reached(), [true, false]);

    // Written in place, at once.
    fs::write(&path, text(2, &[FABRIKAM])).unwrap();
    daemon.wait_for(APPLIED);
    daemon.wait_for("1 added, 1 removed");
    assert_eq!(host.reached(), [false, true]);

    // Written in place, with a pause in the middle.
    let new = text(3, &[CONTOSO, FABRIKAM]);
    let (begin, rest) = new.split_at(new.len() / 2);
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(begin.as_bytes()).unwrap();
    daemon.wait_for(NOT_USED);
    daemon.wait_for("the text ends too early");
    assert_eq!(host.reached(), [false, true]);
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    daemon.wait_for(APPLIED);
    daemon.wait_for("1 added, 0 removed");
    assert_eq!(host.reached(), [true, true]);

    // A link in its place, and another link in the place of that.
    let link = |version: &str, addresses: &[&str]| {
        let target = host.lab.write_config(version, &text(4, addresses)).unwrap();
        let new = path.with_file_name("tags.link");
        symlink(&target, &new).unwrap();
        fs::rename(new, &path).unwrap();
        target
    };
    link("version-4.json", &[CONTOSO]);
    daemon.wait_for(APPLIED);
    daemon.wait_for("0 added, 1 removed");
    assert_eq!(host.reached(), [true, false]);
    let target = link("version-5.json", &[FABRIKAM]);
    daemon.wait_for(APPLIED);
    daemon.wait_for("1 added, 1 removed");
    assert_eq!(host.reached(), [false, true]);

    // Not to be read any more, and then again.
    let mode = |mode| fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
    mode(0);
    daemon.wait_for(NOT_USED);
    daemon.wait_for("permission denied");
    assert_eq!(host.reached(), [false, true]);
    mode(0o644);
    daemon.wait_for(APPLIED);
    assert_eq!(host.reached(), [false, true]);

    // Something else in its place.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    daemon.wait_for("it is a directory");
    fs::remove_dir(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    daemon.wait_for("it is no regular file");
    assert_eq!(host.reached(), [false, true]);
    host.tags(&text(6, &[CONTOSO]));
    daemon.wait_for(APPLIED);
    daemon.wait_for("1 added, 1 removed");
    assert_eq!(host.reached(), [true, false]);
    daemon.stop();
}

#[test]
fn an_answer_outside_of_its_service_tag_is_refused_and_told() {
    let host = Host::new();
    let contoso = world::CONTOSO_ADDRESSES[0];
    let data = world::CONTOSO_DATA_ADDRESSES[0];
    let tags = [&world::CONTOSO_ADDRESSES[..], &world::BARE_ADDRESSES[..]].concat();
    host.tags(&text(352, &tags));
    let policy = world::CONTOSO_POLICY.replacen(
        "[[registry]]\n",
        "[[registry]]\nsanity_tag = \"AzureContainerRegistry.AustraliaEast\"\nfile = \"tags.json\"\n",
        1,
    );
    assert_ne!(policy, world::CONTOSO_POLICY);
    host.policy(&policy);
    let mut daemon = host.start();
    assert!(host.connects(contoso));
    assert!(!host.connects(data), "its data endpoint leads out of the tag");
    let refused =
        format!("was answered with {data}, which is refused: outside of its service tag (sanity_tag)");
    let denial = daemon.wait_for("denied: probe (pid ");
    assert_eq!(daemon.told(&refused), 1);
    assert!(
        denial["message"]
            .to_string()
            .contains("refused (outside of its service tag"),
        "{denial}"
    );
    // The service grows, and the answer is sane.
    host.tags(&text(
        353,
        &[&tags[..], &world::CONTOSO_DATA_ADDRESSES[..]].concat(),
    ));
    daemon.wait_for("tags.json` changed: it is applied");
    daemon.wait_for("policy generation");
    assert!(host.connects(contoso) && host.connects(data));
    // It breaks, and goes on being the bound that it was.
    host.tags("[]");
    daemon.wait_for("tags.json` changed and can not be used");
    daemon.wait_for("the file is not one JSON object");
    assert!(host.connects(contoso) && host.connects(data));
    daemon.stop();
}

#[test]
fn a_file_of_the_full_size_is_enforced() {
    let host = Host::new();
    let generated = generate_with(100_000, 5);
    host.tags(&generated.text);
    host.policy(&format!(
        "[[allow]]\nservice_tag = \"{EVERYTHING}\"\nfile = \"tags.json\"\naccept_exfiltration_risk = \"size\"\n"
    ));
    let mut daemon = host.start();
    assert!(!host.connects(world::CONTOSO_ADDRESSES[0]));
    // The lab's own addresses come into the tag.
    let mut tags = generated.tags;
    let all = tags.last_mut().expect("there is a tag");
    all.prefixes
        .push(world::address(world::CONTOSO_ADDRESSES[0]).into());
    host.tags(&text_of(&tags, 353));
    daemon.wait_for("1 added, 0 removed");
    assert!(host.connects(world::CONTOSO_ADDRESSES[0]));
    daemon.stop();
}
