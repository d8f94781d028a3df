//! The manual pages, as groff reads them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use enforcer_lab::{enforcer_program, run_for};

#[test]
fn every_page_is_read_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(enforcer_program().unwrap());
    command.args(["man", "--out"]).arg(folder.path());
    run_for(command, Duration::from_secs(60))
        .unwrap()
        .expect_success("enforcer man");
    let mut pages: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.sort();
    assert!(pages.len() >= 7, "{pages:?}");
    for page in pages {
        let mut command = Command::new("groff");
        command.args(["-man", "-ww", "-Tutf8", "-z"]).arg(&page);
        let outcome = run_for(command, Duration::from_secs(60))
            .expect("groff is missing: `cargo xtask setup` installs it");
        assert!(outcome.success(), "{}: {outcome}", page.display());
        assert_eq!(outcome.stderr.trim(), "", "{}", page.display());
    }
}
