//! Files that are not what they should be: the configuration, and what the enforcer saved.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use enforcer_lab::daemon::{Daemon, wait_until};
use enforcer_lab::load;
use enforcer_lab::nameserver::Fault;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::stage::{JUDGES, Stage};
use crate::{Shared, Sizes};

/// More single addresses than the kernel's table of IPv6 has room for, and few enough for a file.
const TOO_MANY: u32 = 33_000;

/// Garbage of every kind, again and again, and a good file at the end.
pub(crate) fn reload(sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut dice = fastrand::Rng::with_seed(sizes.seed);
    let mut daemon = stage.start();
    stage.load();
    for number in 1..=sizes.reloads {
        let mut noise = vec![0; dice.usize(1..4000)];
        dice.fill(&mut noise);
        let good = load::RULES;
        match number % 7 {
            0 => stage.write_bytes(&noise),
            1 => stage.write_bytes(&good.as_bytes()[..dice.usize(20..good.len() - 4)]),
            2 => stage.write_bytes(b"[[registry]]\nlogin_servr = \"contoso.azurecr.io\"\n"),
            3 => stage.write_bytes(b""),
            4 => stage.write_bytes(good.replace("enforce", "enfroce").as_bytes()),
            5 => stage.write_pipe(),
            _ => fs::remove_file(stage.config()).unwrap(),
        }
        daemon.reload();
        daemon.wait_for("the policy from before stays in force");
        stage.count(|line| line.reloads += 1);
        if number % 7 == 2 {
            daemon.wait_for("policy.toml:2:1: error: ");
        }
        if number % 10 == 0 {
            stage.advance();
        }
    }
    // One that starts with a broken file goes on with the last good one, and says so.
    stage.write_bytes(b"[[registry]]\nlogin_servr = \"contoso.azurecr.io\"\n");
    stage.kill(&mut daemon);
    let mut daemon = stage.begin();
    daemon.wait_for("policy.toml:2:1: error: ");
    daemon.wait_for("the configuration that was in force last is enforced instead");
    daemon.wait_for(JUDGES);
    stage.advance();
    stage.policy(load::RULES, "");
    daemon.reload();
    daemon.wait_for(JUDGES);
    stage.follows(&mut daemon);
    stage.finish();
}

/// Where the state can not be written: everything else goes on, and it is told.
pub(crate) fn state(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.follows(&mut daemon);
    stage.load();
    let read_only = "mount --bind \"$STATE_DIRECTORY\" \"$STATE_DIRECTORY\" && \
                     mount -o remount,ro,bind \"$STATE_DIRECTORY\" && exec \"$@\"";
    // What was saved before is there; nothing more fits.
    let full = "old=$(mktemp -d) && cp -a \"$STATE_DIRECTORY/.\" \"$old\" && \
                mount -t tmpfs -o size=64k none \"$STATE_DIRECTORY\" && \
                cp -a \"$old/.\" \"$STATE_DIRECTORY\" && rm -r \"$old\" && \
                { head -c 1M /dev/zero > \"$STATE_DIRECTORY/filler\" || :; } 2>/dev/null && exec \"$@\"";
    for script in [read_only, full] {
        for _ in 0..2 {
            stage.kill(&mut daemon);
            daemon = stage.start_behind(script);
            daemon.wait_for(JUDGES);
            stage.advance();
            stage.follows(&mut daemon);
            wait_until("a word about the disk", || daemon.told("can not be saved") > 0);
            stage.advance();
        }
    }
    stage.restart(&mut daemon);
    stage.follows(&mut daemon);
    stage.finish();
}

