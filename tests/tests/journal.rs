//! What the daemon tells the journal of systemd, read from a socket in the journal's place: every field, in the journal's
//! own protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>). Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use enforcer_lab::daemon::{Daemon, LIMIT};
use enforcer_lab::mounts::{mount_tiny, with_own_mounts};
use enforcer_lab::{Cgroup, Lab, enforcer_program, probe_program, run_for, world};

const DENIAL: &str = "08dfaf0c5ebb44228dc7a90dfc0a2ed1";
const RELOAD: &str = "68127fe34a9a4a44a98dfccb0bc5b305";
const ENFORCING: &str = "3a2c996588854babbce1c2f90325bd9a";

/// More than a message has.
const BYTES_MAX: usize = 64 << 10;

type Fields = BTreeMap<String, String>;

/// The fields of a datagram: `NAME=value` for a value of one line, or the name, the length of the value as 64 bits in
/// little-endian order, and the value, with a line feed behind each.
fn fields(mut bytes: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("a line has an end");
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
                let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
                let (value, rest) = rest.split_at(length);
                bytes = rest.strip_prefix(b"\n").expect("a line feed behind the value");
                (line, String::from_utf8(value.to_vec()).unwrap())
            }
        };
        let is_valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(
            name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_valid),
            "the journal drops the field {name}"
        );
        assert!(
            fields.insert(name.to_owned(), value).is_none(),
            "{name} is there twice"
        );
    }
    fields
}

/// The socket in the journal's place.
struct Journal(UnixDatagram);

impl Journal {
    /// Only with mounts of one's own: nothing else of `/run` is there any more.
    fn new() -> Self {
        mount_tiny(Path::new("/run"), 1024).unwrap();
        fs::create_dir_all("/run/systemd/journal").unwrap();
        let socket = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    /// The next message of a kind.
    #[track_caller]
    fn next(&self, kind: &str) -> Fields {
        let mut buffer = vec![0; BYTES_MAX];
        let mut others = Vec::new();
        loop {
            let Ok(length) = self.0.recv(&mut buffer) else {
                panic!("there is no message of the kind {kind} among {others:#?}");
            };
            let fields = fields(&buffer[..length]);
            if fields.get("MESSAGE_ID").map(String::as_str) == Some(kind) {
                return fields;
            }
            others.push(fields);
        }
    }
}

/// A daemon as systemd starts it: stderr is what `JOURNAL_STREAM` says.
fn as_a_service(lab: &Lab) -> Command {
    let mut command = lab.client_command("sh").unwrap();
    let start = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"";
    command.args(["-c", start, "sh"]).arg(enforcer_program().unwrap());
    command.args(["run", "--temporary", "--config", "policy.toml"]);
    command
}

fn write_policy(lab: &Lab, cgroup: &Cgroup, more: &str) {
    let text = format!(
        "{}\n{more}\n[enforce]\ncgroup = \"{}\"\n",
        world::CONTOSO_POLICY,
        cgroup.path().display()
    );
    lab.write_config("policy.toml", &text).unwrap();
}

#[test]
fn denials_and_reloads_have_their_fields_in_the_journal() {
    let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
    let cgroup = Cgroup::new("journal").expect("the test needs cgroup v2");
    write_policy(&lab, &cgroup, "");
    with_own_mounts(|| {
        let journal = Journal::new();
        let mut daemon = Daemon::spawn(as_a_service(&lab)).unwrap();
        let enforcing = journal.next(ENFORCING);
        assert_eq!(enforcing["ENFORCER_MODE"], "enforce");
        assert_eq!(
            (&*enforcing["PRIORITY"], &*enforcing["SYSLOG_IDENTIFIER"]),
            ("6", "enforcer")
        );

        let below = cgroup.path().join("cron.service");
        fs::create_dir_all(&below).unwrap();
        let mut command = lab.client_command("sh").unwrap();
        command.args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec \"$@\""]);
        command.arg(&below).arg(probe_program().unwrap());
        let address = SocketAddr::new(world::address(world::BARE_ADDRESSES[0]), 443).to_string();
        command.args(["tcp", &address]);
        cgroup.hold(&mut command).unwrap();
        run_for(command, LIMIT).unwrap();
        let denial = journal.next(DENIAL);
        for (field, value) in [
            ("PRIORITY", "4"),
            ("ENFORCER_VERDICT", "denied"),
            ("ENFORCER_REASON", "address-not-granted"),
            ("ENFORCER_DESTINATION", &*address),
            ("ENFORCER_PROTOCOL", "tcp"),
            ("ENFORCER_PROCESS", "probe"),
            ("ENFORCER_UNIT", "cron.service"),
            ("ENFORCER_HOOK", "connect"),
        ] {
            assert_eq!(
                denial.get(field).map(String::as_str),
                Some(value),
                "{field}: {denial:#?}"
            );
        }
        assert!(denial["ENFORCER_PID"].parse::<u32>().is_ok(), "{denial:#?}");
        assert!(
            !denial.contains_key("ENFORCER_CONTAINER"),
            "what is unknown is left out"
        );
        assert!(
            denial["MESSAGE"].starts_with("denied: probe (pid "),
            "{denial:#?}"
        );

        write_policy(&lab, &cgroup, "[[allow]]\nprefix = \"203.0.113.0/24\"\n");
        daemon.reload();
        let applied = journal.next(RELOAD);
        assert_eq!(
            (&*applied["ENFORCER_OUTCOME"], &*applied["PRIORITY"]),
            ("applied", "6")
        );
        write_policy(&lab, &cgroup, "[[allow]]\nprefx = \"203.0.113.0/24\"\n");
        daemon.reload();
        let refused = journal.next(RELOAD);
        assert_eq!(
            (&*refused["ENFORCER_OUTCOME"], &*refused["PRIORITY"]),
            ("refused", "3")
        );
        assert_eq!(refused["ENFORCER_CAUSE"], "the configuration has errors");
        assert_eq!(daemon.told(""), 0, "nothing of it is on stderr");
        daemon.kill();
        Ok(())
    })
    .unwrap();
}

#[test]
fn without_the_journal_everything_is_on_stderr() {
    let lab = Lab::start().expect("the lab needs root and `cargo xtask setup`");
    let cgroup = Cgroup::new("journal").expect("the test needs cgroup v2");
    write_policy(&lab, &cgroup, "");
    with_own_mounts(|| {
        drop(Journal::new());
        let mut daemon = Daemon::spawn(as_a_service(&lab)).unwrap();
        daemon.wait_for("INFO enforcing on /");
        daemon.kill();
        Ok(())
    })
    .unwrap();
}
