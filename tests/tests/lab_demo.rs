//! The demo as a person runs it: all goes as it should, and Ctrl-C in the middle leaves nothing. Needs root.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use enforcer_lab::run_for;
use rustix::process::{Pid, Signal, kill_process};

/// Several times what it takes: programs are verified by the kernel for every case.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn everything_goes_as_it_should() {
    let outcome = run_for(Command::new(env!("CARGO_BIN_EXE_demo")), LIMIT).unwrap();
    let text = outcome.to_string();
    assert!(outcome.success(), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a pipe: {text}");
    let denied = outcome
        .stdout
        .lines()
        .filter(|line| line.trim_start().starts_with("enforced    denied"));
    assert_eq!(denied.count(), 8, "{text}");
}

#[test]
fn an_interrupt_in_the_middle_leaves_nothing() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the demo starts");
    let pid = demo.id();
    let lines = BufReader::new(demo.stdout.take().expect("it is piped")).lines();
    // The enforcer of the second case starts behind this line.
    let second = lines.map_while(Result::ok).find(|line| line.starts_with("2."));
    assert!(second.is_some(), "the demo ended before its second case");
    assert!(!left_by(pid).is_empty(), "the lab stands");
    kill_process(Pid::from_child(&demo), Signal::INT).expect("it runs");
    assert_eq!(demo.wait().expect("it ends").code(), Some(130));
    assert_eq!(left_by(pid), Vec::<PathBuf>::new());
}

/// Namespaces, cgroups and folders that the lab of process `pid` has made.
fn left_by(pid: u32) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let cgroups = mounts
        .lines()
        .find(|line| line.contains(" cgroup2 "))
        .and_then(|line| line.split(' ').nth(1));
    let folders = [
        Path::new("/run/netns"),
        &std::env::temp_dir(),
        Path::new(cgroups.expect("cgroup v2 is mounted")),
    ]
    .map(Path::to_path_buf);
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("enf-{pid}-"))
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(ours)
        .collect()
}
