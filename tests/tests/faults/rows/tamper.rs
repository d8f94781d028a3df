//! Somebody with root takes away what enforces: it is noticed, told, and put back where the configuration says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use enforcer_lab::daemon::{LIMIT, wait_until};
use enforcer_lab::{load, run_for};

use crate::stage::Stage;
use crate::{Shared, Sizes};

/// Pins are removed: the links', those of maps and programs, and all at once. Nothing leaks, since the daemon lives.
pub(crate) fn pin(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    let pins = pins(stage.instance.pins().as_path());
    assert!(pins.len() > 5, "{pins:?}");
    let (links, others): (Vec<_>, Vec<_>) = pins
        .into_iter()
        .partition(|pin| pin.parent() == Some(stage.instance.pins().as_path()));
    for some in [&links[..1], &links[..], &others[..]] {
        for pin in some {
            fs::remove_file(pin).unwrap();
        }
        daemon.wait_for("the pin of `");
        wait_until("pins that are back", || some.iter().all(|pin| pin.exists()));
        stage.advance();
    }
    fs::remove_dir_all(stage.instance.pins()).unwrap();
    daemon.wait_for("the pin of `");
    wait_until("pins that are back", || {
        links.iter().chain(&others).all(|pin| pin.exists())
    });
    stage.advance();
    // What is back is as good as before: it outlives the daemon.
    stage.restart(&mut daemon);
    stage.follows(&mut daemon);

    stage.policy(load::RULES, "tamper = \"report\"\n");
    stage.restart(&mut daemon);
    // Not the authority: what is told only is gone with the daemon.
    let connect = stage.instance.pins().join("connect4");
    fs::remove_file(&connect).unwrap();
    daemon.wait_for("it is left as it is");
    stage.advance();
    assert!(!connect.exists(), "it was put back");
    stage.restart(&mut daemon);
    assert!(connect.exists(), "a start makes it anew");
    stage.advance();
    stage.finish();
}

/// Hooks are detached. With the authority left nothing leaks; without it everything does, until it is put back.
pub(crate) fn link(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    for hook in ["connect4", "connect6", "sendmsg4", "sendmsg6"] {
        stage.detach(hook);
    }
    daemon.wait_for("was detached");
    stage.advance();
    wait_until("an answer at once", || !stage.connects(load::FOREIGN[0]));
    stage.finish();

    stage.detach("egress");
    daemon.wait_for("the hook `egress` was detached");
    wait_until("a hook that is back", || stage.is_attached("egress"));
    stage.load();
    stage.advance();
    let leaked = stage.leaked();
    stage.advance();
    assert_eq!(stage.leaked(), leaked, "it leaks after the hook is back");
    stage.restart(&mut daemon);
    stage.advance();
    assert_eq!(stage.leaked(), leaked, "it leaks after the hook is back");
    stage.finish();
}

/// All pins of an instance.
fn pins(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pins(&path));
        } else {
            found.push(path);
        }
    }
    found
}

impl Stage {
    fn bpftool(&self, words: &[&str], hook: &str) -> String {
        let mut command = Command::new("bpftool");
        command.args(words).arg(self.instance.pins().join(hook));
        run_for(command, LIMIT).unwrap().expect_success("bpftool").stdout
    }

    fn detach(&self, hook: &str) {
        self.bpftool(&["link", "detach", "pinned"], hook);
    }

    fn is_attached(&self, hook: &str) -> bool {
        let link: serde_json::Value =
            serde_json::from_str(&self.bpftool(&["-j", "link", "show", "pinned"], hook))
                .expect("bpftool gives JSON");
        link["cgroup_id"].as_u64().is_some_and(|id| id != 0)
    }
}