/// Each file of the state damaged in each way, with nobody to ask: the other copy is enough. With both damaged nothing
/// leaks.
pub(crate) fn corrupt(sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut dice = fastrand::Rng::with_seed(sizes.seed);
    let mut daemon = stage.start();
    stage.follows(&mut daemon);
    stage.load();
    stage
        .upstream
        .script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
    for folder in [stage.state(), stage.runtime()] {
        for damage in DAMAGES {
            // In both: what was damaged last is written anew beside the daemon, and a kill before that takes the other copy
            // with it, so that there is none.
            wait_until("saved answers", || {
                let has_answers = |folder: &Path| files(folder).iter().any(|file| file.ends_with("answers"));
                has_answers(&stage.state()) && has_answers(&stage.runtime())
            });
            stage.kill(&mut daemon);
            let whole: Vec<_> = files(&folder)
                .into_iter()
                .map(|file| (fs::read(&file).unwrap(), file))
                .collect();
            for (bytes, file) in &whole {
                damage(file, bytes, &mut dice);
            }
            daemon = stage.start();
            stage.advance();
            for (_, file) in whole.iter().filter(|(_, file)| file.is_dir()) {
                fs::remove_dir(file).unwrap();
            }
        }
    }
    stage.upstream.script(|zone| zone.fault_everywhere(None));
    stage.follows(&mut daemon);
    stage.finish();

    stage
        .upstream
        .script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
    stage.kill(&mut daemon);
    for folder in [stage.state(), stage.runtime()] {
        for file in files(&folder) {
            let bytes = fs::read(&file).unwrap();
            flip(&file, &bytes, &mut dice);
        }
    }
    let mut daemon = stage.start();
    for address in load::FOREIGN {
        assert!(!stage.connects(address), "{address}");
    }
    stage.upstream.script(|zone| zone.fault_everywhere(None));
    wait_until("the answers", || {
        stage.connects(load::NAMED[0]) && stage.connects(load::NAMED[1])
    });
    stage.follows(&mut daemon);
}

/// More than the kernel's tables hold: nothing of it comes into force.
pub(crate) fn large(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    let mut rules = format!("{}\n[[allow]]\nprefix = [\n", load::RULES);
    for number in 0..TOO_MANY {
        // Never two in a row, which would be one span.
        let (high, low) = (number >> 8, (number & 0xff) * 2);
        writeln!(rules, "\"2001:db8::{high:x}:{low:x}/128\",").unwrap();
    }
    rules.push_str("]\n");
    stage.policy(&rules, "");
    daemon.reload();
    daemon.wait_for("the policy from before stays in force");
    stage.count(|line| line.reloads += 1);
    stage.advance();
    assert!(stage.connects(load::NAMED[0]) && !stage.connects(load::FOREIGN[0]));
    // One that starts goes on with the last good one.
    stage.kill(&mut daemon);
    let mut daemon = stage.begin();
    daemon.wait_for("the configuration that was in force last is enforced instead");
    daemon.wait_for(JUDGES);
    stage.advance();
    stage.policy(load::RULES, "");
    daemon.reload();
    daemon.wait_for(JUDGES);
    stage.follows(&mut daemon);
    stage.finish();
}

type Damage = fn(&Path, &[u8], &mut fastrand::Rng);

const DAMAGES: [Damage; 6] = [empty, cut, flip, noise, folder, gone];

fn empty(file: &Path, _bytes: &[u8], _dice: &mut fastrand::Rng) {
    fs::write(file, "").unwrap();
}

fn cut(file: &Path, bytes: &[u8], dice: &mut fastrand::Rng) {
    fs::write(file, &bytes[..dice.usize(..bytes.len().max(1))]).unwrap();
}

fn flip(file: &Path, bytes: &[u8], dice: &mut fastrand::Rng) {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = dice.choice(bytes.iter_mut()) {
        *byte ^= 1 << dice.u8(..8);
    }
    fs::write(file, bytes).unwrap();
}

fn noise(file: &Path, _bytes: &[u8], dice: &mut fastrand::Rng) {
    let bytes: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(100_000).collect();
    fs::write(file, bytes).unwrap();
}

fn folder(file: &Path, _bytes: &[u8], _dice: &mut fastrand::Rng) {
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
}

fn gone(file: &Path, _bytes: &[u8], _dice: &mut fastrand::Rng) {
    fs::remove_file(file).unwrap();
}

/// The files in a folder and below, without sockets and what tells of a process alone.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() && path.file_name().is_some_and(|name| name != "pid") {
            found.push(path);
        }
    }
    found
}

impl Stage {
    fn write_bytes(&self, bytes: &[u8]) {
        let new = self.lab.folder().join("policy.toml.new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.config()).unwrap();
    }

    /// Puts a pipe in the place of the configuration, into which nobody writes.
    fn write_pipe(&self) {
        fs::remove_file(self.config()).unwrap();
        mknodat(CWD, self.config(), FileType::Fifo, Mode::RUSR, 0).unwrap();
    }

    /// Starts a daemon behind a script, in whose mounts it lives.
    fn start_behind(&self, script: &str) -> Daemon {
        let own = self.command();
        let mut command = self.lab.client_command("sh").unwrap();
        command
            .args(["-c", script, "sh"])
            .arg(own.get_program())
            .args(own.get_args());
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Daemon::spawn(command).unwrap()
    }
}
