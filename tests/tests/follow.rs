//! Answers on their way to the kernel: each is kept before it is granted, and a storm of them is only more of the same.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use enforcer::daemon::measure::AnswerPath;
use enforcer::names::ServerName;
use enforcer::state::{Folders, Moment, answers};
use tempfile::TempDir;

/// What a process may grow by: its allocator's slack. A storm that is kept would be many times as much.
const GROWTH_MAX_KIB: u64 = 16 << 10;

fn name(number: u32) -> ServerName {
    ServerName::parse(&format!("n{number}.example.com")).unwrap()
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0xc633_0000 + number).into()
}

/// A policy with so many names, and each of its addresses.
fn open(names: u32, outer: &Path) -> (AnswerPath, Folders) {
    let mut text = "[resolver]\nservers = [\"127.0.0.1:9\"]\naddresses_max = 2\n".to_owned();
    for number in 0..names {
        text += &format!("[[allow]]\nname = \"{}\"\n", name(number));
    }
    let config = outer.join("enforcer.toml");
    fs::write(&config, text).unwrap();
    let folders = Folders {
        state: outer.join("state"),
        runtime: outer.join("runtime"),
    };
    let known = (0..names).map(|number| (name(number), vec![address(number)]));
    let path = AnswerPath::open(&config, &folders, known)
        .unwrap_or_else(|error| panic!("{error:#} (this needs root, and BPF in the kernel)"));
    (path, folders)
}

/// What a restart would start from of one name.
fn found(folders: &Folders, name: &ServerName) -> Vec<IpAddr> {
    let loaded = answers::load(folders, &Moment::now());
    assert_eq!(loaded.defects, []);
    let answers = loaded.answers();
    let known = answers.names.iter().find(|known| known.name == *name).unwrap();
    known.v4.addresses.iter().map(|saved| saved.address).collect()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_is_granted_would_be_found_by_a_restart() {
    let outer = TempDir::new().unwrap();
    let (mut path, folders) = open(3, outer.path());
    let mut generation = path.generation();
    let whole = fs::read(folders.runtime.join("answers")).unwrap();
    for round in 0..50 {
        let (name, address) = (name(round % 3), address(100 + round));
        path.bring(&name, &[address]).unwrap();
        assert!(path.generation() > generation, "it is in force");
        generation = path.generation();
        assert!(found(&folders, &name).contains(&address));
    }
    assert_eq!(
        fs::read(folders.runtime.join("answers")).unwrap(),
        whole,
        "a change of one name writes that name"
    );
}

#[test]
fn a_storm_of_changes_comes_into_force_and_grows_nothing() {
    const NAMES: u32 = 50;
    const ROUNDS: u32 = 1000;
    let outer = TempDir::new().unwrap();
    let (mut path, folders) = open(NAMES, outer.path());
    let mut storm = |rounds: std::ops::Range<u32>| {
        let changes: Vec<_> = rounds
            .flat_map(|round| {
                (0..NAMES).map(move |number| (name(number), vec![address(round * NAMES + number)]))
            })
            .collect();
        path.bring_all(&changes).unwrap();
    };
    // Until every name holds as many retired addresses as it may.
    storm(1..100);
    let before = resident_kib();
    storm(100..ROUNDS);
    let growth = resident_kib().saturating_sub(before);
    assert!(growth <= GROWTH_MAX_KIB, "{growth} KiB more");
    for number in 0..NAMES {
        assert!(found(&folders, &name(number)).contains(&address((ROUNDS - 1) * NAMES + number)));
    }
    for file in ["answers", "journal"] {
        let length = fs::metadata(folders.runtime.join(file)).unwrap().len();
        assert!(length <= 2 << 20, "{file} has {length} bytes");
    }
}
