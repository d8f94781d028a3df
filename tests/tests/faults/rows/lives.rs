//! Daemons that end, in every way, and others in their place.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use enforcer_lab::caller::Caller;
use enforcer_lab::daemon::Daemon;
use enforcer_lab::nameserver::Fault;
use enforcer_lab::{Protocol, load, world};
use rustix::process::Signal;

use crate::stage::{GRANTS, JUDGES, Stage};
use crate::{Shared, Sizes};

/// After so many lives the load is looked at.
const LOOKS: u64 = 10;

/// How long a daemon takes until it judges, when another has been there before. One lives in the end.
fn start_time(stage: &Stage, daemon: &mut Daemon) -> Duration {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            stage.kill(daemon);
            let begin = Instant::now();
            *daemon = stage.start();
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Killed at any instant of its start and of its life. Each life has other answers to take in, so that also a policy
/// that is being published is left alone half-way.
pub(crate) fn killed(sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut dice = fastrand::Rng::with_seed(sizes.seed);
    let mut daemon = stage.start();
    stage.load();
    let life = start_time(&stage, &mut daemon).mul_f64(1.5);
    stage.kill(&mut daemon);
    for number in 1..=sizes.kills {
        stage.other_answer(number);
        let mut daemon = stage.begin();
        std::thread::sleep(life.mul_f64(dice.f64()));
        if dice.u8(..4) == 0 {
            daemon.reload();
        }
        stage.kill(&mut daemon);
        if number % LOOKS == 0 {
            let mut daemon = stage.start();
            stage.advance();
            daemon.kill();
        }
    }
    let mut daemon = stage.start();
    // Killed as soon as an address is granted, and nobody is there to ask for it again: it stays granted.
    for _ in 0..3 {
        let (new, _) = stage.follows(&mut daemon);
        stage.kill(&mut daemon);
        stage
            .upstream
            .script(|zone| zone.fault_everywhere(Some(Fault::Silence)));
        daemon = stage.start();
        assert!(stage.connects(new), "{new} is no longer granted");
        stage.upstream.script(|zone| zone.fault_everywhere(None));
    }
    stage.follows(&mut daemon);
    stage.advance();
    stage.finish();
}

/// It ends in order, and what it enforced stays.
pub(crate) fn stopped(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    for signal in [Signal::TERM, Signal::INT] {
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0), "{:#?}", daemon.seen);
        daemon.wait_for("stays in force");
        stage.advance();
        assert!(!stage.connects(load::FOREIGN[0]) && stage.connects(load::PLAIN[0]));
        daemon = stage.start();
        stage.follows(&mut daemon);
    }
    stage.finish();
}

/// The same programs in place of those that run.
pub(crate) fn upgraded(sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    for number in 1..=sizes.upgrades {
        stage.other_answer(number);
        stage.replace(&mut daemon, number % 2 == 0);
        if number % LOOKS == 0 {
            stage.follows(&mut daemon);
            stage.advance();
        }
    }
    stage.advance();
    stage.finish();
}

/// Other programs, and now and then also maps of another layout, as another version would have them.
pub(crate) fn changed(sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    for number in 1..=sizes.upgrades {
        // Ports are constants of the programs.
        let ports = if number % 2 == 0 {
            "ports = [443]\n"
        } else {
            "ports = [443, 8443]\n"
        };
        stage.policy(load::RULES, ports);
        if number % 5 == 0 {
            stage.end(&mut daemon, number % 2 == 0);
            stage.age_layout();
            daemon = stage.begin();
            daemon.wait_for("its layout has the version");
            daemon.wait_for(JUDGES);
            stage.count(|line| line.upgrades += 1);
        } else {
            stage.replace(&mut daemon, number % 2 == 0);
        }
        if number % LOOKS == 0 {
            stage.follows(&mut daemon);
            stage.advance();
        }
    }
    // And killed on the way to another layout.
    let mut dice = fastrand::Rng::with_seed(sizes.seed);
    let life = start_time(&stage, &mut daemon).mul_f64(1.5);
    for number in 1..=sizes.kills.div_ceil(4) {
        stage.end(&mut daemon, true);
        stage.age_layout();
        stage.other_answer(number);
        daemon = stage.begin();
        std::thread::sleep(life.mul_f64(dice.f64()));
        if number % LOOKS == 0 {
            stage.restart(&mut daemon);
            stage.advance();
        }
    }
    stage.restart(&mut daemon);
    stage.follows(&mut daemon);
    stage.advance();
    stage.finish();
    stage.grants_no_longer(&mut daemon);
}

