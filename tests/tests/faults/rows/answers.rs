//! What the enforcer knows of names: when nobody answers, when the clock is wrong, when the machine has just booted.

use std::fs;
use std::path::PathBuf;

use enforcer_lab::daemon::{Daemon, wait_until};
use enforcer_lab::load;
use enforcer_lab::nameserver::{Fault, Garbage, NameServer, bind};
use rustix::process::Signal;

use crate::stage::{JUDGES, Stage};
use crate::{Shared, Sizes};

/// Ten years either way, and back.
const JUMPS: [&str; 4] = ["+3650d", "+0d", "-3650d", "+0d"];

/// Each way not to answer, for several questions, and across a restart.
pub(crate) fn resolver(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.follows(&mut daemon);
    stage.load();
    for fault in [
        Fault::ServFail,
        Fault::Refused,
        Fault::NxDomain,
        Fault::NoData,
        Fault::Silence,
    ] {
        stage.upstream.script(|zone| zone.fault_everywhere(Some(fault)));
        stage.asked_again();
        stage.advance();
        stage.restart(&mut daemon);
        stage.asked_again();
        stage.advance();
        assert!(
            stage.connects(load::NAMED[0]) && stage.connects(load::NAMED[1]),
            "{fault:?}"
        );
        stage.upstream.script(|zone| zone.fault_everywhere(None));
        stage.follows(&mut daemon);
    }
    // Nobody at all, then somebody who answers with nonsense.
    let address = stage.upstream.address();
    stage.upstream = NameServer::start(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    stage.advance();
    stage.restart(&mut daemon);
    stage.advance();
    let garbage = {
        let sockets = stage.lab.server().run(|| bind(address)).unwrap().unwrap();
        Garbage::with_sockets(sockets).unwrap()
    };
    for _ in 0..2 {
        let before = garbage.answered();
        wait_until("nonsense", || garbage.answered() > before + 4);
        stage.advance();
        stage.restart(&mut daemon);
        stage.advance();
    }
    drop(garbage);
    stage.upstream = stage.lab.second_name_server().unwrap();
    stage
        .upstream
        .script(|zone| zone.addresses(load::NAME, 1, &load::NAMED));
    stage.follows(&mut daemon);
    stage.finish();
}

/// The daemon lives through jumps, and starts at a wrong time.
pub(crate) fn clock(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let time = stage.lab.write_config("clock", JUMPS[1]).unwrap();
    let start = |stage: &Stage| {
        let mut command = stage.command();
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", &time)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut daemon = Daemon::spawn(command).unwrap();
        let judges = daemon.wait_for(JUDGES);
        (daemon, year(&judges))
    };
    let (mut daemon, today) = start(&stage);
    stage.load();
    for jump in JUMPS {
        fs::write(&time, jump).unwrap();
        stage.asked_again();
        let years = match jump.as_bytes()[0] {
            _ if jump == "+0d" => 0,
            b'+' => 10,
            _ => -10,
        };
        let (_, told) = stage.follows(&mut daemon);
        // Shown by the log: the jump has reached the daemon.
        assert!((year(&told) - today - years).abs() <= 1, "{jump}: {told}");
        stage.advance();
        stage.kill(&mut daemon);
        (daemon, _) = start(&stage);
        stage.advance();
    }
    stage.finish();
}

/// Neither pins nor what was kept for the time between boots, and nobody to ask: what was saved is enough. After a shutdown
/// in order that is what was known last, after a crash what was known a while ago.
pub(crate) fn boot(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.follows(&mut daemon);
    for in_order in [true, false] {
        let (new, _) = stage.follows(&mut daemon);
        if in_order {
            daemon.signal(Signal::TERM);
            daemon.wait();
        } else {
            wait_until("a saved answer", || stage.has_saved(new));
            stage.kill(&mut daemon);
        }
        stage.reboot();
        stage
            .upstream
            .script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
        daemon = stage.start();
        assert!(stage.connects(new), "{new} was saved");
        stage.load();
        stage.asked_again();
        stage.advance();
        stage.upstream.script(|zone| zone.fault_everywhere(None));
        stage.follows(&mut daemon);
        stage.finish();
    }
}

/// Nothing was saved: what has a name is denied until somebody answers.
pub(crate) fn first_boot(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    stage
        .upstream
        .script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
    let mut daemon = stage.start();
    assert!(daemon.told("no saved answers") > 0, "{:#?}", daemon.seen);
    for address in [load::NAMED, load::FOREIGN].concat() {
        assert!(!stage.connects(address), "{address}");
    }
    for address in load::PLAIN {
        assert!(stage.connects(address), "{address}");
    }
    stage.upstream.script(|zone| zone.fault_everywhere(None));
    stage.follows(&mut daemon);
    stage.load();
    stage.finish();
}

impl Stage {
    /// What a boot leaves of an instance.
    fn reboot(&self) {
        for folder in [self.instance.pins(), self.runtime()] {
            fs::remove_dir_all(folder).unwrap();
        }
        fs::create_dir(self.runtime()).unwrap();
        assert!(
            self.connects(load::FOREIGN[0]),
            "nothing is enforced before it starts"
        );
    }

    /// Whether an address is in the answers that are kept over a reboot.
    fn has_saved(&self, address: &str) -> bool {
        let file = self.state().join(self.instance.name()).join("answers");
        fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(address))
    }
}

/// The library that gives a program another time.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    folders
        .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .expect("`cargo xtask setup` installs faketime")
}

/// The year in which a line of the log was written.
fn year(line: &serde_json::Value) -> i64 {
    let time = line["timestamp"].as_str().expect("a line has its time");
    time[..4].parse().expect("a time begins with a year")
}
