//! The unit, as systemd's own analysis reads it. Needs no root and no systemd that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use enforcer_lab::{enforcer_program, run_for};
use std::time::Duration;

const UNIT: &str = include_str!("../../../config/systemd/enforcer.service");
const CONTAINERS: &str = include_str!("../../../config/systemd/containers.conf");

/// Exposure, in tenths, above which systemd-analyze fails: 3.0 for the unit; what entering containers costs on top.
const THRESHOLD: u32 = 30;
const THRESHOLD_CONTAINERS: u32 = 32;

/// Settings that are newer than the systemd 252 of Debian 12, which would ignore them with a warning.
const TOO_NEW: [&str; 8] = [
    "RestartSteps=",
    "RestartMaxDelaySec=",
    "RestartMode=",
    "MemoryPressure",
    "PrivatePIDs=",
    "ProtectControlGroups=strict",
    "PrivateBPF=",
    "notify-reload",
];

/// The unit in a folder of its own, with the program that was built here and, if asked for, the drop-in.
fn staged(with_drop_in: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("enforcer.service");
    // systemd-analyze looks whether the program is there.
    let program = enforcer_program().unwrap();
    let text = UNIT.replace("/usr/bin/enforcer", program.to_str().unwrap());
    assert_ne!(text, UNIT);
    fs::write(&unit, text).unwrap();
    if with_drop_in {
        let drop_ins = folder.path().join("enforcer.service.d");
        fs::create_dir(&drop_ins).unwrap();
        fs::write(drop_ins.join("containers.conf"), CONTAINERS).unwrap();
    }
    (folder, unit)
}

/// Runs `systemd-analyze`, which must find nothing to complain about; what it printed.
fn analyze(arguments: &[&str], unit: &Path) -> String {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit);
    let outcome = run_for(command, Duration::from_secs(60))
        .expect("systemd-analyze is missing: `cargo xtask setup` installs the package systemd");
    assert!(outcome.success(), "{outcome}");
    assert_eq!(outcome.stderr.trim(), "", "{outcome}");
    outcome.stdout
}

fn exposure(unit: &Path, threshold: u32) -> String {
    let threshold = format!("--threshold={threshold}");
    analyze(&["security", "--offline=true", "--no-pager", &threshold], unit)
}

#[test]
fn systemd_understands_every_line() {
    for with_drop_in in [false, true] {
        let (_folder, unit) = staged(with_drop_in);
        analyze(&["verify", "--man=no"], &unit);
    }
    for setting in TOO_NEW {
        assert!(!UNIT.contains(setting), "{setting}");
    }
}

#[test]
fn the_unit_exposes_little() {
    let (_folder, unit) = staged(false);
    exposure(&unit, THRESHOLD);
    let (_folder, unit) = staged(true);
    let table = exposure(&unit, THRESHOLD_CONTAINERS);
    for granted in [
        "✗ CapabilityBoundingSet=~CAP_SYS_ADMIN",
        "✗ CapabilityBoundingSet=~CAP_SYS_PTRACE",
        "✗ RestrictNamespaces=~net ",
    ] {
        assert!(table.contains(granted), "the drop-in does not give it: {granted}");
    }
}

#[test]
fn a_threshold_can_be_missed() {
    let (_folder, unit) = staged(false);
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager", "--threshold=10"])
        .arg(&unit);
    let outcome = run_for(command, Duration::from_secs(60)).unwrap();
    assert!(!outcome.success(), "systemd-analyze ignores the threshold");
}

#[test]
fn it_runs_the_daemon_and_never_gives_up() {
    for line in [
        "ExecStart=/usr/bin/enforcer run --config /etc/enforcer/enforcer.toml",
        "Type=notify",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "WatchdogSec=30s",
        "RuntimeDirectoryPreserve=yes",
        "CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_PERFMON",
    ] {
        assert!(UNIT.lines().any(|found| found == line), "{line}");
    }
    let before = UNIT.lines().find(|line| line.starts_with("Before=")).unwrap();
    assert!(before.contains("network-pre.target"), "{before}");
    assert!(
        !UNIT.lines().any(|line| line.starts_with("Condition")),
        "a condition that is not met skips the service in silence"
    );
}