impl Stage {
    /// A connection that was granted under the maps of before is judged anew under those in their place, whatever number
    /// their policy has.
    fn grants_no_longer(&self, daemon: &mut Daemon) {
        let mut caller = Caller::start(self.lab.client(), &self.cgroup).unwrap();
        let [to, _] = load::PLAIN.map(|address| SocketAddr::new(world::address(address), load::PORT));
        let arrived = || {
            self.settle();
            self.lab.arrived(Protocol::Tcp, to.ip(), to.port()).unwrap()
        };
        let without = |more: &str| {
            let rules = load::RULES
                .split_once("\n[[allow]]\nprefix")
                .expect("it grants prefixes")
                .0;
            self.policy(&format!("{rules}{more}"), "");
        };
        self.end(daemon, true);
        fs::remove_dir_all(self.instance.pins()).unwrap();
        self.policy(load::RULES, "");
        *daemon = self.start();
        let generation = |daemon: &mut Daemon| daemon.last(GRANTS).expect("it is told")["generation"].clone();
        let granted = generation(daemon);
        caller.call("socket s inet stream 0").unwrap();
        caller.call(&format!("connect s {to}")).unwrap();
        caller.call("exchange s 1000").unwrap();

        self.end(daemon, true);
        self.age_layout();
        without("");
        *daemon = self.start();
        for more in 1..10 {
            if generation(daemon) == granted {
                break;
            }
            without(&format!("\n[[allow]]\nprefix = \"192.0.2.{}/32\"\n", 200 + more));
            daemon.reload();
            daemon.wait_for(JUDGES);
        }
        let before = arrived();
        let sent = caller.call("send s 00");
        assert_eq!(arrived(), before, "what is granted no longer arrived: {sent:?}");
    }

    /// Gives the enforcer something new to learn: addresses of the granted name that nobody uses.
    fn other_answer(&self, number: u64) {
        let four = format!("198.51.100.{}", 200 + number % 20);
        let six = format!("2001:db8:1::{}", 200 + number % 20);
        self.upstream
            .script(|zone| zone.addresses(load::NAME, 1, &[load::NAMED[0], load::NAMED[1], &four, &six]));
    }

    /// Ends a daemon, by SIGKILL or in order.
    fn end(&self, daemon: &mut Daemon, kill: bool) {
        if kill {
            self.kill(daemon);
        } else {
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.wait().code(), Some(0), "{:#?}", daemon.seen);
        }
    }

    /// Puts another daemon in place of one.
    fn replace(&self, daemon: &mut Daemon, kill: bool) {
        self.end(daemon, kill);
        *daemon = self.start();
        self.count(|line| line.upgrades += 1);
    }

    /// Makes the pinned maps of the policy look like those of an older version.
    fn age_layout(&self) {
        let folders = fs::read_dir(self.instance.pins()).unwrap();
        let old = self.instance.pins().join("abi-1");
        let abi = folders.map(|entry| entry.unwrap().path()).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("abi-") && *path != old
        });
        // One that was killed early has not made any of its own.
        let Some(abi) = abi else { return };
        if old.exists() {
            fs::remove_dir_all(&old).unwrap();
        }
        fs::rename(abi, old).unwrap();
    }
}
